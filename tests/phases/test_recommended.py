"""Recommended settings in Python, in trials, in tables, and those that are shipped."""

import json

import pytest

import automtl
from automtl.config import resolve
from automtl.data.spec.dataset import load_dataset
from automtl.data.store.schema import Field, Schema, Task
from automtl.errors import ConfigError
from automtl.models.derived import build_model
from automtl.models.supernet import build_supernet
from automtl.phases.benchmark.run import Benchmark
from automtl.phases.benchmark.settings import TableSettings
from automtl.phases.retrain.plan import plan_retrain
from automtl.phases.tune._ranges import applied
from automtl.spaces.architecture import Architecture
from automtl.spaces.space import SearchSpace
from automtl.spaces.templates import changed
from tests.phases.recommending import TRAINED, Told, planned, recommend
from tests.support import write_dataset


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(tmp_path / "data", rows=300)


def test_python_changes_a_template(dataset, tmp_path):
    told = Told()
    recommend(dataset, retrain=TRAINED)
    changes = {"embedding_dim": 4, "expert_widths": [6], "num_experts": 2, "towers": [3]}
    data = {"data_dir": tmp_path / "prepared"}
    [made] = automtl.retrain(
        "mmoe", data=dataset, out=tmp_path / "run", architecture=changes, reporter=told, **data
    )
    held = json.loads(made.folder.architecture.read_text())
    assert (
        held["embedding_dim"] == 4
        and [e["blocks"] for e in held["experts"]] == [["dense(6)"]] * 2
        and held["towers"] == [3]
    )
    assert "embedding_dim_4" in made.folder.path.name and told.lines[0].startswith(
        "settings of the data set tiny"
    )


def test_a_trial_that_varies_a_setting_takes_it_from_nobody(dataset):
    recommend(dataset, search={"weight_lr": 0.5, "clip_norm": 2.0})
    config = resolve(source=str(dataset), space="automtl_small", flags={})
    made = applied(config, {"search.weight_lr": 0.25})
    assert (made.search.weight_lr, made.search.clip_norm) == (0.25, 2.0) and made.origins == {
        "search.clip_norm": "data set tiny"
    }


def test_a_table_has_one_trainer_and_the_data_sets_fields(dataset, tmp_path):
    recommend(
        dataset,
        architecture={"numeric": "joint", "embedding_dim": 4},
        space={"numeric": "joint", "embedding_dim": 4},
    )
    small = [
        "space.expert=[mlp(4), skip]",
        "space.interaction=[cross(1), skip]",
        "space.expert_dim=8",
        "space.towers=[8]",
    ]
    flags = {"data": {"dir": str(tmp_path / "prepared")}, "runtime": {"threads": 1}}

    def table(*sets):
        config = resolve(
            source=str(dataset),
            space="automtl_small",
            sets=[*small, *sets],
            flags=flags,
            hand_made=True,
        )
        return Benchmark(
            config,
            TableSettings(epochs=1, judged_rows=20, architectures=4, pilot=2, hand_made=("mmoe",)),
        )

    made = table()
    assert made.session.config.retrain.recommended is False
    from automtl.phases.benchmark._plan import make_plan

    entries = make_plan(made.session, made.settings, made.rows.counts(), lambda _: None).entries
    shapes = {
        (e.architecture.numeric, e.architecture.embedding_dim) for e in entries if e.definition
    }
    assert shapes == {("joint", 4)} and {e.kind for e in entries} >= {"drawn", "hand-made"}
    with pytest.raises(ConfigError, match="retrain.recommended: must be false"):
        table("retrain.recommended=true")
    with pytest.raises(
        ConfigError, match=r"retrain.warmup_epochs: must be below the table's epochs, 1"
    ):
        table("retrain.warmup_epochs=1")


@pytest.mark.parametrize("country", ["es", "fr", "nl", "us"])
def test_aliexpress_has_17_fields_of_width_64_in_search_and_retrain(country):
    described = load_dataset(f"aliexpress_{country}")
    kinds = [feature.kind for feature in described.features]
    assert (kinds.count("categorical"), kinds.count("numeric")) == (16, 63)
    sizes = {"categorical": {"vocabulary_size": 3, "unknown_count": 0}, "numeric": {}}
    fields = [Field(name=f.name, kind=f.kind, **sizes[f.kind]) for f in described.features]
    schema = Schema(
        name="ali",
        fields=tuple(fields),
        tasks=(Task(name="click", kind="binary"), Task(name="purchase", kind="binary")),
    )
    config = resolve(source=f"aliexpress_{country}", space="automtl_small", flags={})
    net = build_supernet(config.space, schema)
    assert (net.input.num_fields, config.space.embedding_dim) == (17, 64)
    own = resolve(
        source=f"aliexpress_{country}",
        space="automtl_small",
        sets=["space.numeric=linear", "space.embedding_dim=8"],
        flags={},
    )
    assert (own.space.numeric, own.space.embedding_dim, own.origins) == ("linear", 8, {})
    plan = plan_retrain(
        "mmoe",
        data=f"aliexpress_{country}",
        sharing=None,
        config_file=None,
        sets=(),
        flags={},
        out=None,
    )
    net = build_model(plan.architecture.bind(schema), schema)
    assert (net.input.num_fields, plan.architecture.embedding_dim) == (17, 64)


def test_every_shipped_recommendation_is_one(dataset, tmp_path):
    from automtl.spaces.architecture import shipped_architectures

    for name in shipped_architectures():
        if Architecture.load(name).is_template:
            plan = planned(name, dataset, tmp_path)
            assert set(plan.architecture.recommended) <= {"retrain", "architecture"}
            assert (
                changed(Architecture.load(name), plan.config.architecture).embedding_dim
                == plan.architecture.embedding_dim
            )
    assert SearchSpace.load("automtl").recommended
