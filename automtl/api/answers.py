"""The answer of a judgement: a DataFrame and sentences."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from automtl.api._wording import in_python


@dataclass(frozen=True, repr=False)
class Answer:
    """Figures and what they come to; it shows itself in a terminal and in a notebook.

    >>> import pandas as pd
    >>> from automtl.api.answers import Answer
    >>> Answer("two", pd.DataFrame({"model": ["a", "b"], "loss": [0.25, 0.5]}), ["a is better"])
    two
    model    loss
        a 0.25000
        b 0.50000
    a is better

    Args:
        title: what the figures are of.
        frame: the figures.
        sentences: what they come to, and what a reader must know.
        details: further figures by name.
        source: what the commands work with, whole.
    """

    title: str
    frame: pd.DataFrame
    sentences: Sequence[str] = ()
    details: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    source: Any = None

    def __repr__(self) -> str:
        parts = [self.title]
        if not self.frame.empty:
            table = _with_deviations(self.frame)
            parts.append(
                table.to_string(index=False, float_format=_figure, na_rep="-", line_width=110)
            )
        parts += [in_python(sentence) for sentence in self.sentences]
        if self.details:
            parts.append(f"details: {', '.join(self.details)}")
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        table = _with_deviations(self.frame).to_html(
            index=False, float_format=_figure, na_rep="-", escape=True
        )
        said = "".join(f"<li>{html.escape(in_python(line))}</li>" for line in self.sentences)
        return f"<p><b>{html.escape(self.title)}</b></p>{table}<ul>{said}</ul>"

    def __len__(self) -> int:
        return len(self.frame)


def _with_deviations(frame: pd.DataFrame) -> pd.DataFrame:
    """The figures as they are shown: a mean and its standard deviation, the column of the same name
    and ``sd``, as one.

    >>> frame = pd.DataFrame({"model": ["a", "b"], "auc": [0.75, 0.5], "auc sd": [0.01, None]})
    >>> _with_deviations(frame)["auc"].tolist()
    ['0.75000 ± 0.01000', '0.50000']
    """
    shown = frame.copy()
    for name in frame.columns:
        deviations = f"{name} sd"
        if deviations in frame.columns:
            pairs = zip(frame[name], frame[deviations], strict=True)
            shown[name] = ["-" if pd.isna(mean) else _spread(mean, sd) for mean, sd in pairs]
            del shown[deviations]
    return shown


def _spread(mean: float, deviation: float) -> str:
    return _figure(mean) if pd.isna(deviation) else f"{_figure(mean)} ± {_figure(deviation)}"


def _figure(value: float) -> str:
    return f"{value:.5f}" if abs(value) < 1e4 else f"{value:,.0f}"
