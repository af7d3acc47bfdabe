"""Weights of a search are drawn where there are any; names of lines stay below the title."""

import json
from itertools import pairwise

import pandas as pd
import pytest

from automtl.errors import ArtifactError
from automtl.phases.finished.show import alphas_picture
from automtl.reports.charts import Line, curves, heat
from automtl.reports.drawing.text import text_width
from automtl.reports.load import load_run
from automtl.reports.panels._panels import PANELS
from automtl.spaces.architecture import Architecture
from automtl.spaces.graph import to_graph
from tests.reports.runs import write_search

LEARNED = ("alphas", "experts", "training")


def race(run, candidates: str) -> None:
    """Make a search's files those of a race: each epoch is one architecture, and nothing was
    trained before it.
    """
    alphas = pd.read_parquet(run / "search/alphas.parquet")
    first = ~alphas.duplicated(["epoch", "block"])
    if candidates == "one":
        alphas = alphas[first]
    alphas.assign(weight=first.astype(float)[alphas.index]).to_parquet(
        run / "search/alphas.parquet"
    )
    metrics = run / "search/metrics.jsonl"
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    told = [{"epoch": line["epoch"], "loss": {"total": None}, "b": None} for line in lines]
    metrics.write_text("".join(json.dumps(line) + "\n" for line in told))


def drawn(run):
    view = load_run(run)
    return {panel.id for panel in PANELS if panel.id in LEARNED and panel.make([view]) is not None}


def test_a_search_that_learned_weights_shows_them(tmp_path):
    write_search(tmp_path / "run")
    assert drawn(tmp_path / "run") == {*LEARNED}


def test_a_race_shows_no_weights_and_no_curves_of_a_supernet(tmp_path):
    write_search(tmp_path / "run")
    race(tmp_path / "run", "several")
    assert drawn(tmp_path / "run") == set()


def test_alphas_that_were_drawn_are_not_shown_as_learned(tmp_path):
    write_search(tmp_path / "run")
    assert alphas_picture(tmp_path / "run")
    race(tmp_path / "run", "several")
    with pytest.raises(ArtifactError, match="must be of a search that learned alphas, got drawn"):
        alphas_picture(tmp_path / "run")


def test_experts_that_were_drawn_have_no_weights_in_the_picture(tmp_path):
    run = tmp_path / "run"
    write_search(run)
    learned = Architecture.load(run / "search" / "architecture.json")
    choices = {
        name: {
            operation: float(operation == max(weights, key=weights.get)) for operation in weights
        }
        for name, weights in learned.choices.items()
    }
    for architecture, told in ((learned, True), (learned.evolve(choices=choices), False)):
        weights = [w for *_, w in to_graph(architecture).edges(data="weight") if w is not None]
        assert bool(weights) == architecture.learned == told


def test_weights_of_experts_are_shown_where_blocks_have_one_candidate_each(tmp_path):
    write_search(tmp_path / "run")
    race(tmp_path / "run", "one")
    assert drawn(tmp_path / "run") == {"alphas", "experts"}


@pytest.mark.parametrize("ends", [(0.5, 0.5, 0.0, 0.0), (0.0, 0.1, 0.2, 0.3), (0.2,) * 4])
def test_names_at_the_ends_of_lines_are_apart_and_below_the_title(ends):
    lines = [Line(f"expert {e}", [(1, value)]) for e, value in enumerate(ends)]
    [axes] = curves(lines, title="weights").axes
    bottom, top = axes.get_ylim()
    places = sorted(text.xy[1] for text in axes.texts)
    assert len(places) == 4 and top >= places[-1] and places[0] > bottom
    line = (top - bottom) / 200 * 12  # of a chart of 200 pixels, letters of 10
    assert all(high - low > line for low, high in pairwise(places))


def test_a_heat_map_is_as_wide_as_its_title():
    title = "softmax(beta), last epoch; framed: chosen"
    values = pd.DataFrame({"click": [0.5, 0.5]}, index=["expert 0", "expert 1"])
    figure = heat(values, title=title)
    figure.canvas.draw()
    box = figure.axes[0]._left_title.get_window_extent()
    assert box.width > 0.9 * text_width(title, 8 * 96 / 72)
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width
