"""A race in a search: who runs how far, what is compared how, resume from anywhere, limits."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from automtl.config import resolve
from automtl.errors import ArtifactError, ConfigError, NoResult
from automtl.phases.race._align import aligned, unused
from automtl.phases.race._compare import Table
from automtl.phases.race.course import Course
from automtl.phases.race.results import Result
from automtl.phases.run.session import open_session
from automtl.phases.search import search
from automtl.phases.search.context import scored
from automtl.runs import checkpoint
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import RunDir
from automtl.runs.status import status
from automtl.spaces.architecture import Architecture, Sharing
from automtl.strategies.encoding import Genes, Genome
from automtl.training.metrics.evaluation import evaluate, predict
from automtl.training.metrics.influence import influence, variance
from scripts.small import SEARCH, write_dataset
from tests.phases.stopping import After, same_phase, stop
from tests.support import Stop, small_schema, small_space

RACE = (
    *SEARCH,
    "search.selection=race",
    "search.race_candidates=3",
    "search.race_controls=1",
    "search.race_finalists=2",
    "search.race_seeds=2",
    "search.race_checks=2",
    "search.rivals=[shared_bottom]",
    "retrain.batch_size=64",
    "retrain.lr=0.02",
    "space.dropout=0.1",
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("race"), rows=700)


def config(dataset, *sets, **runtime):
    flags = {
        "data": {"dir": str(dataset.parent / "cache")},
        "runtime": {"checkpoint_every_steps": 3, "threads": 1, **runtime},
    }
    return resolve(source=str(dataset), space="automtl_small", sets=[*RACE, *sets], flags=flags)


@pytest.fixture(scope="module")
def raced(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("raced") / "run"
    return search(config(dataset), out=out)


def lines_of(run):
    return [json.loads(line) for line in RunDir(run).search.race.read_text().splitlines()]


# -- the course


@dataclass(frozen=True)
class Runner:
    id: str
    kind: str = "proposal"


def walk(course, a_of):
    """All jobs of a course whose losses on A rows are as given."""
    results, jobs = [], []
    while (job := course.next(results)) is not None:
        jobs.append(job)
        a = a_of(job.entrant.id, job.rung)
        held = {"name": "it", "kind": job.entrant.kind, "flops": 1, "parameters": 1}
        results.append(
            Result(
                stage=job.stage,
                rung=job.rung,
                candidate=job.entrant.id,
                seed=job.seed,
                rows=job.end,
                a=a,
                b=a,
                **held,
            )
        )
    return jobs, results


def test_halving_by_three_on_a_then_finals_with_fresh_seeds():
    course = Course([Runner(str(i)) for i in range(15)], finalists=3, seeds=3, steps=90)
    jobs, results = walk(course, lambda name, rung: float(name))
    rungs = [[j for j in jobs if j.stage == "rung" and j.rung == r] for r in range(2)]
    assert [len(r) for r in rungs] == [15, 5] and course.rungs == 2
    assert {(j.start, j.end) for j in rungs[0]} == {(0, 10)}
    assert {(j.start, j.end) for j in rungs[1]} == {(10, 30)}
    assert {j.entrant.id for j in rungs[1]} == {"0", "1", "2", "3", "4"}
    finals = [(j.entrant.id, j.seed, j.start, j.end) for j in jobs if j.stage == "final"]
    assert finals == [(str(i), s, 0, 90) for s in range(3) for i in range(3)]
    assert len(jobs) == len(rungs[0]) + len(rungs[1]) + 9
    assert [course.whole_rungs(results[:n]) for n in (0, 14, 15, 19, 20, 29)] == [0, 0, 1, 1, 2, 2]
    assert course.leader(results[:17]).id == "0"
    steps = sum(j.end - j.start for j in jobs)
    assert steps <= course.planned_steps <= steps + 3 * 90  # a rival may come beside


def test_the_best_rival_is_in_the_finals_and_who_diverges_is_out():
    runners = [*(Runner(str(i)) for i in range(8)), Runner("90", "rival"), Runner("91", "rival")]
    course = Course(runners, finalists=3, seeds=2, steps=9)
    jobs, results = walk(course, lambda name, rung: float(name) if name != "1" else None)
    assert [e.id for e in course.in_finals(results)] == ["0", "2", "3", "90"]
    few = Course(runners[:2], finalists=3, seeds=2, steps=9)
    assert few.rungs == 0 and [j.stage for j in walk(few, lambda *_: 1.0)[0]] == ["final"] * 4


# -- comparing


def result(candidate, seed, b, stage="final"):
    return Result(
        stage=stage,
        rung=1,
        candidate=candidate,
        name=candidate,
        kind="proposal",
        seed=seed,
        rows=1,
        a=0.0,
        b=b,
        flops=1,
        parameters=1,
    )


def test_margins_are_of_seeds_and_rows_pooled_and_adjusted():
    rng = np.random.default_rng(0)
    figures = {c: rng.normal(0.5 + 0.02 * i, 0.01, 3) for i, c in enumerate("xyz")}
    units = {("final", c): 3 * rng.normal(0, 1e-4, 200) for c in figures}
    table = Table([result(c, s, b) for c in figures for s, b in enumerate(figures[c])], units)
    pooled = math.sqrt(np.mean([np.var(v, ddof=1) for v in figures.values()]))
    assert table.pooled == pytest.approx((pooled, 6.0)) and table.margin == 1.5 * table.pooled[0]
    p, gaps = {}, table.family([("final", c) for c in "xyz"])
    for one, two in (("x", "y"), ("x", "z"), ("y", "z")):
        rows = np.sum((units["final", one] / 3 - units["final", two] / 3) ** 2) * 200 / 199
        known = pooled**2 * 2 / 3
        error = math.sqrt(known + rows)
        freedom = (known + rows) ** 2 / (known**2 / 6)
        difference = figures[one].mean() - figures[two].mean()
        p[one, two] = 2 * stats.t.sf(abs(difference) / error, freedom), difference, error, freedom
    order = sorted(p, key=lambda pair: p[pair][0])
    stopped = False
    for rank, pair in enumerate(order):
        value, difference, error, freedom = p[pair]
        stopped = stopped or value * (3 - rank) >= 0.05
        gap = gaps[("final", pair[0]), ("final", pair[1])]
        assert gap.difference == pytest.approx(difference) and gap.apart is not stopped
        if not stopped:
            half = stats.t.ppf(1 - 0.025 / (3 - rank), freedom) * error
            assert (gap.low, gap.high) == pytest.approx((difference - half, difference + half))
        half = stats.t.ppf(0.95, freedom) * error
        assert gap.tied == (abs(difference) + half < table.margin)


def test_a_training_that_is_not_finite_is_out_of_the_comparison():
    figures = [result("x", 0, 0.5), result("x", 1, 0.6), result("y", 0, 0.4), result("y", 1, None)]
    table = Table(figures, {("final", "x"): np.zeros(4)})
    assert table.mean(("final", "y")) == math.inf and list(table.losses) == [("final", "x")]


def test_the_influence_of_rows_is_the_bootstraps_variance():
    schema, rng = small_schema(), np.random.default_rng(0)
    from automtl.training.metrics.evaluation import Predictions

    labels = (rng.random((600, 2)) < 0.4).astype(np.float32)
    labels[rng.random(labels.shape) < 0.3] = np.nan
    weights = rng.gamma(2.0, size=labels.shape).astype(np.float32)
    groups = rng.integers(0, 150, 600)

    def losses(logits, rows):
        held = Predictions([x[rows] for x in logits], labels[rows], weights[rows], rows)
        return evaluate(held, schema.tasks).loss

    one, two = ([rng.normal(size=600).astype(np.float32) for _ in range(2)] for _ in range(2))
    everyone = np.arange(600)
    found = [influence(Predictions(x, labels, weights, everyone), schema.tasks) for x in (one, two)]
    assert found[0].loss == pytest.approx(losses(one, everyone), abs=1e-9)
    assert abs(found[0].units.sum()) < 1e-12
    draws = [rng.integers(0, 600, 600) for _ in range(400)]
    sampled = np.var([losses(one, d) - losses(two, d) for d in draws])
    assert variance(found[0].units, found[1].units) == pytest.approx(sampled, rel=0.25)
    grouped = influence(Predictions(one, labels, weights, everyone), schema.tasks, groups)
    assert len(grouped.units) == len(np.unique(groups))
    np.testing.assert_allclose(
        grouped.units, [found[0].units[groups == g].sum() for g in np.unique(groups)], atol=1e-12
    )


# -- experts' numbers


def test_choices_are_compared_up_to_the_order_of_experts():
    genes = Genes(small_space(chosen_experts=2), small_schema(), Sharing())
    rng = np.random.default_rng(0)
    for _ in range(30):
        genome, order = genes.draw(rng), rng.permutation(3)
        blocks = np.array(genome.picks[1:]).reshape(3, 2)
        chosen = tuple(
            tuple(sorted(int(np.argsort(order)[e]) for e in task)) for task in genome.chosen
        )
        other = Genome((genome.picks[0], *map(int, blocks[order].reshape(-1))), chosen)
        first, second = genes.architecture(genome), genes.architecture(other)
        assert aligned(genes, first, second) == genes.taken(genome)
    changed = Genome(((genome.picks[0] + 1) % 6, *genome.picks[1:]), genome.chosen)
    told = aligned(genes, first, genes.architecture(changed))
    assert [n for n, v in told.items() if v != genes.taken(genome)[n]] == ["interaction.0"]
    idle = unused(genes, first)
    used = {e for task in genome.chosen for e in task}
    assert idle == {f"level0.pool.{e}.block.{j}" for e in {0, 1, 2} - used for j in range(2)}


def test_with_one_group_of_rows_nothing_is_compared():
    table = Table(
        [result(c, s, 0.1 * s) for c in "xy" for s in range(2)],
        {("final", c): np.zeros(1) for c in "xy"},
    )
    assert table.family([("final", "x"), ("final", "y")]) == {}


# -- in a search


def test_a_race_writes_what_it_did_and_the_architecture_is_the_winners(raced, dataset):
    told = lines_of(raced.run)
    rungs = [line for line in told if line["stage"] == "rung"]
    kinds = [line["kind"] for line in rungs[:5]]
    assert kinds == ["proposal"] * 3 + ["control", "rival"]
    finals = [line for line in told if line["stage"] == "final"]
    means = {
        line["candidate"]: np.mean([x["b"] for x in finals if x["candidate"] == line["candidate"]])
        for line in finals
    }
    race = raced.race
    assert race["loss_b"] <= min(means.values()) * 1.001 + 1e-12
    assert len(finals) == 2 * len(means) and "shared_bottom" in {x["name"] for x in finals}
    assert race["words"][0].endswith("on B rows") and race["rival"] is not None
    phase = RunDir(raced.run).search
    assert Manifest.read(phase.manifest).values["race"]["winner"] == race["winner"]
    assert not list(phase.path.glob("checkpoint/race-*"))
    assert raced.architecture.tasks is not None
    spent = json.loads(phase.cost.read_text())
    assert spent["rows"]["train"] >= sum(x["rows"] for x in finals)
    [shown] = status(raced.run)
    assert shown["decided"] == raced.decided and "race" in shown
    assert "race.jsonl" in Manifest.read(phase.manifest).values["sums"]


def test_figures_of_a_race_are_the_models_on_a_and_b(raced, dataset):
    """The first rung's first line by hand: the same steps, the same rows."""
    from automtl.phases.run.alone import Model

    made = config(dataset)
    session = open_session(made)
    line = lines_of(raced.run)[0]
    state = checkpoint.load(RunDir(raced.run).search.checkpoint("last"))
    assert state["race"]["entrants"][0] == line["candidate"]
    assert line["rows"] == 128 or line["rows"] > 0
    seed = int(np.random.SeedSequence([0, 0, 0]).generate_state(1)[0])
    from automtl.phases.race.entrants import make_entrant
    from automtl.phases.search._phase import SearchPhase

    phase = SearchPhase(session, RunDir(raced.run).search, made.space)
    phase._restore(state)
    entrant = phase.race.course.entrants[0]
    assert make_entrant("proposal", "x", entrant.architecture, session).id == line["candidate"]
    model = Model(entrant.architecture, session, seed)
    batches = session.batches("fit", batch_size=64, seed=model.seeds.fit)
    end, per = phase.race.course.end(0), len(batches)
    for step, batch in zip(range(end), batches.cycle(), strict=False):
        model.step(batch, epoch=step // per, step=step % per, steps=per, epochs=3)
    for role in "ab":
        rows = scored(session, 16_384, role)
        loss = evaluate(predict(model.net, rows), session.schema.tasks).loss
        assert line[role] == pytest.approx(loss, abs=1e-6)


# the search has 12 steps; then in a rung, between two, in the finals, in the checks
STEPS = (31, 100, *(pytest.param(n, marks=pytest.mark.slow) for n in (13, 20, 60, 120)))


@pytest.mark.parametrize("after", STEPS)
def test_a_race_that_is_stopped_goes_on_to_the_same_bits(dataset, tmp_path, raced, after):
    made, out = config(dataset), tmp_path / "run"
    with pytest.raises(Stop):
        search(made, out=out, reporter=After(after, stop))
    phase = RunDir(out).search
    [shown] = status(out)
    if phase.race.exists():
        assert "trainings" in shown["race"]
    search(made, out=out, resume=True)
    assert phase.race.read_bytes() == RunDir(raced.run).search.race.read_bytes()
    same_phase(phase.path, RunDir(raced.run).search.path)


def test_a_killed_race_forgets_what_no_checkpoint_knows_and_damage_is_told(
    dataset, tmp_path, raced
):
    made, out = config(dataset), tmp_path / "run"
    with pytest.raises(Stop):
        search(made, out=out, reporter=After(60, stop))
    phase = RunDir(out).search
    whole = phase.race.read_text()
    phase.race.write_text(whole + whole.splitlines()[0] + "\n")  # written after the checkpoint
    phase.race.write_text(whole.replace('"seed": 0', '"seed": 1', 1))
    with pytest.raises(ArtifactError, match=r"race.jsonl: must hold the lines"):
        search(made, out=out, resume=True)
    phase.race.write_text(whole + whole.splitlines()[0] + "\n")
    search(made, out=out, resume=True)
    assert phase.race.read_bytes() == RunDir(raced.run).search.race.read_bytes()


def test_a_limit_before_the_first_rung_hands_over_nothing(dataset, tmp_path):
    with pytest.raises(NoResult, match="must finish the first rung of its race within"):
        search(config(dataset, time_limit_s=1e-9), out=tmp_path / "run")
    phase = RunDir(tmp_path / "run").search
    assert not phase.architecture.exists() and phase.state() == "interrupted"


def test_a_limit_after_it_hands_over_the_leader_and_decides_nothing(dataset, tmp_path, monkeypatch):
    from automtl.phases.search._phase import SearchPhase

    def late(self):
        return self.race is not None and self.race.whole_rungs > 0

    monkeypatch.setattr(SearchPhase, "_late", late)
    found = search(config(dataset), out=tmp_path / "run")
    told = [line for line in lines_of(tmp_path / "run") if line["rung"] == 0]
    assert found.state == "time_limited" and found.decided.startswith("nothing is decided")
    assert found.race["winner"] == min(told, key=lambda line: line["a"])["name"]
    assert "was stopped after 1 rungs" in found.remarks[0]
    monkeypatch.undo()
    again = search(config(dataset), out=tmp_path / "run", resume=True)
    assert again.state == "done" and len(again.race["words"]) > 2


def test_random_search_with_a_race_trains_no_supernet(dataset, tmp_path):
    found = search(
        config(dataset, "search.strategy=random_search", "search.rivals=[]"), out=tmp_path / "run"
    )
    phase = RunDir(tmp_path / "run").search
    assert "supernet" not in json.loads(phase.cost.read_text())
    assert found.race["rival"] is None and found.architecture.chosen
    assert [line["name"] for line in lines_of(tmp_path / "run")][:3] == [
        "proposal 1",
        "proposal 2",
        "proposal 3",
    ]


@pytest.mark.parametrize(
    "strategy",
    ["evolution", *(pytest.param(n, marks=pytest.mark.slow) for n in ("snas", "gdas"))],
)
def test_every_strategy_races(dataset, tmp_path, strategy):
    fast = ("search.population=4", "search.generations=1", "search.score_rows=64")
    found = search(
        config(dataset, f"search.strategy={strategy}", "search.race_checks=0", *fast),
        out=tmp_path / "run",
    )
    assert found.race["winner"] and Architecture.load(RunDir(found.run).search.architecture)
    assert not [
        d for d in found.decisions if d["verdict"] == "decided" and d["choice"] != "the model"
    ]


def test_a_hand_made_winner_is_said_and_can_be_retrained(dataset, tmp_path, monkeypatch, capsys):
    from automtl.cli.main import main

    # so few and small steps that only the wide one learns
    few = ("retrain.lr=0.001", "search.rivals=[mmoe]", "search.race_epochs=2")
    found = search(config(dataset, *few), out=tmp_path / "run")
    assert found.race["kind"] == "rival" and found.remarks[0].startswith("hand-made: mmoe wins")
    assert [d["choice"] for d in found.decisions] == ["the model"]
    assert found.architecture == Architecture.load("mmoe").bind(
        open_session(config(dataset)).schema
    )
    words = ["retrain", str(tmp_path / "run"), "--fast-dev-run"]
    for line in (words, ["show", str(tmp_path / "run"), "-o", str(tmp_path / "it.svg")]):
        monkeypatch.setattr("sys.argv", ["automtl", *line])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
    assert RunDir(tmp_path / "run").retrains()


def test_hand_made_models_beyond_a_hard_limit_do_not_run(dataset):
    from automtl.phases.race.entrants import entrants, rivals

    said = After(10**9, stop)
    limited = config(dataset, "search.rivals=[mmoe,shared_bottom]")
    session = open_session(limited, said)
    wide, narrow = (entrant.flops for entrant in rivals(session))
    assert wide > narrow
    limited = config(dataset, "search.rivals=[mmoe,shared_bottom]", f"search.max_flops={wide - 1}")
    session = open_session(limited, said)
    genes = Genes(limited.space, session.schema, Sharing())
    made = entrants([genes.architecture(genes.draw(np.random.default_rng(0)))], genes, session, 0)
    assert [e.name for e in made] == ["proposal 1", "control 1", "shared_bottom"]
    assert f"mmoe does not run in the race: it has {wide:,} FLOPs a row" in said.said[-1]


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        ("search.rivals=[mome]", "must train in one stage"),
        ("search.rivals=[mmoe,mmoe]", "must name each model once"),
        ("search.rivals=[nothing]", "nothing"),
        ("retrain.warmup_epochs=3", "must be below search.race_epochs = 3"),
        ("search.race_finalists=1", "race_finalists"),
        ("search.race_seeds=1", "race_seeds"),
    ],
)
def test_what_cannot_race_is_refused_before_there_is_a_folder(dataset, tmp_path, sets, words):
    with pytest.raises((ConfigError, ArtifactError), match=words):
        search(config(dataset, sets), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
