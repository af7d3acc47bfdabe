"""Colours of pictures. Each text keeps a contrast of 4.5 to what it stands on, in grey too; wires
keep 3.
"""

PAPER = "#ffffff"
INK = "#17202a"
SOFT = "#55626f"
FAINT = "#b4bec8"  # lines that only give the background of others
LINE = "#d3dae1"

# One colour per task, all dark enough to read on white; a ninth task takes the first again, dashed.
TASKS = ("#1b64a5", "#b8430b", "#0c7357", "#86379c", "#7a6100", "#a8105f", "#3f5060", "#5546cc")

_LIGHT, _DARK = (243, 246, 250), (22, 66, 110)
_TURN = 0.5
# not INK and PAPER: a dark page turns those, and leaves operations as they are
_CHIP_INKS = ("#16202a", "#fffffe")


def chip_paper(shade: float) -> str:
    """The ground of an operation: from near white (0) to dark blue (1); the step over mid-grey is
    left out.
    """
    place = 0.9 * shade if shade < _TURN else 0.7 + 0.6 * (shade - _TURN)
    red, green, blue = (
        round(low + (high - low) * place) for low, high in zip(_LIGHT, _DARK, strict=True)
    )
    return f"#{red:02x}{green:02x}{blue:02x}"


def chip_ink(shade: float) -> str:
    """Text on an operation of that shade."""
    return _CHIP_INKS[0] if shade < _TURN else _CHIP_INKS[1]


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2) of #rrggbb: what is left of a colour in grey."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    """Contrast ratio (WCAG 2), from 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
