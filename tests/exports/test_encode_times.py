"""An export's `encode.py` makes hours, weekdays and days of raw rows as the package does, in every
writing of a time.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import automtl
from automtl import files
from automtl.data.prepare import prepare
from automtl.data.prepare.frames import as_table
from automtl.data.prepare.new_rows import Server
from automtl.data.spec.dataset import load_dataset
from automtl.errors import DataError
from automtl.exports.encode import Encoder
from automtl.exports.encoding import Exported, write_encoding
from automtl.exports.network import arrays

WHAT = ("hour", "weekday", "day")
MOMENTS = pd.Series(pd.date_range("2023-01-30 23:59:59.25", periods=90, freq="11h17min", tz="UTC"))
SECONDS = (
    MOMENTS.astype("int64") // 10**9
    if MOMENTS.dtype == "datetime64[ns, UTC]"
    else MOMENTS.dt.as_unit("s").astype("int64")
).tolist()
AHEAD = MOMENTS.dt.tz_convert("Asia/Tokyo")
# how training wrote its times -> unit, its words
WRITINGS = {
    "seconds": ("s", SECONDS),
    "milliseconds": ("ms", [1000 * s + 7 for s in SECONDS]),
    "texts of seconds": ("s", [str(s) for s in SECONDS]),
    "year first": ("date", MOMENTS.dt.strftime("%Y-%m-%d %H:%M:%S").tolist()),
    "dates": ("date", MOMENTS.dt.strftime("%Y-%m-%d").tolist()),
    "slashes": ("date", MOMENTS.dt.strftime("%Y/%m/%d %H:%M").tolist()),
    "day first": ("date", MOMENTS.dt.strftime("%d.%m.%Y %H:%M:%S.%f").tolist()),
    "month first": ("date", MOMENTS.dt.strftime("%m/%d/%Y %I:%M %p").tolist()),
    "utc": ("date", [f"{word} UTC" for word in MOMENTS.dt.strftime("%Y-%m-%d %H:%M:%S")]),
    "zulu": ("date", MOMENTS.dt.strftime("%Y-%m-%dT%H:%M:%SZ").tolist()),
    "offset": ("date", [f"{word}+09:00" for word in AHEAD.dt.strftime("%Y-%m-%dT%H:%M:%S")]),
    "Python's": ("date", MOMENTS.dt.strftime("%d %b %Y %H:%M").tolist()),
    "timestamps": ("date", MOMENTS.dt.tz_localize(None).tolist()),
    "timestamps with a zone": ("date", AHEAD.tolist()),
}


def config(unit: str, form: str | None) -> dict[str, object]:
    made = [
        {"name": what, "what": what, "column": "time", "unit": unit, "utc_offset_hours": 5.5}
        for what in WHAT
    ]
    features = [
        {"name": what, "kind": "numeric" if what == "day" else "categorical"} for what in WHAT
    ]
    tasks = [{"name": "click", "label": "click"}]
    times = {"times": {"time": form}} if form else {}
    return {
        "name": "timed",
        "files": {"train": "rows.parquet"},
        "features": features,
        "derived": made,
        "tasks": tasks,
        **times,
    }


def encoders(
    folder: Path, unit: str, words: list[object], form: str | None
) -> tuple[Encoder, Exported]:
    pd.DataFrame({"time": words, "click": np.arange(len(words)) % 2}).to_parquet(
        folder / "rows.parquet"
    )
    (folder / "timed.yaml").write_text(json.dumps(config(unit, form)))
    dataset = load_dataset(folder / "timed.yaml")
    with files.StagedFolder(folder / "out") as staged:
        write_encoding(staged, prepare(dataset, data_dir=folder / "data"), dataset)
    return Encoder(folder / "out"), Exported(folder / "out")


@pytest.mark.parametrize("writing", WRITINGS)
def test_times_are_read_as_the_package_reads_them(writing: str, tmp_path: Path) -> None:
    unit, words = WRITINGS[writing]
    encoder, exported = encoders(
        tmp_path, unit, words, "%d %b %Y %H:%M" if writing == "Python's" else None
    )
    found = encoder([{"time": word} for word in words])
    (part,) = Server(exported, exported.config, say=print).table(
        as_table(pd.DataFrame({"time": words})), ()
    )
    for name, expected in arrays(part.rows, exported.schema, np.arange(len(words))).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-6, err_msg=name)
    assert len(np.unique(found["weekday"])) == 7 and (found["weekday"] > 0).all()
    clock = MOMENTS + pd.Timedelta(hours=5.5)  # the oracle is pandas
    if writing != "dates":
        assert found["hour"].tolist() == [
            encoder.words["vocabularies/0.jsonl"][str(hour)] for hour in clock.dt.hour
        ]


def test_a_row_may_bring_the_column_itself_and_is_told_what_it_lacks(tmp_path: Path) -> None:
    encoder, _ = encoders(tmp_path, "s", SECONDS, None)
    (seconds,) = SECONDS[:1]
    own = MOMENTS[0] + pd.Timedelta(hours=5.5)
    whole = {
        "hour": own.hour,
        "weekday": own.weekday(),
        "day": (own.tz_localize(None) - pd.Timestamp(0)).days,
    }
    made, brought = encoder([{"time": seconds}]), encoder([whole])
    assert made["hour"] == brought["hour"] and made["weekday"] == brought["weekday"]
    assert (
        encoder([{"time": float(seconds)}])["hour"]
        == encoder([{"time": f" {seconds}.0 "}])["hour"]
        == made["hour"]
    )
    with pytest.raises(
        ValueError, match="there is no weekday .or time, of which it is made., day .or time"
    ):
        encoder([{"hour": 3}])
    wrong = {
        None: "must have a time in every row",
        "soon": "must be a whole number, got 'soon'",
        5: "must be a time from 1990 to 2100",
    }
    for value, said in (wrong | {"": wrong[None]}).items():
        with pytest.raises(ValueError, match=f"time: {said}"):
            encoder([{"time": value}])


@pytest.mark.parametrize(
    "word",
    ["2023-02-30", "2023-01-05 24:00", "05/06/2023x", "2023-1/5", "13/13/2023", "1700000000"],
)
def test_what_is_no_date_is_refused_by_both(word: str, tmp_path: Path) -> None:
    encoder, exported = encoders(tmp_path, "date", WRITINGS["month first"][1], None)
    with pytest.raises(
        ValueError, match="time: must be a date or a time, written as the training rows were"
    ):
        encoder([{"time": word}])
    with pytest.raises(DataError, match="column 'time'"):
        list(
            Server(exported, exported.config, say=print).table(
                as_table(pd.DataFrame({"time": [word]})), ()
            )
        )


def test_an_export_scores_raw_rows_as_predict_does(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"time": np.repeat(SECONDS, 5), "click": rng.integers(0, 2, 450)})
    run = automtl.retrain(
        "mmoe", data=config("s", None) | {"files": {"train": "rows"}}, frame=frame, out=tmp_path / "run", data_dir=tmp_path / "data",
        retrain={"epochs": 1, "batch_size": 64},
    )  # fmt: skip
    assert run
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    served = automtl.export(tmp_path / "run", "onnx", out=tmp_path / "served")
    assert served
    session = ort.InferenceSession(tmp_path / "served" / "model.onnx")
    (probs,) = session.run(None, Encoder(tmp_path / "served")([{"time": s} for s in SECONDS]))
    expected = automtl.predict(tmp_path / "run", [{"time": s} for s in SECONDS])["probs_click"]
    np.testing.assert_allclose(probs, expected, atol=1e-5)
