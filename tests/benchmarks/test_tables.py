"""Tables are read, hide what is sealed, and refuse what cannot be compared."""

import pandas as pd
import pyarrow.parquet as pq
import pytest

import automtl
from automtl.benchmarks import load, load_test, place, tables
from automtl.errors import ArtifactError, ConfigError
from tests.benchmarks.tables import UNDER, rows

EFFECTS = [0.01 * i for i in range(12)]


@pytest.fixture
def path(tmp_path):
    tables.write(tmp_path / "t.parquet", rows(EFFECTS), {"data": "tiny", "settings": {"epochs": 3}})
    tables.write(
        tmp_path / "t.test.parquet",
        [r | {"loss": 9.0} for r in rows(EFFECTS) if r["sealed"]],
        {"data": "tiny"},
    )
    return tmp_path / "t.parquet"


def test_sealed_rows_are_there_for_those_who_ask_only(path):
    table, whole = automtl.benchmarks.load(path), load(path, sealed=True)
    assert (
        len(table) == 16
        and not table["sealed"].any()
        and len(whole) == 24
        and whole["sealed"].sum() == 8
    )
    assert table.attrs == {"name": "t", "data": "tiny", "settings": {"epochs": 3}}


def test_test_figures_lie_elsewhere_and_load_does_not_open_them(path):
    figures = load_test(path)
    assert (
        set(figures["loss"]) == {9.0}
        and figures["sealed"].all()
        and 9.0 not in set(load(path, sealed=True)["loss"])
    )
    path.with_name("t.test.parquet").write_bytes(b"not even Parquet")
    assert len(load(path)) == 16
    path.with_name("t.test.parquet").unlink()
    with pytest.raises(ArtifactError, match="the table has no test figures"):
        load_test(path)


def test_equal_rows_make_equal_files_whatever_their_order(path, tmp_path):
    tables.write(
        tmp_path / "again.parquet", rows(EFFECTS)[::-1], {"data": "tiny", "settings": {"epochs": 3}}
    )
    assert (
        path.read_bytes() == (tmp_path / "again.parquet").read_bytes()
        and len(tables.read_rows(path)) == 24
    )


@pytest.mark.parametrize("name", UNDER)
def test_rows_trained_under_several_things_are_refused(tmp_path, name):
    mixed = rows(EFFECTS[:6]) + [
        r | {"architecture": r["architecture"] + "x"} for r in rows(EFFECTS[:6], **{name: "other"})
    ]
    with pytest.raises(
        ArtifactError,
        match=f"must hold rows of one {name.replace('_', ' ')}, got .*other.*cannot be compared",
    ):
        tables.write(tmp_path / "t.parquet", mixed, {})
    frame = pd.DataFrame(mixed)
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ArtifactError, match=f"must hold rows of one {name.replace('_', ' ')}"):
        load(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: f.drop(columns="sealed"), "must have the columns sealed"),
        (lambda f: pd.concat([f, f.iloc[:1]]), "must hold each training once"),
    ],
)
def test_tables_that_are_none_are_refused(path, spoil, words):
    spoil(pd.DataFrame(rows(EFFECTS))).to_parquet(path)
    with pytest.raises(ArtifactError, match=words):
        load(path)


def test_no_table_no_parquet(tmp_path):
    with pytest.raises(
        ArtifactError, match="must be a table's Parquet file or a shipped table's name, got neither"
    ):
        load("nowhere")
    (tmp_path / "t.parquet").write_text("no")
    with pytest.raises(ArtifactError, match="must be a table of trained architectures in Parquet"):
        load(tmp_path / "t.parquet")


@pytest.mark.parametrize("about", [b"[1]", b"no JSON", b'{"a": NaN}'])
def test_what_a_table_says_of_itself_must_be_settings(path, about):
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({tables.ABOUT: about}), path)
    with pytest.raises(ArtifactError, match="must hold what automtl writes there"):
        load(path)


def test_a_model_finds_its_place_by_means_over_seeds(path):
    table = load(path)
    means = table.groupby("architecture")["loss"].mean()
    found = place({**UNDER, "loss": 0.5451}, table)
    assert (found.better, found.of) == (
        int((means < 0.5451).sum()),
        8,
    ) and found.share == found.better / 8
    assert found.best == means.min() and found.median == means.median()


def test_fresh_trainings_and_hand_made_models_are_no_places(path):
    other = {"architecture": "zz", "loss": 0.1, "seed": 7}
    more = [
        rows(EFFECTS)[0] | other | {"kind": "hand-made"},
        rows(EFFECTS)[0] | other | {"seed": 2, "stage": "fresh"},
    ]
    tables.write(path, rows(EFFECTS) + more, {})
    assert place({**UNDER, "loss": 0.3}, load(path)).better == 0


@pytest.mark.parametrize("name", UNDER)
def test_a_model_trained_under_something_else_is_refused(path, name):
    with pytest.raises(
        ArtifactError,
        match=f"must be trained under the table's {name.replace('_', ' ')} {UNDER[name]}, got "
        "other",
    ):
        place({**UNDER, "loss": 0.5, name: "other"}, load(path))
    with pytest.raises(ArtifactError, match="got None"):
        place(
            {key: value for key, value in UNDER.items() if key != name} | {"loss": 0.5}, load(path)
        )


def test_another_commit_is_taken_on_demand_and_other_data_never(path):
    assert place({**UNDER, "loss": 0.3, "commit": "c1"}, load(path), other_commit=True).better == 0
    with pytest.raises(ArtifactError, match="data hash"):
        place({**UNDER, "loss": 0.3, "data_hash": "d1"}, load(path), other_commit=True)


@pytest.mark.parametrize("loss", [float("nan"), None, "x"])
def test_a_model_without_a_loss_has_no_place(loss):
    """NaN is below nothing: it took the best place."""
    with pytest.raises(ArtifactError, match="must have a finite loss to be placed"):
        place({**UNDER, "loss": loss}, pd.DataFrame(rows([0.0, 0.1, 0.2])))


@pytest.mark.parametrize("model", [0.5, None, "mmoe"])
def test_what_is_no_row_has_no_place(model, path):
    with pytest.raises(ConfigError, match="model: must be a model's row, .* got "):
        place(model, load(path))
