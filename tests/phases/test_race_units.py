"""What few rows, few groups or one task can show: intervals over units, and the words for it."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from automtl.config_search import SearchSection
from automtl.phases.race._answer import TaskLoss, answer, task_losses, words_of_tasks
from automtl.phases.race._compare import Table
from automtl.phases.race._finals import Finals, finals
from automtl.phases.race.judge import Judge
from automtl.phases.race.results import Result
from automtl.statistics import equal_units, welch
from automtl.training.checkpoint_state import parse
from automtl.training.metrics.evaluation import Predictions
from automtl.training.metrics.influence import influence, shares, variance
from tests.phases.test_race_parts import Runner, result
from tests.support import small_schema

NULL_TRIES = 1500


@pytest.mark.parametrize(
    "sizes", [[1] * 2, [1] * 3, [1] * 6, [1] * 30, [500, 500, *[1] * 100], [300, 200, 100, 1]]
)
def test_intervals_over_few_or_unequal_groups_hold(sizes):
    """Two models alike in the population: 30% of the intervals over two groups left 0 out."""
    rng, share = np.random.default_rng(0), np.array(sizes) / sum(sizes)
    equal, wrong = equal_units(share), 0
    for _ in range(NULL_TRIES):
        of_groups = rng.normal(0, 1, len(sizes))
        gap = float(share @ of_groups)
        rows = variance(share * (of_groups - gap), np.zeros(len(sizes)), equal)
        first, second = rng.normal(gap, 0.05, 3).tolist(), rng.normal(0, 0.05, 3).tolist()
        pooled = (float(np.sqrt((np.var(first, ddof=1) + np.var(second, ddof=1)) / 2)), 4.0)
        found = welch(first, second, extra_variance=rows, pooled=pooled, extra_freedom=equal - 1)
        wrong += not found.low <= 0 <= found.high
    assert wrong / NULL_TRIES < 0.065


def test_equal_units_count_what_is_equal_and_not_the_many_small():
    assert equal_units(np.full(40, 0.1)) == pytest.approx(40)
    assert equal_units(np.array([5.0, 5.0, *[0.01] * 200])) == pytest.approx(2, abs=0.01)
    assert equal_units(np.zeros(3)) == 0 and equal_units(np.array([])) == 0


def test_rows_that_alone_have_a_task_s_label_count_for_it():
    labels = np.zeros((1000, 2))
    labels[8:, 1] = np.nan
    assert equal_units(shares(labels, None, small_schema().tasks)) == pytest.approx(8, rel=0.05)
    groups = np.repeat([0, 1], 500)
    whole = np.zeros((1000, 2))
    assert equal_units(shares(whole, None, small_schema().tasks, groups)) == pytest.approx(2)
    weights = np.ones((1000, 2), np.float32)
    weights[4:] = 0
    assert equal_units(shares(whole, weights, small_schema().tasks)) == pytest.approx(4)


def test_two_groups_decide_nothing_that_thousands_of_rows_would():
    rng = np.random.default_rng(1)
    made = [result(c, s, b + 1e-4 * s) for c, b in (("x", 0.50), ("y", 0.52)) for s in range(3)]
    units = {("final", c): 3 * rng.normal(0, 1e-3, 2) for c in "xy"}
    pair = ("final", "y"), ("final", "x")
    assert Table(made, units, 5000.0).against(*pair, 1).worse
    assert not Table(made, units, 2.0).against(*pair, 1).worse


class Rows(Judge):
    """A judge of labels, groups and weights that are given."""

    def __init__(self, labels, base):
        self.__dict__["_rows_b"] = labels, None, np.arange(len(labels))
        self.__dict__["constant"] = base
        self.__dict__["session"] = SimpleNamespace(
            schema=small_schema(), store=SimpleNamespace(schema=small_schema(), group=None)
        )


def test_a_task_s_loss_has_the_error_of_its_own_labels(monkeypatch):
    monkeypatch.setattr("automtl.phases.race.judge.groups", lambda *_: None)
    rng, labels = np.random.default_rng(0), np.zeros((400, 2))
    labels[100:, 1] = np.nan
    predicted = [rng.normal(size=400).astype(np.float32) for _ in range(2)]
    tasks = small_schema().tasks
    own, base = (
        influence(Predictions(logits, labels, None, np.arange(400)), tasks)
        for logits in (predicted, [np.zeros(400, np.float32)] * 2)
    )
    judge = Rows(labels, base)
    assert judge.equal_units_of_tasks == pytest.approx([400, 100])
    told = judge.tasks(own)
    gaps = np.log1p(np.exp(predicted[1][:100])) - np.log(2)
    assert told[1] == pytest.approx((own.tasks[1].loss, gaps.std(ddof=1) / 10), rel=1e-5)
    # as another process tells it, and a line of race.jsonl holds it
    line = json.loads(json.dumps(result("a", 0, 0.5).line | {"tasks": told}))
    assert parse(Result, line, "race.jsonl").tasks == told
    trained = [result("a", s, 0.5).model_copy(update={"tasks": told}) for s in range(2)]
    [click, buy] = task_losses(Runner("a"), trained, judge, tasks)
    assert buy.high == pytest.approx(told[1][0] + stats.t.ppf(0.95, 99) * told[1][1])
    assert (click.share, buy.constant) == (0.5, base.tasks[1].loss)
    labels[1:, 1] = np.nan  # one label tells nothing of others
    assert Rows(labels, base).tasks(own) == ()


def _said(units, **given):
    first, second = Runner("a"), Runner("b")
    figures = [result(c, s, 0.5 + 0.01 * s) for c in "ab" for s in range(2)]
    table = Table(figures, {("final", c): np.zeros(500) for c in "ab"}, units)
    outcome = Finals(first, first, {}, [second], [first, second])
    return " | ".join(
        answer(outcome, table, figures, 1, beats=False, search=SearchSection(), **given)["words"]
    )


def test_the_words_tell_how_little_rows_can_show():
    assert "as much as 4.0 groups of equal size" in _said(4.0, grouped=True)
    assert "as much as 8.2 rows of equal size" in _said(8.2)
    alone = _said(1.0, grouped=True)
    assert "no two models can be compared" in alone and "base rates" not in alone
    assert "tell as much" not in _said(4000.0, grouped=True)


def test_a_task_that_is_not_learnt_and_one_that_decides_alone_are_told():
    noise = TaskLoss("noise", 0.5, winner=0.6930, high=0.6934, constant=0.6931)
    watch = TaskLoss("watch", 0.5, winner=3.0, high=3.1, constant=9.0)
    [worse, alone] = words_of_tasks([noise, watch])
    assert worse.startswith("not shown to be better than the base rates on 'noise' (")
    assert alone.startswith("'watch' makes 93% of")
    assert words_of_tasks([noise._replace(high=0.6)]) == []


def test_of_equal_price_the_least_loss_wins():
    """The order of an encoding chose, and was called cheaper."""
    made = [result(c, s, b + 0.01 * s) for c, b in (("z", 0.5), ("a", 0.5001)) for s in range(2)]
    table = Table(made, {("final", c): np.zeros(200) for c in "za"})
    assert finals([Runner("a"), Runner("z")], table).winner.id == "z"
