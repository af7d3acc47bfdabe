"""A race in a search: what it writes, resume from anywhere, limits, refusals."""

import json
import re

import numpy as np
import pytest

from automtl.cli._search_screen import show
from automtl.config import resolve
from automtl.errors import ArtifactError, ConfigError, NoResult, NumericalError
from automtl.phases.race.race import Race
from automtl.phases.run.alone import Model
from automtl.phases.run.opening import open_session
from automtl.phases.run.resume import unsaid_settings
from automtl.phases.run.session import Seeds
from automtl.phases.search import resumed, search
from automtl.phases.search._phase import SearchPhase
from automtl.phases.search.budget import check_idle, with_filled
from automtl.phases.tune._ranges import applied
from automtl.runs import checkpoint, checksums
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir, RunDir
from automtl.runs.status import status
from automtl.spaces.architecture import Architecture, Sharing
from automtl.strategies.encoding import SpaceEncoding
from automtl.strict import load_yaml, to_yaml
from automtl.training.metrics.evaluation import evaluate, predict
from scripts.small import SEARCH, SPACE, write_dataset
from tests.phases.stopping import After, same_phase, stop
from tests.support import Stop

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
    "retrain.lr=0.03",
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
    given = [*RACE, *sets]
    if "search.strategy=random_search" in sets:  # refuses what is of a supernet
        given = [item for item in given if item not in SEARCH or item in SPACE]
    return resolve(source=str(dataset), space="automtl_small", sets=given, flags=flags)


@pytest.fixture(scope="module")
def raced(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("raced") / "run"
    return search(config(dataset), out=out)


def lines_of(run):
    return [json.loads(line) for line in RunDir(run).search.race.read_text().splitlines()]


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
    assert len(finals) == 2 * len(means) and "shared_bottom (scaled)" in {x["name"] for x in finals}
    assert race["words"][0].endswith("on B rows") and race["rival"] is not None
    phase = RunDir(raced.run).search
    assert Manifest.read(phase.manifest).values["race"]["winner"] == race["winner"]
    assert not list(phase.path.glob("checkpoint/race-*"))
    assert raced.architecture.tasks is not None
    spent = json.loads(phase.cost.read_text())
    assert spent["rows"]["train"] >= sum(x["rows"] for x in finals)
    [shown] = status(raced.run)
    assert shown["decided"] == raced.decided and "race" in shown
    assert {"race.jsonl", "hand_made.json"} <= {*Manifest.read(phase.manifest).values["sums"]}
    beside = Architecture.load(phase.beside("hand_made"))
    assert (beside.name, race["rival"]["name"]) == ("shared_bottom", "shared_bottom (scaled)")
    assert not beside.recommended  # it was trained as the others
    assert beside.experts != Architecture.load("shared_bottom").experts and not beside.is_template


@pytest.mark.parametrize("patience", [1, 2, None])
def test_figures_of_a_race_are_the_models_on_a_and_b(dataset, tmp_path, patience):
    """The first line by hand: the same steps, the same rows, judged after the pass with the least
    loss on B rows, which is the last one that was tried where there is no patience.
    """
    words = "null" if patience is None else patience
    sets = ("search.race_epochs=5.5", "retrain.lr=0.1", f"search.race_patience={words}")
    made, out = config(dataset, *sets), tmp_path / "run"
    search(made, out=out)
    session, phase = open_session(made), SearchPhase(open_session(made), RunDir(out).search)
    phase.load_state_dict(checkpoint.load(RunDir(out).search.checkpoint("last")))
    rows = {role: session.scored(role) for role in "ab"}
    batches = session.batches("fit", batch_size=64, seed=Seeds.of(seed_of_rungs()).fit)
    per, picked = len(batches), []
    for entrant, line in zip(phase.stage.race.course.entrants, lines_of(out), strict=False):
        assert line["candidate"] == entrant.id
        model, looks = Model(entrant.architecture, session, seed_of_rungs()), []
        for step, batch in zip(range(round(5.5 * per)), batches.cycle(), strict=False):
            model.step(batch, epoch=step // per, step=step % per, steps=per, epochs=6)
            if (step + 1) % per == 0 or step + 1 == round(5.5 * per):
                losses = {
                    role: evaluate(predict(model.net, of), session.schema.tasks).loss
                    for role, of in rows.items()
                }
                looks.append((losses["b"], min(step + 1, round(5.5 * per)), losses["a"]))
        end = len(looks) if patience is None else ended(looks, patience)
        best = looks[-1] if patience is None else min(looks[:end])
        assert (line["b"], line["a"]) == pytest.approx((best[0], best[2]), abs=1e-6)
        fit = batches.num_rows
        trained, judged = (
            step // per * fit + step % per * 64 for step in (looks[end - 1][1], best[1])
        )
        assert (line["rows"], line["judged"]) == (trained, judged)
        picked.append((trained, judged))
    early = any(judged < trained for trained, judged in picked)
    assert early == (patience is not None), "else there was nothing to pick"


def seed_of_rungs():
    return int(np.random.SeedSequence([0, 0, 0]).generate_state(1)[0])


def ended(looks, patience):
    """How many whole passes, and the rest at the end, are trained."""
    for count in range(1, len(looks)):
        best = min(range(count), key=lambda i: looks[i][0])
        if count - 1 - best >= patience:
            return count
    return len(looks)


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
        assert re.search(
            "^[0-9]+ trainings?; last: .* in (candidates|finals|checks)", shown["race"]
        )
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


def test_a_race_that_0_2_0_began_goes_on_as_it_began(dataset, tmp_path, monkeypatch):
    """Stopped between the last step of a training and its judgement, which was no part of it."""
    given = ("search.strategy=random_search", "search.race_checks=0")
    as_then = ("race_halving=true", "race_patience=null", "race_patterns=0", "scale_rivals=false")
    sets = (f"search.{setting}" for setting in as_then)
    named = config(dataset, *given, *sets, checkpoint_every_steps=1)
    whole = search(named, out=tmp_path / "whole")
    cut = tmp_path / "cut"
    judged = Race._judged
    with monkeypatch.context() as patched, pytest.raises(Stop):
        patched.setattr(
            Race, "_judged", lambda r, j: stop() if len(r.results) == 2 else judged(r, j)
        )
        search(named, out=cut)
    phase = RunDir(cut).search
    settings = load_yaml(phase.config)
    for setting in as_then:  # that version knew none
        del settings["search"][setting.partition("=")[0]]
    phase.config.write_text(to_yaml(settings))
    manifest = Manifest.read(phase.manifest)
    manifest.update(
        sums={**manifest.values["sums"], **checksums.of_folder(phase.path, checksums.FIXED)}
    )
    state = checkpoint.load(last := phase.checkpoint("last"))
    assert state["race"]["lines"] == 2
    assert state["race"].pop("best")["step"] == state["race"]["step"] > 0
    del state["race"]["halving"]
    checkpoint.save(last, state)
    settled = resumed(cut, config(dataset, *given))
    assert settled.search == named.search
    with pytest.raises(ConfigError, match="race_halving False .was True"):
        resumed(cut, config(dataset, *given, "search.race_halving=false"))
    search(settled, out=cut, resume=True)
    assert phase.race.read_bytes() == RunDir(whole.run).search.race.read_bytes()


@pytest.mark.parametrize("selection", ["race", "argmax"])
def test_a_study_that_0_2_0_began_has_trials_that_can_be_searched(dataset, tmp_path, selection):
    """Settings of a race stood in trials without one, and each was refused."""
    begun = PhaseDir(tmp_path)
    begun.config.write_text(to_yaml({"search": {"selection": selection}}))
    unsaid = unsaid_settings(begun)
    sets = [*SEARCH, f"search.selection={selection}"]
    now = resolve(source=str(dataset), space="automtl_small", sets=sets, flags={})
    settings = with_filled(now, unsaid)
    check_idle(applied(settings, {"search.alpha_lr": 0.1}))
    assert bool(unsaid) == (selection == "race") == settings.search.race_halving


def test_a_line_that_was_written_before_any_checkpoint_of_the_race_is_not_there_twice(
    dataset, tmp_path, raced, monkeypatch
):
    """Killed between the first line and the checkpoint after it."""
    made, out = config(dataset, checkpoint_every_steps=10**6), tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(Race, "state_dict", lambda self: stop())
        with pytest.raises(Stop):
            search(made, out=out)
    assert RunDir(out).search.race.read_text().count("\n") == 1
    search(made, out=out, resume=True)
    assert RunDir(out).search.race.read_bytes() == RunDir(raced.run).search.race.read_bytes()


def test_a_race_after_a_rollback_goes_on_to_the_same_bits(dataset, tmp_path, monkeypatch):
    """Its checkpoint stands at the epoch that was gone back to: the search went on from there."""
    from automtl.strategies.monitor import CollapseRule

    monkeypatch.setattr(
        CollapseRule, "reason", lambda self, lines: "made to" if len(lines) == 2 else ""
    )
    made = config(dataset, "search.on_collapse=rollback", "search.race_checks=0")
    whole = search(made, out=tmp_path / "whole")
    with pytest.raises(Stop):
        search(made, out=tmp_path / "cut", reporter=After(31, stop))
    again = search(made, out=tmp_path / "cut", resume=True)
    phases = [RunDir(result.run).search for result in (whole, again)]
    assert again.epochs == whole.epochs == len(phases[0].read_metrics()) == 2
    assert phases[0].race.read_bytes() == phases[1].race.read_bytes()
    same_phase(phases[0].path, phases[1].path)


def test_a_limit_before_the_first_rung_hands_over_nothing(dataset, tmp_path):
    with pytest.raises(
        NoResult,
        match=r"a first training of each candidate of its race [^;]* over after 0 trainings;",
    ):
        search(config(dataset, time_limit_s=1e-9), out=tmp_path / "run")
    phase = RunDir(tmp_path / "run").search
    assert not phase.architecture.exists() and phase.state() == "interrupted"


def test_a_limit_after_it_hands_over_the_leader_and_decides_nothing(dataset, tmp_path, monkeypatch):
    from automtl.phases.search._phase import SearchPhase

    def late(self):
        return self.stage.race is not None and self.stage.race.whole_rungs > 0

    monkeypatch.setattr(SearchPhase, "_late", late)
    found = search(config(dataset), out=tmp_path / "run")
    told = [line for line in lines_of(tmp_path / "run") if line["rung"] == 0]
    assert found.state == "time_limited" and found.decided.startswith("nothing is decided")
    assert found.race["winner"] == min(told, key=lambda line: line["a"])["name"]
    assert "was stopped before its finals were over" in found.remarks[0]
    monkeypatch.undo()
    again = search(config(dataset), out=tmp_path / "run", resume=True)
    assert again.state == "done" and len(again.race["words"]) > 2


def test_finals_without_a_finite_loss_are_refused_and_not_won(dataset, tmp_path, monkeypatch):
    """The winner had the loss inf, which no JSON holds."""
    judged = Race._judged

    def broken(self, job):
        if job.stage == "final":
            raise NumericalError("B rows", "the MTL-Loss must be finite", "nan")
        return judged(self, job)

    monkeypatch.setattr(Race, "_judged", broken)
    fast = ("search.strategy=random_search", "search.race_epochs=1", "search.rivals=[]")
    with pytest.raises(NumericalError, match="race: a candidate's losses must be finite"):
        search(config(dataset, *fast), out=tmp_path / "run")


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
    fast = ("search.score_rows=64", "search.race_checks=0", "search.race_patterns=0")
    if strategy == "evolution":
        fast = (*fast, "search.population=4", "search.generations=1")
    found = search(
        config(dataset, f"search.strategy={strategy}", *fast),
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
    few += ("search.scale_rivals=false",)
    found = search(config(dataset, *few), out=tmp_path / "run")
    assert found.race["kind"] == "rival" and found.remarks[0].startswith("hand-made: mmoe wins")
    assert [d["choice"] for d in found.decisions] == ["the model"]
    show(found, full=False)
    told = capsys.readouterr()
    assert re.search(r"^model +mmoe (!|\? searched \()", told.out, re.MULTILINE)
    assert "hand-made architecture (done)" in told.out + told.err
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
    rivals_of = ("search.rivals=[mmoe,shared_bottom]", "search.scale_rivals=false")
    limited = config(dataset, *rivals_of, f"search.max_flops={wide - 1}")
    session = open_session(limited, said)
    encoding = SpaceEncoding(limited.space, session.schema, Sharing())
    made = entrants(
        [encoding.architecture(encoding.draw(np.random.default_rng(0)))], encoding, session, 0
    )
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
