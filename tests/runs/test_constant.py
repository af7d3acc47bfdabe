"""What is said of models beside the constant, from figures made by hand."""

from typing import Any

import pytest

from automtl.runs.constant import above, known, loss_of, metrics_of, remarks


def gap(loss: float, difference: float, verdict: str) -> dict[str, Any]:
    return {"loss": loss, "difference": difference, "low": None, "high": None, "verdict": verdict}


def figures(total: dict[str, Any] | None, **tasks: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "loss": 1.0,
        "constant": {"total": total, "tasks": tasks, "metrics": {"click": {"auc": 0.5}}},
    }


def test_one_seed() -> None:
    made = figures(
        gap(0.5, 0.1, "worse"),
        click=gap(0.4, -0.1, "better"),
        buy=gap(0.2, 0.01, "not shown"),
        like=gap(0.3, 0.2, "worse"),
    )
    assert remarks([made]) == [
        "worse than the constant (predicting the training rows' base rates): MTL-Loss 0.60000 "
        "for 0.50000, like 0.50000 for 0.30000",
        "not shown to be better than the constant (predicting the training rows' base rates): "
        "buy 0.21000 for 0.20000",
    ]
    assert (loss_of(made), metrics_of(made), known([made])) == (0.5, {"click": {"auc": 0.5}}, True)


def seeds_of(*differences: float, half: float = 0.05) -> list[dict[str, Any]]:
    """A model's seeds, with the interval over rows of each."""
    made = []
    for d in differences:
        verdict = "worse" if d > half else "better" if d < -half else "not shown"
        made.append(
            figures({**gap(0.5, d, verdict), "low": round(d - half, 9), "high": round(d + half, 9)})
        )
    return made


def test_several_seeds_are_judged_by_their_mean() -> None:
    [said] = remarks(seeds_of(0.1, 0.3, 0.02, -0.02))
    assert said == (
        "worse than the constant (predicting the training rows' base rates): MTL-Loss 0.60000 "
        "for 0.50000 (mean of 4 seeds)"
    )
    # one seed that is worse does not make a model so, nor one that is better
    assert remarks(seeds_of(0.1, -0.2, -0.2)) == []
    for mixed in (seeds_of(0.1, -0.1), seeds_of(0.1, 0.0, 0.0), seeds_of(-0.2, 0.05, 0.0)):
        [said] = remarks(mixed)
        assert said.startswith("not shown to be better than the constant")
    # of few rows there is no interval
    [said] = remarks([figures(gap(0.5, d, v)) for d, v in ((0.1, "worse"), (-0.3, "better"))])
    assert said.startswith("not shown") and said.endswith("0.40000 for 0.50000 (mean of 2 seeds)")
    [said] = remarks([figures(gap(0.5, d, "worse")) for d in (0.1, 0.3)])
    assert said.startswith("worse than the constant")


def test_nothing_is_said_of_a_better_model() -> None:
    assert (
        remarks([figures(gap(0.5, -0.1, "better"), click=gap(0.5, -0.1, "better"), buy=None)] * 3)
        == []
    )


def test_a_task_called_as_the_sum_is_another() -> None:
    [said] = remarks([figures(gap(0.5, 0.1, "worse"), **{"MTL-Loss": gap(0.1, 0.1, "worse")})])
    assert said.endswith("MTL-Loss 0.60000 for 0.50000, MTL-Loss 0.20000 for 0.10000")


@pytest.mark.parametrize(
    "held",
    [
        None,
        "x",
        [],
        {},
        {"total": 3, "tasks": []},
        {"total": {"loss": "a"}, "tasks": {"t": None}, "metrics": 1},
    ],
)
def test_older_and_strange_figures_say_nothing(held: Any) -> None:
    assert remarks([{"constant": held}]) == []
    assert not known([{"constant": held}])
    assert (loss_of({"constant": held}), metrics_of({"constant": held})) == (None, {})


def test_an_epoch() -> None:
    assert above({"validation": {"loss": 0.5, "constant": 0.6}}) is None
    assert above({"validation": {"loss": 0.5}}) is None
    assert above({"validation": {"loss": 0.5, "constant": None}}) is None
    assert above({"loss": {}}) is None
    said = (
        "not better than the constant (predicting the training rows' base rates): validation "
        "MTL-Loss 0.60000 for 0.50000"
    )
    assert above({"validation": {"loss": 0.6, "constant": 0.5}}) == said
    assert above({"validation": {"loss": 0.5, "constant": 0.5}}) is not None
