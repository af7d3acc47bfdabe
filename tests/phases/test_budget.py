"""A budget settles what nobody gave, once, before the first step."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

import automtl
from automtl.config import RunConfig, resolve
from automtl.config_search import SearchSection
from automtl.errors import ConfigError
from automtl.phases.race.course import Schedule
from automtl.phases.run.opening import training_session
from automtl.phases.search import resumed, search
from automtl.phases.search._filling import with_budget
from automtl.phases.search.budget import Budget, default_budget, given_by_user
from automtl.phases.search.plan import as_rows, plan_search
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import RunDir
from automtl.strict import build, load_yaml
from tests.phases.stopping import After, config, stop
from tests.support import Stop, read_settings, write_dataset

RACE = ("search.strategy=random_sampling", "search.selection=race")
PAPER = ("search.strategy=darts", "search.selection=argmax")
SHAPE = ("race_candidates", "race_controls", "race_seeds", "race_checks", "race_patterns")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), rows=300)


def bare(dataset, *sets):
    """Settings in which nothing of the search is given but `sets`."""
    return resolve(
        source=str(dataset),
        space="automtl_small",
        sets=["space.expert_dim=4", "retrain.batch_size=64", *sets],
        flags={"data": {"dir": str(dataset.parent / "prepared")}},
    )


def filled(dataset, text, *sets):
    session = training_session(bare(dataset, *sets), search=True, retrain=False)
    return with_budget(session, session.config.space, Budget.parse(text))


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("90s", 90, "seconds"),
        ("10m", 600, "seconds"),
        (" 1.5h ", 5400, "seconds"),
        ("5e6rows", 5e6, "rows"),
        ("2000 rows", 2000, "rows"),
        ("2e13flops", 2e13, "FLOPs"),
        ("2.5e+13 FLOPs", 2.5e13, "FLOPs"),
    ],
)
def test_a_budget_is_read(text, amount, unit):
    budget = Budget.parse(text)
    assert (budget.amount, budget.unit, budget.text) == (amount, unit, text.strip())


@pytest.mark.parametrize(
    "text", ["", "10", "0m", "-3m", "10M", "1e999rows", "nanm", "10 days", "m"]
)
def test_what_is_no_budget_is_refused(text):
    with pytest.raises(ConfigError, match="budget: must be above 0 and finite, with a unit"):
        Budget.parse(text)


@pytest.mark.parametrize(
    ("text", "cost", "said"),
    [
        ("1s", 1.0001, "1.01 s"),
        ("10m", 600.01, "10.1 minutes"),
        ("5e6rows", 5_000_001, "5.01e+06 rows"),
        ("2e13flops", 3e13, "3e+13 FLOPs"),
    ],
)
def test_what_a_budget_does_not_pay_is_said_to_be_more(text, cost, said):
    """A budget of 1 s had to pay about 1 s."""
    assert Budget.parse(text).say(cost, up=True) == said


@pytest.mark.parametrize("budget", [True, float("nan"), float("inf"), 0, -3.0, [1]])
def test_a_python_budget_that_is_no_number_of_seconds_is_told_as_it_was_given(budget):
    with pytest.raises(ConfigError, match=f"or seconds as a number, got {re.escape(repr(budget))}"):
        automtl.search("census_income", budget=budget)


def test_no_budget_plans_more_epochs_than_a_supernet_may_have(dataset):
    """Half an hour's FLOPs on few rows were millions of epochs, and a fault of automtl."""
    session, plan = filled(dataset, "1e15rows", *PAPER)
    assert session.config.search.epochs == plan.settings["epochs"] == 100_000


def test_a_plan_refuses_what_its_search_would(dataset):
    with pytest.raises(ConfigError, match="search.gradient_conflict"):
        plan_search(bare(dataset, "search.gradient_conflict=false"))


def test_rows_of_a_supernet_by_hand(dataset):
    """The fit rows of an epoch and as many batches of A rows."""
    session = training_session(bare(dataset, *PAPER), search=True, retrain=False)
    fit = session.batches("fit", batch_size=1024, seed=0).num_rows
    alpha = session.batches("a", batch_size=1024, seed=0).num_rows
    session, made = filled(dataset, f"{7 * (fit + alpha) + 5} rows", *PAPER)
    assert dict(made.settings) == {"epochs": 7, "warmup_epochs": 2}
    assert made.strategy == 7 * (fit + alpha) and made.race == 0
    assert (session.config.search.epochs, session.config.search.warmup_epochs) == (7, 2)
    assert "7 epochs of the supernet" in made.words


@pytest.mark.parametrize("halving", ["false", "true"])
def test_rows_of_a_race_by_hand(dataset, halving):
    for rows in (60_000, 400_000, 5_000_000):
        session, made = filled(dataset, f"{rows}rows", *RACE, f"search.race_halving={halving}")
        s = session.config.search
        batches = len(session.batches("fit", batch_size=64, seed=0))
        count = s.race_candidates + s.race_controls + len(s.rivals)
        schedule = Schedule(count, s.race_finalists, s.race_halving)
        whole = max(1, round(s.race_epochs * batches))
        checks = s.race_checks + s.race_patterns + 1
        steps = schedule.planned_steps(s.race_seeds, whole) + checks * s.race_seeds * whole
        whole_ones = (s.race_finalists + 1 + checks) * s.race_seeds
        looks = np.ceil(whole / batches)  # each pass is judged, but of rungs that stop some early
        at_rungs = sum(schedule.sizes[:-1]) * (1 if s.race_halving else looks)
        judged = len(session.index("a")) + len(session.index("b"))
        assert made.race == steps * 64 + (at_rungs + whole_ones * looks) * judged <= rows
        assert set(made.settings) == {*SHAPE, "race_epochs"}
    assert round(s.race_epochs) == 10, "single models over-fit long before"


def test_a_larger_budget_never_buys_a_smaller_race(dataset):
    shapes = []
    for rows in (5_000, 10_000, 20_000, 60_000, 200_000, 2_000_000):
        session, made = filled(dataset, f"{rows}rows", *RACE)
        assert made.race <= rows
        shapes.append([getattr(session.config.search, name) for name in SHAPE])
    assert shapes == sorted(shapes) and len(set(map(tuple, shapes))) > 2


def test_what_is_given_is_kept_and_a_data_sets_advice_is_not(dataset):
    session, made = filled(dataset, "100000rows", *RACE, "search.race_candidates=5")
    assert session.config.search.race_candidates == 5 and "race_candidates" not in made.settings
    session, made = filled(dataset, "1000000rows", *RACE, "search.race_epochs=1")
    assert session.config.search.race_epochs == 1 and "race_epochs" not in made.settings
    assert "epochs" not in given_by_user(bare(dataset)), "the space recommends it"
    assert "epochs" in given_by_user(bare(dataset, "search.epochs=4"))
    _, made = filled(dataset, "10000rows", *PAPER, "search.epochs=4")
    assert dict(made.settings) == {} and 0 < made.strategy < 10_000


@pytest.mark.parametrize(
    ("text", "sets", "words"),
    [
        ("100rows", PAPER, "the least, 2 epochs of the supernet, about"),
        ("1000rows", (*PAPER, "search.epochs=9"), "9 epochs of search.epochs about"),
        ("100rows", RACE, "what is set, with the smallest race, about"),
        ("3000rows", (*RACE, "search.race_epochs=3"), "what is set, with the smallest race, about"),
        ("10rows", ("search.selection=argmax",), "rows for 8 draws"),
        (
            "5m",
            ("search.strategy=random_sampling", "search.selection=argmax"),
            "needs a search that trains something",
        ),
        (
            "10rows",
            ("search.selection=argmax", "search.budget_samples=9000"),
            "9,000 rows of search.budget_samples",
        ),
    ],
)
def test_what_a_budget_does_not_pay_for_is_refused_with_both_figures(dataset, text, sets, words):
    with pytest.raises(ConfigError) as caught:
        filled(dataset, text, *sets)
    assert words in str(caught.value) and str(caught.value).startswith("budget: ")
    if "trains something" not in words:
        assert f"got {text}" in str(caught.value)


@pytest.mark.parametrize("strategy", ["darts", "snas", "gdas", "evolution", "random_search"])
def test_a_budget_of_flops_is_the_same_anywhere_and_is_kept(dataset, tmp_path, strategy):
    """What the ledger then says was spent is what was planned, and not more."""
    given = (
        f"search.strategy={strategy}",
        "search.selection=argmax",
        "search.batch_size=64",
        "search.population=4",
        "search.generations=1",
        "search.draws=2",
    )
    sets = read_settings(given)
    text = "3e8flops"
    plans = [filled(dataset, text, *sets)[1] for _ in range(2)]
    assert plans[0] == plans[1]
    search(bare(dataset, *sets), out=tmp_path / "run", budget=text)
    spent = json.loads(RunDir(tmp_path / "run").search.cost.read_text())["flops_spent"]
    assert spent <= plans[0].strategy * 1.1
    assert spent >= plans[0].strategy * 0.5, "at least about half of it is spent"


def test_a_budget_of_seconds_is_timed(dataset):
    _, made = filled(dataset, "30s", *RACE)
    assert 0 < made.race <= 30 and made.budget.say(made.race).endswith(" s")
    _, made = filled(dataset, "60s", "search.strategy=darts")
    assert made.settings["epochs"] >= 2 and made.strategy <= 30 and made.race <= 60 - made.strategy


def test_the_plan_stands_in_the_files_and_a_resume_keeps_it(dataset, tmp_path):
    given = bare(dataset, *RACE, "search.rivals=[]")
    whole = search(given, out=tmp_path / "whole", budget="30000rows")
    folder = RunDir(whole.run).search
    record = Manifest.read(folder.manifest).values["budget"]
    assert record["given"] == "30000rows" and set(record["filled"]) == {*SHAPE, "race_epochs"}
    held = build(RunConfig, load_yaml(folder.config), "config")
    assert {name: getattr(held.search, name) for name in record["filled"]} == record["filled"]

    with pytest.raises(Stop):
        search(given, out=tmp_path / "cut", reporter=After(9, stop), budget="30000rows")
    with pytest.raises(ConfigError, match=r"budget: must be as in .*, got 1h \(was 30000rows\)"):
        resumed(tmp_path / "cut", given, budget="1h")
    again = resumed(tmp_path / "cut", given, budget="30000rows")
    result = search(again, out=tmp_path / "cut", resume=True)
    assert result.architecture.identity() == whole.architecture.identity()
    assert RunDir(result.run).search.race.read_text() == folder.race.read_text()

    same = search(replace_source(held, given), out=tmp_path / "same")
    assert RunDir(same.run).search.race.read_text() == folder.race.read_text()
    with pytest.raises(ConfigError, match=r"budget: must be as in .*, got 1h \(was none\)"):
        resumed(tmp_path / "same", given, budget="1h")


def replace_source(held, given):
    return held.model_copy(update={"data": given.data})


def test_a_race_over_draws_reads_what_is_of_a_race_and_of_every_search():
    read = {*SearchSection.model_fields} - SearchSection().idle
    of_a_race = {name for name in read if name.startswith("race_")}
    assert len(of_a_race) == 9
    assert read - of_a_race == {
        *("strategy", "selection", "rivals", "scale_rivals", "sharing", "score_rows"),
        *("max_flops", "max_params", "max_latency_ms"),
    }
    timed = SearchSection(max_latency_ms=1.0)
    assert SearchSection().idle - timed.idle == {"latency_rows"}


def test_a_plan_shows_the_split(dataset):
    plan = plan_search(config(dataset, "search.selection=race"), budget="900000rows")
    assert "epochs of the supernet" in plan.budget and "a race of" in plan.budget
    assert as_rows(plan)[-1] == ("budget", plan.budget)
    assert as_rows(replace(plan, budget=""))[-1][0] == "race"


def test_a_setting_that_the_search_does_not_read_is_refused(dataset, tmp_path):
    for sets, words in (
        (("search.epochs=9",), "search.epochs: must be left out: strategy random_search with "),
        (("search.alpha_lr=0.1",), "does not read it, got 0.1; or set search.strategy=darts"),
        (("search.draws=4",), "does not read it, got 4; or set search.selection=argmax"),
        (
            (*PAPER, "search.temperature=2"),
            "does not read it, got 2.0; or set search.strategy=snas or search.strategy=gdas",
        ),
        ((*PAPER, "search.race_checks=1"), "got 1; or set search.selection=race"),
        ((*PAPER, "search.latency_rows=8"), "got 8; or set search.max_latency_ms"),
        *(
            ((f"search.{setting}",), "or set search.strategy=darts")
            for setting in (
                "random_lr=.01",
                "collapse_skip=.9",
                "collapse_growth=2",
                "cost_of=parameters",
                "gradient_conflict=false",
            )
        ),
    ):
        with pytest.raises(ConfigError) as caught:
            search(bare(dataset, *sets), out=tmp_path / "run")
        assert words in str(caught.value)
    assert not (tmp_path / "run").exists()
    assert default_budget(bare(dataset)) == "3.5e13flops"
    assert default_budget(bare(dataset, "search.rivals=[]")) == "3.5e13flops"
    assert default_budget(bare(dataset, "search.race_epochs=2")) is None
    assert default_budget(bare(dataset, *PAPER)) is None


def test_one_pass_is_one_in_the_words_of_a_plan(dataset):
    words = {
        passes: filled(dataset, "400000rows", *RACE, f"search.race_epochs={passes}")[1].words
        for passes in (1, 2)
    }
    assert "at most 1 pass," in words[1] and "at most 2 passes," in words[2]
