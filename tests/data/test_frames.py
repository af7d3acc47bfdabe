"""A DataFrame as a data set: written down once, the same store as its CSV."""

from pathlib import Path

import pandas as pd
import pytest

from automtl.data.dataset import load_dataset
from automtl.data.frames import keep_frame
from automtl.data.prepare import prepare
from automtl.errors import ConfigError, DataError
from tests.data.tables import FEATURES, TASKS, frame, prepared

SETTINGS = {"name": "toy", "features": FEATURES, "tasks": TASKS}


def test_a_frame_is_prepared_as_its_csv(tmp_path: Path) -> None:
    path = keep_frame(frame(), SETTINGS, data_dir=tmp_path)
    store = prepare(load_dataset(path), data_dir=tmp_path)
    assert store.schema == prepared(tmp_path / "csv", frame()).schema
    assert keep_frame(frame(), SETTINGS, data_dir=tmp_path) == path
    assert keep_frame(frame(), load_dataset(path), data_dir=tmp_path).parent.parent == path.parent.parent
    assert keep_frame(frame(seed=1), SETTINGS, data_dir=tmp_path) != path
    assert not any(p.name.startswith(".") for p in path.parent.parent.iterdir())


def test_frames_that_cannot_be_kept(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="column 'user': must hold numbers, texts, times, or lists of them"):
        keep_frame(pd.DataFrame({"user": [1, "a", object()]}), SETTINGS, data_dir=tmp_path)
    with pytest.raises(ConfigError, match="data set of a DataFrame: .*features must be given|features must be given"):
        keep_frame(frame(), {"name": "toy", "tasks": TASKS}, data_dir=tmp_path)


def test_errors_do_not_name_the_file_that_the_rows_are_kept_in(tmp_path: Path) -> None:
    """Case B3: the place named was a hidden file of the cache."""
    for column, value, message in (("price", "cheap", "must be a number"), ("time", "soon", "must hold dates or times")):
        rows = frame(50).astype({column: object})
        rows.loc[6, column] = value
        settings = {**SETTINGS, "split": {"kind": "time", "column": "time"}}
        if column == "time":
            rows["time"] = ["2023-11-14"] * 6 + ["soon"] + ["2023-11-15"] * 43
        with pytest.raises(DataError) as caught:
            prepare(load_dataset(keep_frame(rows, settings, data_dir=tmp_path)), data_dir=tmp_path)
        assert str(caught.value).startswith(f"rows, row 7, column '{column}': {message}, got '{value}'")
    with pytest.raises(DataError, match="^rows: must have the column 'tag'"):
        prepare(load_dataset(keep_frame(frame(50).drop(columns="tag"), SETTINGS, data_dir=tmp_path)), data_dir=tmp_path)
