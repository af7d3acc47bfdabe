"""Describes a data set, or drafts one from a table."""

from pathlib import Path

import pandas as pd

from automtl.api._wording import speaks_python
from automtl.api.answers import Answer
from automtl.api.dataset import Dataset
from automtl.data.access.paths import home
from automtl.data.describe import draft
from automtl.data.spec.dataset import is_table
from automtl.strict import parse_yaml


@speaks_python
def describe(data: str | Path | Dataset, *, data_dir: str | Path | None = None) -> Answer:
    """What a data set holds; or of a table (a file, a folder, a pattern) what its columns seem to
    be for, with the draft of a YAML as `source`.

    >>> automtl.describe(data).frame.columns.tolist()
    ['train', 'validation', 'test', 'fit', 'alpha']
    >>> automtl.describe("shop.csv").frame[["column", "role"]].values.tolist()
    [['user', 'categorical'], ['price', 'numeric'], ['click', 'binary'], ['buy', 'binary']]

    Args:
        data: a `Dataset`, a YAML file, a shipped name, or a table.
        data_dir: folder of raw and prepared data; default the user's cache folder.
    """
    if isinstance(data, Dataset):
        return data.describe()
    if not is_table(home(data)):
        return Dataset(data, data_dir=data_dir).describe()
    text = draft(home(data))
    drafted = parse_yaml(text, "draft")
    assert isinstance(drafted, dict), "a draft is a mapping"
    rows = [{"column": f["name"], "role": f["kind"]} for f in drafted["features"] or ()]
    rows += [{"column": t["label"], "role": t["kind"]} for t in drafted["tasks"] or ()]
    said = [line.strip("# ") for line in text.splitlines() if line.lstrip().startswith("#")]
    return Answer("a draft: each line is a guess", pd.DataFrame(rows), said, source=text)
