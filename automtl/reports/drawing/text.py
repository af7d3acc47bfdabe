"""Words in pictures and pages: made safe to show, measured, wrapped, and figures in short.

Sizes are in CSS pixels (96 to the inch, 0.75 points each).
"""

import unicodedata
import warnings
from functools import lru_cache

from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties

FONT = "DejaVu Sans"  # comes with matplotlib, so a label measures the same everywhere
LINE = 1.3  # height of a line of text, in its size
MAX_LETTERS = 300
_PIXELS_TO_POINTS = 0.75
# control, bidirectional marks, surrogates: nothing that people see
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def clean(text: str, letters: int = MAX_LETTERS) -> str:
    """A user's name without characters that hide or reorder text, and not longer than `letters`."""
    shown = "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in _HIDDEN else c
        for c in text[: letters + 1]
    )
    return shown if len(shown) <= letters else shown[: letters - 1] + "…"


@lru_cache(maxsize=1)
def _renderer() -> RendererAgg:
    return RendererAgg(1, 1, dpi=96)  # type: ignore[no-untyped-call]


@lru_cache(maxsize=50_000)
def text_width(text: str, size: float, bold: bool = False) -> float:
    """The width of a line of text in pixels, as matplotlib's Agg renderer sets it."""
    font = FontProperties(
        family=FONT, size=size * _PIXELS_TO_POINTS, weight="bold" if bold else "normal"
    )
    with warnings.catch_warnings():
        # a name in another script: a box is as wide
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        width, _, _ = _renderer().get_text_width_height_descent(  # type: ignore[no-untyped-call]
            text, font, ismath=False
        )
    return float(width)


def wrap(
    text: str, *, size: float, width: float, bold: bool = False, lines: int = 3
) -> tuple[str, ...]:
    """Text in lines of at most `width` pixels, broken after spaces, underscores and dots where
    there are any.

    What does not fit in `lines` ends in an ellipsis.
    """
    rest, parts = text, list[str]()
    while rest and len(parts) < lines:
        cut = _fitting(rest, size, width, bold)
        if cut < len(rest):
            soft = max(rest.rfind(c, 1, cut) for c in " _-./") + 1
            cut = soft if soft > cut // 2 else cut
        parts.append(rest[:cut].rstrip() or rest[:cut])
        rest = rest[cut:]
    if rest:
        last = parts[-1]
        parts[-1] = last[: _fitting(last, size, width - text_width("…", size, bold), bold)] + "…"
    return tuple(parts) or ("",)


def _fitting(text: str, size: float, width: float, bold: bool) -> int:
    """The number of leading letters that fit into `width`; at least one."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (
            (middle, high) if text_width(text[:middle], size, bold) <= width else (low, middle - 1)
        )
    return low


def short(number: float) -> str:
    """A count in three figures: 950, 21.3k, 1.2M, 3.4P."""
    for limit, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= limit:
            value = number / limit
            return (f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}") + unit
    return f"{number:.0f}"
