"""The main job on a small data set, by the code that the commands call."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from automtl.config import resolve
from automtl.data.store import Store
from automtl.errors import ArtifactError, AutoMTLError, ConfigError, NoResult, NumericalError
from automtl.phases.finished.evaluate import evaluate_runs, summary
from automtl.phases.retrain import retrain
from automtl.phases.retrain.plan import plan_retrain
from automtl.phases.run.opening import open_session
from automtl.phases.run.reporter import Silent
from automtl.phases.search import search
from automtl.phases.search._phase import SearchPhase
from automtl.phases.search.plan import plan_search
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import RunDir
from automtl.spaces.architecture import Architecture
from tests.support import Stop, Stopper, write_dataset

SMALL = [
    "space.expert=[gate, mlp(4), conv1d(3), skip]",
    "space.interaction=[product(inner), cross(1), skip]",
    "space.num_experts=3",
    "space.expert_dim=8",
    "space.embedding_dim=4",
    "space.towers=[8]",
    "search.strategy=darts",
    "search.selection=argmax",
    "search.batch_size=64",
    "retrain.batch_size=64",
    "search.epochs=3",
    "retrain.epochs=4",
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture
def config(dataset, tmp_path_factory):
    def make(*sets, **flags):
        folder = str(dataset.parent / "prepared-here")
        return resolve(
            source=str(dataset),
            space="automtl_small",
            sets=[*SMALL, *sets],
            flags={"data": {"dir": folder}, **flags},
        )

    return make


def retrain_plan(run, *, data_dir=None, **changes):
    plain = {
        "data": None,
        "sharing": None,
        "config_file": None,
        "sets": ["retrain.epochs=3", "retrain.batch_size=64"],
        "flags": {},
        "out": None,
    }
    return plan_retrain(str(run), **{**plain, **changes})


def train(plan, seed=0):
    return retrain(
        plan.architecture,
        plan.config.model_copy(update={"seed": seed}),
        run=plan.run,
        label=plan.label,
    )


def test_search_then_retrain_then_evaluate_leaves_a_run_that_knows_everything(config, tmp_path):
    result = search(config(), out=tmp_path / "run")
    folder = RunDir(tmp_path / "run").search
    names = {p.name for p in folder.path.iterdir()}
    assert names >= {
        "config.yaml",
        "manifest.json",
        "metrics.jsonl",
        "architecture.json",
        "checkpoint",
        "cost.json",
        "alphas.parquet",
        "betas.parquet",
    }
    assert Architecture.load(folder.architecture) == result.architecture and result.state == "done"
    lines = folder.read_metrics()
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    assert set(lines[0]["loss"]) == {"click", "buy", "total"}
    alphas = pq.read_table(folder.alphas).to_pandas()
    assert set(alphas.epoch) == {0, 1, 2} and np.allclose(
        alphas.groupby(["epoch", "block"]).weight.sum(), 1
    )
    assert np.allclose(
        pq.read_table(folder.betas).to_pandas().groupby(["epoch", "task"]).weight.sum(), 1
    )
    manifest = Manifest.read(folder.manifest).values
    assert (
        manifest["state"] == "done" and manifest["test_reads"] == 0 and len(manifest["seeds"]) == 4
    )

    plan = retrain_plan(
        tmp_path / "run", sets=["retrain.epochs=15", "retrain.lr=0.01", "retrain.batch_size=64"]
    )
    trained = [train(plan, seed) for seed in (0, 1)]
    assert trained[0].folder.path == tmp_path / "run" / "retrain" / "selected-s0"
    tested = evaluate_runs([tmp_path / "run"])
    assert [r.seed for r in tested] == [0, 1] and all(r.reads == 1 for r in tested)
    [row] = summary(tested)
    aucs = [r.test.tasks["click"]["auc"] for r in tested]
    assert row["click auc"]["mean"] == pytest.approx(np.mean(aucs)) and row["click auc"][
        "sd"
    ] == pytest.approx(np.std(aucs, ddof=1))
    assert min(aucs) > 0.7, "the data can be learnt"
    said = []

    class Listener(Silent):
        def say(self, text):
            said.append(text)

    assert (
        evaluate_runs([tmp_path / "run" / "retrain" / "selected-s0"], reporter=Listener())[0].reads
        == 2
    )
    assert any("second evaluation on the test rows" in line for line in said)
    results = json.loads(
        (tmp_path / "run" / "retrain" / "selected-s0" / "results.json").read_text()
    )
    assert results["test"]["loss"] == pytest.approx(tested[0].test.loss)


def test_a_store_that_raises_on_test_rows_passes_search_and_retrain(config, tmp_path, monkeypatch):
    honest = Store.rows

    def guarded(self, split):
        assert split != "test", "test rows were read"
        return honest(self, split)

    monkeypatch.setattr(Store, "rows", guarded)
    search(config(), out=tmp_path / "run")
    train(retrain_plan(tmp_path / "run"))
    with pytest.raises(AssertionError, match="test rows were read"):
        evaluate_runs([tmp_path / "run"])


def test_alpha_rows_fit_rows_and_validation_are_apart_and_a_retrain_sees_fit_and_alpha(config):
    session = open_session(config())
    seen = {
        role: np.concatenate(
            [b.rows.numpy() for b in session.batches(role, batch_size=64, seed=1).epoch(0)]
        )
        for role in ("fit", "a", "b", "train")
    }
    assert len(seen["a"]) > 0 and len(seen["b"]) > 0
    assert (
        sorted([*seen["fit"], *seen["a"], *seen["b"]])
        == sorted(seen["train"])
        == list(range(len(session.store.rows("train"))))
    )
    assert len(session.store.rows("validation")) > 0


def test_same_seed_twice_is_the_same_to_the_byte_and_another_seed_is_not(config, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        search(config(seed=seed), out=tmp_path / name)
        train(retrain_plan(tmp_path / name), seed)
    for file in (
        "search/architecture.json",
        "search/metrics.jsonl",
        "retrain/selected-s3/metrics.jsonl",
        "retrain/selected-s3/results.json",
    ):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert (tmp_path / "a/search/metrics.jsonl").read_bytes() != (
        tmp_path / "c/search/metrics.jsonl"
    ).read_bytes()


@pytest.mark.parametrize(
    ("after", "widths"), [(0, "full"), (1, "full"), (2, "full"), (1, "nested")]
)
def test_a_search_stopped_after_any_epoch_resumes_to_the_same_bits(config, tmp_path, after, widths):
    changed = config(
        "space.dropout=0.2",
        f"space.widths={widths}",
        "space.expert=[mlp(8), mlp(4), conv1d(3), skip]",
    )
    whole = search(changed, out=tmp_path / "whole")

    with pytest.raises(Stop):
        search(changed, out=tmp_path / "cut", reporter=Stopper(after, 2))
    resumed = search(changed, out=tmp_path / "cut", resume=True)
    assert resumed.architecture == whole.architecture
    for file in ("architecture.json", "metrics.jsonl"):
        assert (tmp_path / "cut/search" / file).read_bytes() == (
            tmp_path / "whole/search" / file
        ).read_bytes()
    from automtl.runs import checkpoint

    ends = [
        checkpoint.load(tmp_path / name / "search/checkpoint/last.safetensors")
        for name in ("cut", "whole")
    ]
    assert all(
        np.array_equal(ends[0]["net"][k].numpy(), ends[1]["net"][k].numpy()) for k in ends[0]["net"]
    )
    assert ends[0]["spent"]["samples"] == ends[1]["spent"]["samples"]


def test_a_time_limit_shorter_than_an_epoch_hands_over_nothing(config, tmp_path):
    limited = config(runtime={"time_limit_s": 1e-9})
    with pytest.raises(
        NoResult,
        match="must finish an epoch within --time-limit, got 1e-09 s, over at step 1 of the "
        "first; .* --resume",
    ):
        search(limited, out=tmp_path / "run")
    assert not (tmp_path / "run/search/architecture.json").exists()
    assert Manifest.read(tmp_path / "run/search/manifest.json").values["state"] == "interrupted"
    with pytest.raises(ArtifactError):
        plan_retrain(
            str(tmp_path / "run"),
            data=None,
            sharing=None,
            config_file=None,
            sets=(),
            flags={},
            out=None,
        )


def test_a_time_limit_derives_from_what_there_is_and_says_so(config, tmp_path, monkeypatch):
    # an epoch takes a second
    monkeypatch.setattr(SearchPhase, "_seconds", lambda phase: float(phase.epoch))
    result = search(config(runtime={"time_limit_s": 0.5}), out=tmp_path / "run")
    assert result.state == "time_limited" and result.epochs == 1 and result.architecture.experts
    one_step = search(
        config("search.batch_size=4096", runtime={"time_limit_s": 0.5}), out=tmp_path / "one"
    )
    assert one_step.state == "time_limited" and one_step.epochs == 1, (
        "an epoch of one step has an end, too"
    )
    assert Manifest.read(tmp_path / "run/search/manifest.json").values["state"] == "time_limited"


@pytest.mark.parametrize("name", ["mmoe", "shared_bottom", "single_task"])
def test_hand_made_models_train_by_the_same_code(name, dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = {
        "data": {"dir": str(dataset.parent / "prepared-here")},
        "runtime": {"fast_dev_run": True},
    }
    plan = retrain_plan(name, data=str(dataset), flags=flags)
    result = train(plan)
    assert (
        result.folder.path.relative_to(plan.run.path).as_posix() == f"retrain/{name}-s0"
        and plan.run.path.name == f"tiny-{name}-1"
    )
    assert set(result.validation.tasks) == {"click", "buy"}
    assert len(result.best_epochs) == (2 if name == "single_task" else 1)
    tested = evaluate_runs([plan.run.path])
    assert tested[0].test.loss < 1.0


def test_single_task_keeps_each_tasks_own_best_epoch(dataset, tmp_path):
    plan = retrain_plan(
        "single_task",
        data=str(dataset),
        out=tmp_path / "run",
        sets=["retrain.epochs=12", "retrain.patience=3", "retrain.batch_size=64"],
        flags={"data": {"dir": str(dataset.parent / "prepared-here")}},
    )
    result = train(plan)
    lines = result.folder.read_metrics()
    for task, best in zip(("click", "buy"), result.best_epochs, strict=True):
        mine = {
            line["epoch"]: line["validation"]["loss"] for line in lines if line["part"] == [task]
        }
        assert best == min(mine, key=mine.__getitem__)
        # the kept model is the best epoch's, its unknown ids filled (they may shift the loss by
        # rows of unseen ids only)
        assert result.validation.losses[task] == pytest.approx(mine[best], rel=0.05)


def test_another_sharing_kind_or_number_of_experts_plugs_in(config, tmp_path):
    search(config(), out=tmp_path / "run")
    plugged = retrain_plan(tmp_path / "run", sharing="mmoe")
    assert plugged.architecture.sharing.kind == "mmoe" and plugged.label == "mmoe"
    train(plugged)
    one = retrain_plan(tmp_path / "run", sets=["retrain.chosen_experts=1"])
    assert all(len(task) == 1 for task in one.architecture.chosen)
    best = [task[0].expert for task in one.architecture.ranking]
    assert [task[0] for task in one.architecture.chosen] == best
    with pytest.raises(ConfigError, match="at most the architecture's 3 experts, got 4"):
        retrain_plan(tmp_path / "run", sets=["retrain.chosen_experts=4"])
    with pytest.raises(ConfigError, match="must be a known sharing kind"):
        retrain_plan(tmp_path / "run", sharing="mmmoe")


def test_existing_runs_are_never_overwritten_and_refusals_leave_nothing(config, tmp_path):
    search(config(), out=tmp_path / "run")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*")}
    with pytest.raises(ArtifactError, match="must not exist yet"):
        search(config(), out=tmp_path / "run")
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*")}
    with pytest.raises(ConfigError, match="must be a device of this machine"):
        search(config(runtime={"device": "mps"}), out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_an_architecture_bound_to_other_tasks_is_refused_with_the_difference(config, tmp_path):
    search(config(), out=tmp_path / "run")
    other = write_dataset(tmp_path / "other", first_field="member")
    with pytest.raises(
        ConfigError, match="'user' missing from the data, 'member' unknown to the architecture"
    ):
        train(
            retrain_plan(
                tmp_path / "run",
                data=str(other),
                out=tmp_path / "x",
                flags={"data": {"dir": str(tmp_path / "d")}},
            )
        )


def test_data_changed_since_is_noticed_at_resume_and_evaluate(tmp_path):
    dataset = write_dataset(tmp_path / "data")
    flags = {"data": {"dir": str(tmp_path / "prepared")}}
    made = resolve(source=str(dataset), space="automtl_small", sets=SMALL, flags=flags)
    search(made, out=tmp_path / "run")
    train(retrain_plan(tmp_path / "run"))
    write_dataset(tmp_path / "data", seed=1)
    with pytest.raises(ArtifactError, match="data that changed since") as refused:
        search(made, out=tmp_path / "run", resume=True)
    assert "--data" not in str(refused.value), "a search has no such option"
    with pytest.raises(ArtifactError, match="data that changed since"):
        evaluate_runs([tmp_path / "run"])


def test_a_diverging_training_stops_with_task_and_epoch(config, tmp_path):
    with pytest.raises(NumericalError) as caught:
        search(
            config("search.weight_lr=1e30", "search.clip_norm=1e30", "space.batch_norm=false"),
            out=tmp_path / "run",
        )
    assert caught.value.exit_code == 4 and "task click" in str(caught.value)
    assert Manifest.read(tmp_path / "run/search/manifest.json").values["state"] == "failed"


def test_plan_writes_nothing_and_counts_right(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = plan_search(config())
    assert made.steps == 3 * -(-made.rows["fit"] // 64)
    assert made.alpha_reach == pytest.approx(made.steps * 0.003)
    assert made.table_parameters == (21 + 16) * 4 and list(tmp_path.iterdir()) == []


def test_metrics_of_a_task_with_missing_labels_equal_those_by_hand(config, tmp_path):
    from sklearn.metrics import log_loss, roc_auc_score

    from automtl.phases.finished.open import load_net, session_of
    from automtl.training.metrics.evaluation import predict

    search(config(), out=tmp_path / "run")
    result = train(retrain_plan(tmp_path / "run"))
    session = session_of(result.folder, "cpu", Silent())
    predictions = predict(load_net(result.folder, session), session.in_order("validation"))
    frame = pd.DataFrame(
        {"y": predictions.labels[:, 1], "p": 1 / (1 + np.exp(-predictions.logits[1].astype(float)))}
    ).dropna()
    assert 0 < len(frame) < len(predictions.labels)
    held = result.validation.tasks["buy"]
    assert held["auc"] == pytest.approx(roc_auc_score(frame.y, frame.p), abs=1e-9)
    assert held["logloss"] == pytest.approx(log_loss(frame.y, frame.p), rel=1e-5)
    with pytest.raises(AutoMTLError, match="must hold a search"):
        retrain_plan(result.folder.path)
