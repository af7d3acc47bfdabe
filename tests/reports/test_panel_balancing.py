"""The panel of balancing: weights by task, conflicts where the method looks for them, its cost;
nothing where nothing was recorded.
"""

import json

from automtl.reports.load import load_run
from automtl.reports.panels._balancing import balancing_panel
from tests.reports.runs import write_run


def record(path, made):
    """Add to every epoch what `made(epoch)` tells."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text(
        "".join(json.dumps({**line, "balancing": made(line["epoch"])}) + "\n" for line in lines)
    )


def told(epoch):
    return {
        "method": "pcgrad",
        "weights": {"click": 1.25, "b<uy": 1.5},
        "conflicts": 0.5,
        "backward_passes": 2.0,
        "extra_bytes": 3 * 2**20,
    }


def test_nothing_is_shown_where_nothing_was_balanced(tmp_path):
    run = write_run(tmp_path / "run", seeds=(0,))
    [trained] = load_run(run).retrains
    record(trained.folder / "metrics.jsonl", lambda epoch: {})
    assert balancing_panel([load_run(run)]) is None


def test_weights_conflicts_and_cost_of_model_and_search(tmp_path):
    run = write_run(tmp_path / "run", seeds=(0,))
    [trained] = load_run(run).retrains
    record(trained.folder / "metrics.jsonl", told)
    cost = json.loads((trained.folder / "cost.json").read_text())
    (trained.folder / "cost.json").write_text(json.dumps({**cost, "balancing": {"seconds": 30.0}}))
    page = balancing_panel([load_run(run)])
    assert (
        "selected, seed 0: pcgrad, 2 backward passes a step (50% of the time), 3 MB of "
        "gradients held" in page
    )
    assert (
        ">click<" in page
        and "b&lt;uy" in page
        and "b<uy" not in page
        and "share of steps in conflict" in page
    )
    record(
        run / "search" / "metrics.jsonl",
        lambda epoch: {**told(epoch), "method": "gradnorm", "weights": {"click": None, "buy": 2.0}},
    )
    page = balancing_panel([load_run(run)])
    assert "search: gradnorm" in page and page.count("weight of each task") == 2


def test_a_line_that_is_no_record_is_passed_over(tmp_path):
    run = write_run(tmp_path / "run", seeds=(0,))
    [trained] = load_run(run).retrains
    record(
        trained.folder / "metrics.jsonl",
        lambda epoch: {"method": "pcgrad", "weights": [1]} if epoch else None,
    )
    assert balancing_panel([load_run(run)]) is None
