"""The errors of files, words and settings of a data set, for test_errors.py: name -> (what is
wrong, command, exit status, parts of the message).
"""

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd

SEARCH = ["search", "data/tiny.yaml", "--space", "automtl_small", "--out", "new", "--fast-dev-run"]
ROWS, YAML = Path("data/rows.csv"), Path("data/tiny.yaml")


def rows(change: Callable[[pd.DataFrame], object]):
    """The rows changed as a table."""
    return lambda: change(pd.read_csv(ROWS)).to_csv(ROWS, index=False)


def file(change: Callable[[str], bytes]):
    """The file changed as a whole."""
    return lambda: ROWS.write_bytes(change(ROWS.read_text()))


def yaml(old: str, new: str, then: Callable[[], object] = lambda: None):
    """The settings changed, and something beside."""

    def act():
        then()
        assert old in YAML.read_text()
        YAML.write_text(YAML.read_text().replace(old, new))

    return act


def archived(text: str) -> bytes:
    with io.BytesIO() as held:
        with tarfile.open(fileobj=held, mode="w") as archive:
            archive.add(ROWS)
        return held.getvalue()


def two_tables(text: str) -> bytes:
    with io.BytesIO() as held:
        with zipfile.ZipFile(held, "w") as archive:
            for name in ("monday.csv", "tuesday.csv"):
                archive.writestr(name, text)
        return held.getvalue()


def structs():
    frame = pd.read_csv(ROWS)
    frame.assign(item=[{"id": i} for i in frame["item"]]).to_parquet("data/rows.parquet")


def one_price(value: float):
    return rows(lambda frame: frame.assign(price=frame["price"].where(frame.index != 4, value)))


TIMES = "split: {kind: time, column: time, train: 0.7, validation: 0.1, test: 0.2"
SPLIT = "split: {kind: random, train: 0.7, validation: 0.1, test: 0.2}"
OF_TIMES = rows(
    lambda frame: frame.assign(time=[f"{1 + i % 9}/{1 + i % 7}/2023" for i in frame.index])
)
CLICK = "{name: click, label: click}"

DATA_ERRORS = {
    "rows-for-settings": (lambda: None, ["search", "data/rows.csv"], 2, ["must be a data " "set's YAML file", "got the rows " "themselves", "automtl data describe", "--draft rows.yaml"]),
    "device-form": (lambda: None, [*SEARCH, "--device", "gpu"], 2, ["runtime.device " "must be: auto, " "cpu, mps, cuda or " "cuda:N, got 'gpu'"]),
    "other-encoding": (file(lambda text: (text + "1,北京,0.5,1,0.0\n").encode("gbk")), SEARCH, 2, ["row 601, column " "'item': must be UTF-8", "set csv: " "{encoding: gbk}"]),
    "other-delimiter": (file(lambda text: text.replace(",", "::").encode()), SEARCH, 2, ["must have the " "column 'user'", 'set csv: ' '{delimiter: "::"}']),
    "row-of-other-length": (file(lambda text: (text + "1,2,3,4,5,6,7\n").encode()), SEARCH, 2, ["row 601: must " "have 5 columns"]),
    "quote-not-closed": (file(lambda text: (text + '"1,2,0.5,1,0.0\n').encode()), SEARCH, 2, ["row 601, " "column 'user': " "must close its quotes", "set csv: " "{quote: none}"]),
    "no-table": (file(archived), SEARCH, 2, ["must be a " "table, got a tar " "archive; unpack " "it: tar xf"]),
    "several-tables": (file(two_tables), SEARCH, 2, ["must hold one table", "monday.csv", "unpack it: unzip"]),
    "json-form": (yaml("rows.csv", "rows.jsonl", lambda: Path("data/rows.jsonl").write_text("[1, 2]\n[3, 4]\n")), SEARCH, 2, ["must hold one " "JSON object a line"]),
    "column-of-other-type": (yaml("rows.csv", "rows.parquet", structs), SEARCH, 2, ["column 'item': " "must be read as " "text, got values " "of type struct"]),
    "number-too-large": (one_price(1e200), SEARCH, 2, ["row 5, column " "'price': " "must be at " "most 1e+100", "got 1e+200"]),
    "day-or-month": (yaml(SPLIT, TIMES + "}", OF_TIMES), SEARCH, 2, ["column 'time': " "must be dates " "that tell the " "day from the month", "times: {time: " "dmy} or {time: mdy}"]),
    "date-form": (yaml(SPLIT, TIMES + "}\ntimes: {time: day}", OF_TIMES), SEARCH, 2, ["must be ymd, dmy, " "mdy, or a format " "with the signs of " "Python's strptime"]),
    "task-named-total": (yaml("name: click,", "name: total,"), SEARCH, 2, ["tasks.0.name " "cannot be 'total'"]),
    "where-form": (yaml(CLICK, "{name: click, label: " "click, where: " "'buy is 1'}"), SEARCH, 2, ["got 'buy is 1', " "which is no " "comparison"]),
    "positive-not-binary": (yaml(CLICK, "{name: click, " "label: click, " "kind: regression, " "positive: x}"), SEARCH, 2, ["positive is for " "binary labels " "only, task 'click' " "is regression"]),
    "negatives-not-binary": (yaml(CLICK, "{name: click, " "label: click, kind: " "regression, " "negatives_kept: 0.1}"), SEARCH, 2, ["negatives_kept is " "for binary labels " "only, task 'click' " "is regression"]),
    "no-task": (yaml("tasks:\n  - {name: " "click, label: " "click}\n  - {name: " "buy, label: buy}", "tasks: []"), SEARCH, 2, ["must name at " "least one, as in"]),
}  # fmt: skip
