"""Embeds figures and templates in a page: inline SVG in the page's own colours, every value escaped
by jinja2.
"""

import io
import re
import warnings
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

from automtl.reports.drawing.colours import (
    FAINT,
    INK,
    LINE,
    PAPER,
    SOFT,
    TASKS,
    chip_ink,
    chip_paper,
)
from automtl.reports.drawing.text import clean, short

_VARIABLES = {
    INK: "ink",
    SOFT: "soft",
    FAINT: "faint",
    LINE: "line",
    PAPER: "paper",
    **{c: f"t{i}" for i, c in enumerate(TASKS)},
}
_TEXT: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "automtl",
    "svg.image_inline": True,
}
_PROLOGUE = re.compile(
    r"\A.*?(?=<svg)|<metadata>.*?</metadata>|<style type=\"text/css\">.*?</style>|<!--.*?-->",
    re.DOTALL,
)
_TAG, _BETWEEN = re.compile(r"<[^>]*>"), re.compile(r">\s+<")
_SIZE = re.compile(r'<svg [^>]*?viewBox="0 0 ([\d.]+) ([\d.]+)"[^>]*>')


def embed(figure: Figure, ident: str, label: str) -> Markup:
    """A figure as an inline SVG: its text stays text, its colours follow the page, its size is that
    of the figure.

    Args:
        figure: any matplotlib figure.
        ident: a word that no other figure of the page has; its inner names begin with it.
        label: what it shows, for those who cannot see it.
    """
    sink = io.StringIO()
    with rc_context(_TEXT), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(
            sink, format="svg", metadata={"Date": None, "Creator": None}, transparent=True
        )
    svg = _PROLOGUE.sub("", sink.getvalue())
    svg = _BETWEEN.sub("><", _TAG.sub(lambda tag: _themed(tag[0], ident), svg))
    # matplotlib writes points; the page thinks in pixels
    sized = _SIZE.sub(lambda m: _opening(float(m[1]), float(m[2]), label), svg, count=1).strip()
    return Markup(sized)  # noqa: S704 # nosec B704 # matplotlib escapes text


def _themed(tag: str, ident: str) -> str:
    """A tag with its names made unique, its colours and letters those of the page, its lengths to a
    hundredth of a point.
    """
    tag = re.sub(r"(\.\d\d)\d+", r"\1", tag)
    tag = re.sub(r'\bid="', f'id="{ident}-', tag)
    tag = re.sub(r'(url\(#|href="#)', rf"\g<1>{ident}-", tag)
    tag = re.sub(
        r": (#[0-9a-f]{6})",
        lambda m: f": var(--{_VARIABLES[m[1]]})" if m[1] in _VARIABLES else m[0],
        tag,
    )
    return re.sub(
        r"font-family: [^;\"]*|font: ([\d.]+px) [^;\"]*",
        lambda m: f"font-size: {m[1]}" if m[1] else "font-family: inherit",
        tag,
    )


def _opening(width: float, height: float, label: str) -> str:
    size = f'viewBox="0 0 {width:g} {height:g}" style="width: {width * 4 / 3:.0f}px"'
    space = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    start = f'<svg class="chart" role="img" aria-label="{{}}" {size} {space}>'
    return str(Markup(start).format(clean(label)))  # noqa: S704 # nosec B704 # format escapes


@lru_cache(maxsize=1)
def _environment() -> Environment:
    loader = PackageLoader("automtl.reports")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "clean": clean,
        "short": short,
        "clean_text": _clean_text,
        "chip_paper": chip_paper,
        "chip_ink": chip_ink,
    }
    return environment


def _clean_text(text: str) -> str:
    """Text of several lines, each cleaned."""
    return "\n".join(clean(line, 2000) for line in text.splitlines()[:5000])


def fill(template: str, **values: Any) -> Markup:
    """A template filled in; whatever is no Markup is escaped."""
    # made by an escaping template
    return Markup(_environment().get_template(template).render(**values))  # noqa: S704 # nosec B704


def source(template: str) -> str:
    """A template's own text: the style sheet, the script."""
    environment = _environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, template)[0]
