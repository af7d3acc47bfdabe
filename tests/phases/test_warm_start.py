"""Daily data: known rows keep their embeddings, vocabularies grow, the rest starts fresh."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import automtl
from automtl.cli._app import app
from automtl.config import resolve
from automtl.errors import ConfigError
from automtl.models.derived import build_model
from automtl.phases.retrain.warm_start import open_older_model
from automtl.phases.run.opening import open_session
from automtl.spaces.architecture import Architecture
from tests.support import write_dataset


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days; the second lacks some users of the first and has new ones. A model of the first."""
    folder = tmp_path_factory.mktemp("days")
    monday = write_dataset(folder / "monday")
    tuesday = write_dataset(folder / "tuesday", seed=1)
    rows = pd.read_csv(tuesday.parent / "rows.csv")
    rows.assign(user=rows["user"] + 7).to_csv(tuesday.parent / "rows.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOMTL_DATA_DIR", str(folder / "data"))
        automtl.retrain(
            "shared_bottom",
            data=monday,
            out=folder / "run",
            retrain={"epochs": 2, "batch_size": 64},
        )
        yield folder


def words(session: object, field: str) -> list[str]:
    return session.store.vocabulary(field)["word"].to_pylist()  # type: ignore[attr-defined]


def test_known_rows_stay_and_new_ones_are_fresh(days: Path) -> None:
    before = open_older_model(days / "run", str(days / "tuesday" / "tiny.yaml"))
    session = open_session(resolve(source=str(before.data), space=False, flags={}))
    old, new = words(before.session, "user"), words(session, "user")
    assert new[: len(old)] == old
    assert {*new} == {*old, *(str(i) for i in range(20, 27))}
    assert session.store.schema.fields[0].vocabulary_size == len(new) + 1
    fresh = build_model(Architecture.load(before.architecture), session.schema, seed=5)
    net = build_model(Architecture.load(before.architecture), session.schema, seed=5)
    before.carry(net, session)
    for i in range(2):
        rows, mine, start = (layer.input.rows_of(i).numpy() for layer in (before.net, net, fresh))
        np.testing.assert_array_equal(mine[: len(rows)], rows)
        np.testing.assert_array_equal(mine[len(rows) :], start[len(rows) :])
    others = {name: value for name, value in net.state_dict().items() if "embeddings" not in name}
    assert all((value == fresh.state_dict()[name]).all() for name, value in others.items())
    ids = session.store.rows("train").ids[:, 0]
    raw = pd.read_csv(days / "tuesday" / "rows.csv")["user"].astype(str)
    assert set(np.array(["", *new])[ids]) <= set(raw)


def test_the_command_trains_on(days: Path) -> None:
    arguments = [
        "retrain",
        "--from",
        str(days / "run"),
        "--data",
        str(days / "tuesday" / "tiny.yaml"),
        "--out",
        str(days / "next"),
    ]
    result = CliRunner().invoke(
        app, [*arguments, "--set", "retrain.epochs=1", "--set", "retrain.batch_size=64"]
    )
    assert result.exit_code == 0, result.output
    assert "embedding rows kept (and new)" in result.stderr
    frame = pd.read_csv(days / "tuesday" / "rows.csv")
    assert automtl.predict(days / "next", frame)["probs_click"].between(0, 1).all()


def test_nothing_to_train(days: Path) -> None:
    for arguments in (["retrain"], ["retrain", "--from", str(days / "run")]):
        assert isinstance(CliRunner().invoke(app, arguments).exception, ConfigError)
