"""Tables of trained architectures on a tiny data set: what a training is, and that a stopped table
goes on to equal rows.
"""

import multiprocessing

import numpy as np
import pandas as pd
import pytest
import torch

from automtl.benchmarks import load, load_test
from automtl.data.store.schema import Task
from automtl.errors import ArtifactError, ConfigError, DataError, Interrupted
from automtl.phases.benchmark import _draw, _train
from automtl.phases.benchmark._folder import TableFolder
from automtl.phases.benchmark._plan import (
    fresh_groups,
    fresh_jobs,
    pilot_jobs,
    read_plan,
    table_jobs,
)
from automtl.phases.benchmark.settings import TableSettings, settings_hash
from automtl.phases.run.session import Seeds
from automtl.spaces.architecture import Architecture
from automtl.strategies.score import score
from automtl.training.balancing import make_balancer
from automtl.training.balancing.balancer import BalancingSettings
from automtl.training.early_stopping import EarlyStopping
from automtl.training.optim.optimizers import OptimizerSettings, make_optimizer
from automtl.training.step import train_step
from automtl.training.step.guard import Guard
from tests.phases.tables import Listening, benchmark, config, rows, run
from tests.support import write_dataset

MEASURED = ["seconds", "cpu_seconds"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), rows=600)


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "t"
    return run(benchmark(dataset), out), out


def plain(path):
    return pd.read_parquet(path).drop(columns=MEASURED, errors="ignore")


def test_a_stopped_table_goes_on_to_the_same_rows(dataset, whole, tmp_path):
    for after in (2, 3):
        with pytest.raises(Interrupted, match="every training that ended is kept"):
            run(benchmark(dataset, Listening(after)), tmp_path / "t", resume=after > 2)
    result = run(benchmark(dataset), tmp_path / "t", resume=True)
    assert result.finished and result == whole[0].__class__(
        tmp_path / "t", whole[0].trainings, whole[0].of, whole[0].verdict
    )
    for name in ("table.parquet", "table.test.parquet"):
        pd.testing.assert_frame_equal(
            plain(tmp_path / "t" / name), plain(whole[1] / name), check_exact=True
        )


def _help(dataset, out):
    run(benchmark(dataset), out, resume=True)


@pytest.mark.slow
def test_jobs_share_a_table(dataset, whole, tmp_path):
    result = benchmark(dataset).run(tmp_path / "t", anyway=True, processes=2)
    assert result.finished and result.trainings == whole[0].trainings
    for name in ("table.parquet", "table.test.parquet"):
        pd.testing.assert_frame_equal(
            plain(tmp_path / "t" / name).drop(columns="commit"),
            plain(whole[1] / name).drop(columns="commit"),
            check_exact=True,
        )
    signed = {path.read_text() for path in (tmp_path / "t").glob("trainings/*/.lock")}
    assert len(signed) == 2, "both processes had trainings"


@pytest.mark.slow
def test_two_processes_share_a_table(dataset, whole, tmp_path):
    out = tmp_path / "t"
    with pytest.raises(Interrupted):
        run(benchmark(dataset, Listening(1)), out)
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=_help, args=(dataset, out)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(300)
    assert [process.exitcode for process in both] == [0, 0]
    pd.testing.assert_frame_equal(
        plain(out / "table.parquet"), plain(whole[1] / "table.parquet"), check_exact=True
    )


def test_a_table_trained_elsewhere_is_taken_over(dataset, whole, tmp_path):
    told = Listening()
    run(benchmark(dataset, told), tmp_path / "t", rows_from=[whole[1] / "table.parquet"])
    assert not [line for line in told.lines if line.startswith("[")], "nothing is trained"
    for name in ("table.parquet", "table.test.parquet"):
        pd.testing.assert_frame_equal(
            pd.read_parquet(tmp_path / "t" / name),
            pd.read_parquet(whole[1] / name),
            check_exact=True,
        )
    with pytest.raises(ArtifactError, match="must be trained under the plan's settings hash"):
        run(
            benchmark(dataset, epochs=3), tmp_path / "other", rows_from=[whole[1] / "table.parquet"]
        )


def test_what_the_table_holds(dataset, whole):
    path = whole[1] / "table.parquet"
    table, everything, test = load(path), load(path, sealed=True), load_test(path)
    assert (
        set(table["kind"]) == {"drawn", "hand-made", "constant"}
        and whole[0].finished
        and len(everything) == whole[0].of
    )
    assert everything.groupby("architecture")["sealed"].first().sum() == 2, (
        "a third of two in each of two strata, rounded"
    )
    assert set(test["architecture"]) == {
        *everything.loc[everything["sealed"], "architecture"],
        *table.loc[table["kind"] != "drawn", "architecture"],
        *table.loc[table["stage"] == "fresh", "architecture"],
    }
    assert len(test[test["stage"] == "table"]) < len(everything[everything["stage"] != "fresh"])
    fresh = table[table["stage"] == "fresh"]
    assert (
        set(fresh["seed"]) == {2, 3, 4}
        and not fresh["sealed"].any()
        and set(table.attrs["groups"]) == {"best", "random"}
    )
    assert (
        table.attrs["rows"]["fit"] == rows(dataset).counts()["fit"]
        and table.attrs["training"]["retrain"]["batch_size"] == 64
    )


def test_the_epoch_is_picked_on_b_and_the_loss_is_validations(whole):
    table = load(whole[1] / "table.parquet").query("kind != 'constant'")
    for row in table.itertuples():
        b = dict(zip(row.at, row.curve_b, strict=True))
        assert list(b) == [0.125, 0.25, 0.5, 1.0, 2.0] or list(b)[-2:] == [1.0, 2.0]
        assert row.loss_b == min(b[1.0], b[2.0]) == b[row.epoch]
    only = table[(table["epoch"] == 2) & (table["kind"] == "drawn")]
    shown = [row.curve_validation[-1] for row in only.itertuples()]
    # but for ids that training never met
    np.testing.assert_allclose(only["loss"], shown, rtol=1e-3)


def test_a_training_is_a_retrain_on_fit_rows(dataset):
    """Another loop over the same blocks, for an architecture of the space."""
    made = rows(dataset)
    session = made.session
    [entry, *_] = _draw.draw_entries(session.config.space, session.schema, made.settings, print)
    row, _ = _train.train(entry.architecture, made, seed=5, test=False)
    seeds = Seeds.of(5)
    net = _draw.build_model(
        entry.architecture,
        session.schema,
        seed=seeds.weights,
        generator=torch.Generator().manual_seed(seeds.noise),
    )
    s, losses = session.config.retrain, []
    optimizer = make_optimizer(net, OptimizerSettings(lr=s.lr, weight_decay=s.weight_decay))
    balancer = make_balancer(BalancingSettings(), session.schema.tasks, net)
    stopping = EarlyStopping("loss", patience=5)
    for epoch in range(2):
        for batch in made.training(seeds.fit).epoch(epoch):
            assert set(batch.rows.tolist()) <= set(session.store.fit_index.tolist())
            train_step(
                net,
                batch,
                session.schema.tasks,
                optimizer=optimizer,
                balancer=balancer,
                guard=Guard(),
                autocast=session.autocast,
                clip_norm=s.clip_norm,
            )
        losses.append(score(net, made.judging("b"), session.schema.tasks, supernet=False))
        stopping.update(epoch, losses[-1])
    b = [loss for at, loss in zip(row["at"], row["curve_b"], strict=True) if at >= 1]
    np.testing.assert_allclose(b, losses, rtol=1e-6)
    assert row["epoch"] == stopping.best_epoch + 1


def test_single_task_is_one_network_per_task(dataset):
    """Each task's loss is that of a table of its own, but for the streams of initial weights."""
    made = rows(dataset)
    model = _train.Model(
        Architecture.load("single_task").bind(made.session.schema), made.session, 0
    )
    before = model.weights()
    batch = next(made.training(0).epoch(0))
    losses = model.step(batch)
    assert losses.sums.shape == (2,) and len(model._parts) == 2
    moved = {
        name.split(".")[1]
        for name, value in model.weights().items()
        if not torch.equal(value, before[name])
    }
    assert moved == {"0", "1"}


def test_the_constant_by_hand(dataset):
    made = rows(dataset)
    store = made.session.store
    labels = store.rows("train").labels[made.fit]
    rates = np.nanmean(labels.astype(float), axis=0)
    truth = store.rows("validation").labels[made.judges["validation"][1]].astype(float)
    logs = np.where(truth == 1, np.log(rates), np.where(truth == 0, np.log(1 - rates), np.nan))
    losses = -np.nanmean(logs, axis=0)
    row, test = _train.constant(made)
    assert (
        row["loss"] == pytest.approx(np.mean(losses), rel=1e-6)
        and test["loss"] != row["loss"]
        and row["flops"] == 0
    )


@pytest.mark.parametrize("kind", ["regression", "multiclass", "binary"])
def test_base_rates_are_the_best_constants(kind):
    labels, weights = np.array([0.0, 1.0, 1.0, 2.0, np.nan]), np.array([1.0, 2.0, 1.0, 0.5, 9.0])
    if kind == "binary":
        labels[3] = 1.0
    task = Task(name="y", kind=kind, classes=3 if kind == "multiclass" else 2, mean=0.4, std=2.0)
    found = _train._base_rate(task, labels, weights)
    if kind == "regression":
        assert found == pytest.approx((4.0 / 4.5 - 0.4) / 2)
    elif kind == "multiclass":
        np.testing.assert_allclose(np.exp(found), np.array([1.0, 3.0, 0.5]) / 4.5)
    else:
        assert 1 / (1 + np.exp(-found)) == pytest.approx(3.5 / 4.5)


def test_roles_of_rows_are_disjoint_and_of_the_asked_sizes(dataset):
    made = rows(dataset, fit_rows=100, judged_rows=20)
    fit, a, b = set(made.fit), set(made.judges["a"][1]), set(made.judges["b"][1])
    assert len(fit) == 100 and len(a) == len(b) == 20 and not fit & a and not fit & b and not a & b
    assert (a | b) <= set(made.session.store.alpha_index) and fit <= set(
        made.session.store.fit_index
    )
    assert made.counts() == {"fit": 100, "a": 20, "b": 20, "validation": 20}


def test_rows_that_judge_without_a_label_are_refused_before_anything_is_trained(tmp_path):
    dataset = write_dataset(tmp_path / "data", rows=300, missing=0.9)
    with pytest.raises(
        DataError, match=r"rows: must have a label of task 'buy', got none in 2 rows"
    ):
        benchmark(dataset, judged_rows=2).run(tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_the_gate_stops_a_table_that_cannot_rank_and_the_rest_can_be_asked_for(
    dataset, tmp_path, monkeypatch
):
    told = Listening()
    monkeypatch.setattr("automtl.benchmarks.gate.LEAST_ICC", 1.1)  # nothing passes
    result = run(benchmark(dataset, told), tmp_path / "t", anyway=False)
    assert (
        not result.finished
        and result.trainings == 4
        and any("CANNOT rank" in line for line in told.lines)
    )
    assert run(benchmark(dataset), tmp_path / "t", resume=True).finished


def test_best_and_random_groups_come_from_open_rows_only(dataset, whole):
    plan, folder = read_plan(whole[1] / "plan.json"), TableFolder(whole[1])
    jobs = [*pilot_jobs(plan), *table_jobs(plan)]
    assert len({job.key for job in jobs}) == len(jobs)
    groups = fresh_groups(plan, folder.frame(jobs))
    sealed = {e.id for e in plan.entries if e.sealed}
    assert not sealed & {name for members in groups.values() for name in members}
    assert {job.seed for job in fresh_jobs(plan, groups)} == {2, 3, 4} and all(
        job.tested for job in fresh_jobs(plan, groups)
    )


@pytest.mark.parametrize(
    ("settings", "sets", "words"),
    [
        ({"epochs": 3}, (), "must go on with epochs 2, got 3"),
        ({"architectures": 6}, (), "must go on with architectures 4, got 6"),
        ({}, ("retrain.lr=0.01",), "must go on with lr 0.001, got 0.01"),
        ({}, ("space.towers=[4]",), r"must go on with towers \[8\], got \[4\]"),
        (
            {"fit_rows": 50},
            (),
            "must go on with fit rows None, got 50|must go on with settings hash",
        ),
    ],
)
def test_going_on_under_anything_else_is_refused(dataset, whole, settings, sets, words):
    with pytest.raises(ArtifactError, match="must go on with"):
        run(benchmark(dataset, sets=sets, **settings), whole[1], resume=True)


def test_an_existing_folder_a_folder_without_a_plan_and_another_commit(dataset, whole, tmp_path):
    with pytest.raises(ArtifactError, match="must not exist yet"):
        run(benchmark(dataset), whole[1])
    with pytest.raises(ArtifactError, match="plan.json: must exist"):
        run(benchmark(dataset), tmp_path, resume=True)
    with pytest.raises(ArtifactError, match="must go on with commit of the tests, got another"):
        run(benchmark(dataset), whole[1], resume=True, commit="another")


@pytest.mark.parametrize(
    "item",
    ["retrain.epochs=7", "retrain.patience=3", "runtime.on_nan=skip", "runtime.time_limit_s=9"],
)
def test_settings_that_a_table_does_not_read_are_refused(dataset, item):
    with pytest.raises(ConfigError, match=f"{item.partition('=')[0]}: must be left as it is"):
        benchmark(dataset, sets=[item])


def test_only_what_decides_a_training_is_in_its_hash(dataset):
    base = settings_hash(TableSettings(), config(dataset))
    same = [
        TableSettings(architectures=8),
        TableSettings(pilot=8),
        TableSettings(hand_made=()),
        TableSettings(sample=4),
    ]
    assert {settings_hash(s, config(dataset, "space.towers=[4]")) for s in same} == {base}
    others = [TableSettings(epochs=4), TableSettings(fit_rows=9), TableSettings(judged_rows=9)]
    items = (
        "retrain.lr=0.1",
        "retrain.batch_size=8",
        "retrain.weight_decay=0",
        "retrain.clip_norm=1",
    )
    changed = [config(dataset, item) for item in items]
    hashes = [settings_hash(s, config(dataset)) for s in others] + [
        settings_hash(TableSettings(), c) for c in changed
    ]
    assert len({base, *hashes}) == 8


def test_a_training_that_fails_has_a_row_that_says_so(dataset, monkeypatch):
    made = rows(dataset)
    [entry, *_] = _draw.draw_entries(
        made.session.config.space, made.session.schema, made.settings, print
    )
    monkeypatch.setattr(
        _train.Model,
        "step",
        lambda self, batch, **place: [p.data.fill_(torch.nan) for p in self.net.parameters()],
    )
    row, test = _train.train(entry.architecture, made, seed=0, test=True)
    assert (
        row["loss"] is None
        and test is None
        and "must be finite" in row["error"]
        and row["flops"] > 0
    )


def test_an_optimiser_is_part_of_a_tables_training_and_of_its_hash(dataset):
    plain = config(dataset)
    table = TableSettings(epochs=2)
    others = [
        "optimizer=sgd",
        "schedule=cosine",
        "warmup_epochs=1",
        "group_lr={tables: 0.1}",
        "betas=[0.5, 0.9]",
    ]
    hashes = {settings_hash(table, config(dataset, f"retrain.{other}")) for other in others}
    assert len(hashes | {settings_hash(table, plain)}) == len(others) + 1
    made, curves = rows(dataset), []
    [entry, *_] = _draw.draw_entries(
        made.session.config.space, made.session.schema, made.settings, print
    )
    for other in ("schedule=constant", "schedule=cosine"):
        session = made.session.__class__(
            **{**vars(made.session), "config": config(dataset, f"retrain.{other}")}
        )
        row, _ = _train.train(
            entry.architecture, made.__class__(session, made.settings), seed=0, test=False
        )
        curves.append(row["curve_b"])
    first = sum(at <= 1 for at in row["at"])
    assert curves[0][:first] == curves[1][:first] and curves[0][first:] != curves[1][first:], (
        "a cosine's first epoch is at the whole rate"
    )
