"""Size against quality, the scale of figures and the lift, by arithmetic and scipy."""

import numpy as np
import pytest
from scipy import stats

from automtl.reports.load import load_run, load_runs
from automtl.reports.panels import _models, _sizes
from automtl.reports.tables import Estimate, models, scale
from tests.reports.architectures import searched
from tests.reports.runs import write_json, write_retrain

LOSSES = {"small": (0.52, 0.53, 0.525), "large": (0.51,)}
COSTS = {"small": (0.4, 164_000), "large": (1.2, 590_000)}
CONSTANT = 0.55


@pytest.fixture
def folders(tmp_path):
    for name, losses in LOSSES.items():
        for seed, loss in enumerate(losses):
            folder = write_retrain(tmp_path / name, searched(1, 2), seed=seed, label=name)
            gap = {"loss": CONSTANT, "difference": loss - CONSTANT, "verdict": "better"}
            figures = {
                "tasks": {"click": {"auc": 0.7}},
                "loss": loss,
                "constant": {
                    "total": gap,
                    "tasks": {"click": gap},
                    "metrics": {"click": {"auc": 0.5}},
                },
            }
            write_json(folder / "results.json", {"best_epochs": [0], "test": figures})
            megabytes, flops = COSTS[name]
            model = {"stored": {"tables": megabytes}, "flops_per_row": flops}
            write_json(folder / "cost.json", {"seconds": 1.0, "samples": 9, "model": model})
    return [tmp_path / name for name in LOSSES]


def test_points_stand_at_cost_and_loss_with_their_interval(folders, monkeypatch):
    drawn = []
    embed = _sizes.embed
    monkeypatch.setattr(_sizes, "embed", lambda f, *words: drawn.append(f) or embed(f, *words))
    page = _sizes.size_panel(load_runs(folders))
    assert "large" in page and "small" in page and len(drawn) == 2
    for figure, which in zip(drawn, (0, 1), strict=True):
        [axes] = figure.axes
        points = {
            (c.lines[0].get_xdata()[0], c.lines[0].get_ydata()[0]): c for c in axes.containers
        }
        wanted = {name: (COSTS[name][which], np.mean(LOSSES[name])) for name in LOSSES}
        assert np.array(sorted(points)) == pytest.approx(np.array(sorted(wanted.values())))
        [bars] = [c for c in points.values() if c.has_yerr]
        [segment] = bars.lines[2][0].get_segments()
        low, high = stats.t.interval(
            0.95, 2, loc=np.mean(LOSSES["small"]), scale=stats.sem(LOSSES["small"])
        )
        assert sorted(segment[:, 1]) == pytest.approx([low, high])
        assert axes.get_ylim()[0] < low < high < axes.get_ylim()[1]
        assert axes.get_xlim()[0] == 0, "a size is seen as it is"


def test_one_model_has_nothing_to_stand_beside(folders):
    assert _sizes.size_panel([load_run(folders[0])]) is None


def test_the_lift_is_the_share_of_the_constants_loss(folders):
    [large, small] = models(load_runs(folders))
    assert large.lift().mean == pytest.approx(1 - 0.51 / CONSTANT) and large.lift().half is None
    assert small.lift("click").values == pytest.approx([1 - x / CONSTANT for x in LOSSES["small"]])
    assert small.lift("buy") is None
    page = _models.tasks_panel(load_runs(folders))
    assert "+7.3%" in page and f"{CONSTANT:.5f}" in page


def test_a_scale_is_at_least_one_hundredth_of_its_figures():
    low, high = scale([Estimate((0.99439,)), Estimate((0.99442,))])
    assert low < 0.99439 < 0.99442 < high and high - low > 0.0099
    assert (0.99442 - 0.99439) / (high - low) < 0.01
    wide = scale([Estimate((0.5,)), Estimate((0.7,))])
    assert wide == pytest.approx((0.5 - 0.06 * 0.2, 0.7 + 0.06 * 0.2))
    assert scale([]) == pytest.approx((-0.06, 1.06))
