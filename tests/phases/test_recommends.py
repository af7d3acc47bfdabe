"""Who says a setting: defaults, the data set, the baseline, a file of settings, the command line,
in this order, by every door.
"""

import pytest

import automtl
from automtl.config import RunConfig, check_recommends, resolve
from automtl.data.prepare import prepare
from automtl.data.prepare._prepare import settings_hash
from automtl.data.spec.dataset import load_dataset
from automtl.errors import ConfigError
from automtl.phases.finished.compare import compare
from automtl.phases.retrain import retrain
from automtl.phases.retrain.plan import plan_retrain
from automtl.strict import build, load_yaml
from tests.phases.recommending import TRAINED, Told, planned, recommend, template
from tests.support import Stop, Stopper, write_dataset


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(tmp_path / "data", rows=300)


def test_each_layer_wins_over_the_ones_below(dataset, tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text("retrain: {lr: 0.03}")
    mine = template(tmp_path)
    rates = [planned(mine, dataset, tmp_path).config.retrain.lr]
    recommend(dataset, retrain={"lr": 0.01, "clip_norm": 2.0})
    rates.append(planned(mine, dataset, tmp_path).config.retrain.lr)
    mine = template(tmp_path, retrain={"lr": 0.02, "patience": 3})
    rates.append(planned(mine, dataset, tmp_path).config.retrain.lr)
    rates.append(planned(mine, dataset, tmp_path, config_file=settings).config.retrain.lr)
    rates.append(
        planned(mine, dataset, tmp_path, "retrain.lr=0.04", config_file=settings).config.retrain.lr
    )
    last = planned(
        mine, dataset, tmp_path, "retrain.lr=0.04", config_file=settings, retrain={"lr": 0.05}
    ).config
    assert [*rates, last.retrain.lr] == [0.001, 0.01, 0.02, 0.03, 0.04, 0.05]
    assert (last.retrain.clip_norm, last.retrain.patience) == (2.0, 3), (
        "what nobody above says stays"
    )
    assert last.origins == {
        "retrain.clip_norm": "data set tiny",
        "retrain.patience": "baseline mine",
    }


def test_one_line_tells_whose_settings_are_in_force(dataset, tmp_path):
    recommend(
        dataset,
        retrain={"batch_size": 32, "lr": 0.01},
        architecture={"embedding_dim": 8},
        search={"epochs": 4},
    )
    mine = template(tmp_path, retrain={"lr": 0.02})
    told = planned(mine, dataset, tmp_path).config.told
    assert told == (
        "settings of the data set tiny: retrain.batch_size 32, architecture.embedding_dim 8; of "
        "the baseline mine: retrain.lr 0.02"
    )
    assert planned("moe", write_dataset(tmp_path / "other"), tmp_path).config.told == ""


def test_a_nested_setting_is_told_too_whatever_its_name(dataset, tmp_path):
    text = dataset.read_text().replace("{name: click,", "{name: a.b, ")
    dataset.write_text(text)
    recommend(
        dataset,
        retrain={"monitor": {"a.b": "auc"}, "balancing": {"method": "uncertainty", "lr": 0.01}},
    )
    config = planned("moe", dataset, tmp_path, "retrain.balancing.lr=0.02").config
    assert (
        config.told
        == "settings of the data set tiny: retrain.monitor.a.b auc, retrain.balancing.method "
        "uncertainty"
    )
    assert (config.retrain.balancing.lr, config.retrain.balancing.method) == (0.02, "uncertainty")


def test_who_gave_a_setting_is_not_set(dataset, tmp_path):
    with pytest.raises(ConfigError, match="origins: is a record"):
        planned("moe", dataset, tmp_path, "origins={retrain.lr: me}")


def test_recommended_false_trains_without_the_baselines_and_keeps_the_data_sets(dataset, tmp_path):
    recommend(dataset, retrain={"batch_size": 32, "lr": 0.01})
    mine = template(
        tmp_path, retrain={"lr": 0.02}, architecture={"dropout": 0.2, "embedding_dim": 5}
    )
    plan = planned(mine, dataset, tmp_path, "retrain.recommended=false")
    assert (plan.config.retrain.lr, plan.config.retrain.batch_size) == (0.01, 32)
    assert (plan.architecture.dropout, plan.architecture.embedding_dim) == (0.0, 16)
    with_it = planned(mine, dataset, tmp_path)
    assert (
        with_it.config.retrain.lr,
        with_it.architecture.dropout,
        with_it.architecture.embedding_dim,
    ) == (0.02, 0.2, 5)


def test_papers_settings_are_the_baselines(dataset, tmp_path):
    found = {
        name: planned(name, dataset, tmp_path)
        for name in ("mssm", "snr_trans", "snr_aver", "mome", "mmoe", "dselect_k", "adatt")
    }
    trained = {
        name: (p.config.retrain.optimizer, p.config.retrain.lr, p.config.retrain.batch_size)
        for name, p in found.items()
    }
    assert trained["mssm"] == trained["snr_trans"] == trained["snr_aver"] == ("adam", 1e-4, 256)
    assert trained["mome"] == ("adam", 1e-3, 2048)
    assert (found["mome"].architecture.embedding_dim, found["mome"].architecture.dropout) == (
        128,
        0.2,
    )
    assert trained["mmoe"] == trained["dselect_k"] == trained["adatt"] == ("adam", 1e-3, 1024)
    alike = [planned(name, dataset, tmp_path, "retrain.recommended=false") for name in found]
    assert len({p.config.retrain.model_dump_json() for p in alike}) == 1, "one trainer for all"
    assert {p.architecture.embedding_dim for p in alike} == {16}


def test_rates_of_one_optimiser_are_not_taken_for_another(dataset, tmp_path):
    recommend(dataset, retrain={"optimizer": "sgd", "lr": 0.5, "momentum": 0.8, "batch_size": 32})
    of_data = planned("moe", dataset, tmp_path).config.retrain
    assert (of_data.optimizer, of_data.lr, of_data.momentum) == ("sgd", 0.5, 0.8)
    over = planned("mmoe", dataset, tmp_path).config  # which its paper trains by Adam
    assert (
        over.retrain.optimizer,
        over.retrain.lr,
        over.retrain.momentum,
        over.retrain.batch_size,
    ) == ("adam", 1e-3, None, 32)
    assert (
        "retrain.lr" not in over.origins and over.origins["retrain.batch_size"] == "data set tiny"
    )
    asked = planned("mssm", dataset, tmp_path, "retrain.optimizer=adagrad").config.retrain
    assert (asked.optimizer, asked.lr, asked.batch_size) == ("adagrad", 1e-3, 256)
    same = planned("mssm", dataset, tmp_path, "retrain.optimizer=adam").config.retrain
    assert same.lr == 1e-4


def test_another_sharing_kind_is_not_trained_as_the_templates_own(dataset, tmp_path):
    plan = planned("mssm", dataset, tmp_path, sharing="cgc")
    assert (
        plan.config.retrain.lr == 1e-3
        and plan.architecture.recommended == {}
        and plan.config.origins == {}
    )
    assert planned("mssm", dataset, tmp_path, sharing="mssm").config.retrain.lr == 1e-4


def test_what_is_recommended_travels_with_a_trained_architecture(dataset, tmp_path):
    mine = template(tmp_path, retrain={"lr": 0.02}, architecture={"embedding_dim": 5})
    plan = planned(mine, dataset, tmp_path, retrain=TRAINED)
    made = retrain(plan.architecture, plan.config, run=plan.run, label=plan.label)
    recommend(dataset, architecture={"embedding_dim": 9, "numeric": "joint"}, retrain={"lr": 0.01})
    again = planned(str(made.folder.architecture), dataset, tmp_path / "again")
    assert again.config.retrain.lr == 0.02
    assert again.architecture == made.architecture and again.config.architecture == {}, (
        "the shape of what is bound is made"
    )


SECTIONS = {
    "retrain": "lr",
    "search": "alpha_lr",
    "space": "embedding_dim",
    "architecture": "embedding_dim",
}
WRONG = [
    *(
        (section, {name + "x": 1}, rf"recommends.{section}.*{name}x")
        for section, name in SECTIONS.items()
    ),
    *(
        (section, {name: "much"}, rf"recommends.{section}.*{name} should be")
        for section, name in SECTIONS.items()
    ),
    ("retrain", {"optimizer": "lion"}, "recommends.retrain: optimizer"),
    ("retrain", {"lr": -1.0}, "recommends.retrain: lr"),
    ("retrain", {"balancing": {"method": "none"}}, "recommends.retrain: balancing.method"),
    (
        "retrain",
        {"recommended": False},
        "recommends.retrain.recommended: must be left to whoever trains",
    ),
    (
        "architecture",
        {"num_experts": 3},
        "recommends.architecture.num_experts: must be a setting of templates",
    ),
    ("runtime", {"threads": 3}, r"recommends\.runtime"),
]


@pytest.mark.parametrize(("section", "values", "message"), WRONG)
def test_a_wrong_recommendation_is_named_by_file_and_key_at_every_door(
    section, values, message, dataset, tmp_path
):
    recommend(dataset, **{section: values})
    doors = {
        "retrain": lambda: planned("mmoe", dataset, tmp_path),
        "search, tune, benchmark": lambda: resolve(
            source=str(dataset), space="automtl_small", flags={}
        ),
        "data describe, data prepare": lambda: check_recommends(load_dataset(dataset), dataset),
        "python": lambda: automtl.search(dataset, space="automtl_small", out=tmp_path / "run"),
    }
    for door in doors.values():
        with pytest.raises(ConfigError, match=message) as caught:
            door()
        assert "tiny.yaml" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_wrong_recommendation_of_a_template_names_its_file(dataset, tmp_path):
    with pytest.raises(
        ConfigError,
        match=r"mine.json: recommended.retrain: lrr is not a known key \(did you mean 'lr'",
    ):
        planned(template(tmp_path, retrain={"lrr": 1}), dataset, tmp_path)
    with pytest.raises(ConfigError, match=r"mine.json: recommended.architecture: dropout"):
        planned(template(tmp_path, architecture={"dropout": "much"}), dataset, tmp_path)


def test_settings_that_only_fit_together_may_be_recommended(dataset, tmp_path):
    # with the default warm-up of 5: refused
    recommend(dataset, search={"epochs": 4, "batch_size": 32}, space={"num_experts": 2})
    made = resolve(source=str(dataset), space="automtl_small", flags={})
    assert (
        made.search.epochs,
        made.search.warmup_epochs,
        made.search.batch_size,
        made.space.num_experts,
    ) == (4, 1, 32, 2)
    assert set(made.origins) == {"search.epochs", "search.batch_size", "space.num_experts"}, (
        "over what the space recommends"
    )
    with pytest.raises(ConfigError, match="warmup_epochs"):
        resolve(source=str(dataset), space="automtl", flags={})
    asked = resolve(
        source=str(dataset), space="automtl_small", sets=["search.batch_size=16"], flags={}
    )
    assert asked.search.batch_size == 16 and "search.batch_size" not in asked.origins


def test_what_is_recommended_is_not_part_of_the_data(dataset, tmp_path):
    before = prepare(load_dataset(dataset), data_dir=tmp_path / "prepared")
    plain = settings_hash(load_dataset(dataset))
    recommend(dataset, retrain={"lr": 0.01}, space={"numeric": "joint"})
    after = prepare(load_dataset(dataset), data_dir=tmp_path / "prepared")
    assert (
        after.path == before.path
        and after.schema == before.schema
        and settings_hash(load_dataset(dataset)) == plain
    )


def test_a_run_keeps_settings_and_origins_and_its_file_gives_the_same_again(dataset, tmp_path):
    recommend(dataset, retrain={"lr": 0.01, **TRAINED})
    plan = planned("mmoe", dataset, tmp_path)
    made = retrain(plan.architecture, plan.config, run=plan.run, label=plan.label)
    held = build(RunConfig, load_yaml(made.folder.config), "run")
    assert held == plan.config and held.origins["retrain.lr"] == "data set tiny"
    dataset.write_text(dataset.read_text().replace("0.01", "0.07"))
    again = planned("mmoe", dataset, tmp_path / "again", config_file=made.folder.config).config
    assert again.retrain == held.retrain and again.origins == {}, "the user's own words now"


def test_a_retrain_resumes_by_what_was_recommended_as_it_began(dataset, tmp_path):
    recommend(dataset, retrain={"lr": 0.01, **TRAINED})
    plan = planned("mmoe", dataset, tmp_path)
    with pytest.raises(Stop):
        retrain(
            plan.architecture, plan.config, run=plan.run, label=plan.label, reporter=Stopper(0, 1)
        )
    recommend(dataset, retrain={"lr": 0.07, **TRAINED})
    again = planned("mmoe", dataset, tmp_path, resume=True)
    assert again.config.retrain.lr == 0.01
    retrain(again.architecture, again.config, run=again.run, label=again.label, resume=True)


OPERATIONS = {"expert": ["mlp(4)", "skip"], "interaction": ["cross(1)", "skip"]}
SMALL = {"space": {"base": "automtl_small", **OPERATIONS, "expert_dim": 8, "towers": [8]}}


def test_a_search_and_its_retrain_take_the_data_sets_and_python_is_told(dataset, tmp_path):
    recommend(
        dataset,
        search={"alpha_decay": 1e-5},
        space={"embedding_dim": 4},
        retrain={"lr": 0.01, **TRAINED},
    )
    told, run = Told(), tmp_path / "run"
    given = {
        "search": {
            "strategy": "darts",
            "selection": "argmax",
            "epochs": 2,
            "warmup_epochs": 1,
            "batch_size": 64,
        },
        "data": {"dir": str(tmp_path / "prepared")},
        **SMALL,
    }
    found = automtl.search(dataset, out=run, reporter=told, **given)
    assert found.architecture.embedding_dim == 4
    assert told.lines[0].startswith(
        "settings of the data set tiny: search.alpha_decay 1e-05, space.embedding_dim 4, "
        "retrain.lr 0.01"
    )
    dataset.write_text(dataset.read_text().replace("0.01", "0.07"))
    assert (
        automtl.search(dataset, out=run, resume=True, **given).architecture == found.architecture
    ), "an edit is no other search"
    [made] = automtl.retrain(run)
    assert load_yaml(made.folder.config)["retrain"]["lr"] == 0.01, (
        "a searched run's own settings hold"
    )
    with pytest.raises(
        ConfigError, match=r"architecture: is for hand-made models.*space.embedding_dim"
    ):
        automtl.search(dataset, architecture={"embedding_dim": 8}, out=tmp_path / "other")
    with pytest.raises(ConfigError, match=r"architecture.embedding_dim: must stay as it is"):
        automtl.retrain(run, architecture={"embedding_dim": 8})
    assert automtl.retrain(run, architecture={"dropout": 0.2})[0].architecture.dropout == 0.2


@pytest.mark.parametrize("optimizer", ["recommended", "said too"])
def test_a_retrain_of_a_searched_run_keeps_what_was_recommended_below_what_is_said_now(
    optimizer, dataset, tmp_path
):
    advice = {
        "optimizer": "sgd",
        "lr": 0.05,
        "momentum": 0.5,
        "group_lr": {"tables": 0.1},
        "monitor": {"buy": "auc"},
        **TRAINED,
    }
    recommend(dataset, retrain=advice)
    retrain = {"clip_norm": 2.0, **({"optimizer": "sgd"} if optimizer == "said too" else {})}
    search = {"strategy": "darts", "selection": "argmax"}
    search |= {"epochs": 2, "warmup_epochs": 1, "batch_size": 64}
    automtl.search(
        dataset,
        out=tmp_path / "run",
        search=search,
        retrain=retrain,
        data={"dir": str(tmp_path / "prepared")},
        **SMALL,
    )

    def now(*sets):
        given = {"data": None, "sharing": None, "config_file": None, "flags": {}, "out": None}
        return plan_retrain(str(tmp_path / "run"), sets=sets, **given).config

    again = now()
    assert {
        name: again.retrain.model_dump()[name] for name in advice
    } == advice and again.retrain.clip_norm == 2.0
    assert (
        "settings of the data set tiny: " in again.told
        and "retrain.lr 0.05" in again.told
        and "clip_norm" not in again.told
    )
    assert ("retrain.optimizer sgd" in again.told) == (optimizer == "recommended")
    other = now("retrain.optimizer=adam").retrain
    assert (other.lr, other.momentum, other.group_lr, other.batch_size) == (0.001, None, {}, 64), (
        "rates of one are not for another"
    )
    assert now("retrain.lr=0.2").retrain.momentum == 0.5


def test_a_shape_that_was_recommended_is_told_beside_the_models_of_the_same_name(dataset, tmp_path):
    """No folder's name tells it; what a user sets is in the name."""
    given = {"data": str(dataset), "retrain": TRAINED, "data_dir": tmp_path / "prepared"}
    automtl.retrain("mmoe", out=tmp_path / "plain", **given)
    automtl.retrain("mmoe", out=tmp_path / "narrow", architecture={"embedding_dim": 4}, **given)
    found = compare([tmp_path / "plain", tmp_path / "narrow"])
    assert found.trainings == {}, "who sets a shape compares shapes"
    recommend(dataset, architecture={"dropout": 0.25, "embedding_dim": 8})
    automtl.retrain("mmoe", out=tmp_path / "wide", **given)
    found = compare([tmp_path / "plain", tmp_path / "narrow", tmp_path / "wide"])
    by_run = {
        name: {entry.partition(":")[0]: word for entry, word in own.items()}
        for name, own in found.trainings.items()
    }
    assert by_run == {
        "architecture.embedding_dim": {"plain": "16", "narrow": "4", "wide": "8"},
        "architecture.dropout": {"plain": "0.0", "narrow": "0.0", "wide": "0.25"},
    }
    assert any(
        note.startswith("not all models were trained alike")
        and "architecture.embedding_dim" in note
        for note in found.notes
    )
