"""The panel and the picture of masked experts: what they show, and that lines of any shape leave
the panel whole.
"""

import json

import pytest

from automtl.reports.drawing.facts import notes
from automtl.reports.load import load_runs
from automtl.reports.panels._mome import mome_panel
from automtl.spaces.architecture import Architecture
from automtl.spaces.graph import to_graph
from tests.reports.runs import write_run

TASKS = ("click", "buy")


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def run(tmp_path):
    write_run(tmp_path / "one", names=TASKS, seeds=(0,))
    return tmp_path / "one"


def rewrite(run, change):
    path = run / "retrain" / "selected-s0" / "metrics.jsonl"
    made = lines(path)
    change(made)
    path.write_text("".join(json.dumps(line) + "\n" for line in made))


def auc(value):
    return {"tasks": {"click": {"auc": value}, "buy": {"auc": value + 0.1}}, "loss": 0.3}


def test_rounding_and_fine_tuning_are_told_with_their_charts(run):
    def change(made):
        for line, phase in zip(
            made, ["neuron masks", "weight masks", "fine-tuning", "fine-tuning"], strict=True
        ):
            line["phase"], line["best"] = phase, False
        made[0]["sharing"]["masked"] = {"megabytes": 2.0, "neurons_histogram": [1 / 12] * 12}
        made[1]["validation"], made[2]["start"], made[3]["validation"] = (
            auc(0.7),
            auc(0.6),
            auc(0.8),
        )
        made[3]["best"] = True
        made[3]["sharing"]["masked"]["megabytes"] = 0.8125

    rewrite(run, change)
    page = str(mome_panel(load_runs([run])))
    assert "0.7500 before rounding, 0.6500 after it, 0.8500 after fine-tuning" in page
    assert (
        page.count("<figure>") == 4
        and "weight masks before rounding" in page
        and "neuron masks at the end" in page
    )
    assert ">0.812<" in page and "selected" not in page.partition("<figure>")[2], (
        "a curve ends in its figure, not in the model's long name"
    )


def test_a_model_without_masks_is_not_there(run):
    rewrite(run, lambda made: [line["sharing"].pop("masked") for line in made])
    assert mome_panel(load_runs([run])) is None


@pytest.mark.parametrize(
    "masked", [None, 3, {}, {"histogram": "x"}, {"histogram": [1.0]}, {"megabytes": "many"}]
)
def test_lines_of_any_shape_leave_it_whole(run, masked):
    rewrite(run, lambda made: [line["sharing"].update(masked=masked) for line in made])
    assert mome_panel(load_runs([run])) is None


def test_a_picture_shows_masks_of_one_expert_and_without_masks_the_expert():
    mome = Architecture.load("mome")
    for settings, labels in (
        ({"masks": 2}, ["mask 0 of expert 0", "mask 1 of expert 0"]),
        ({"masks": 0}, ["expert 0"]),
    ):
        made = mome.evolve(sharing={"kind": "mome", "settings": settings})
        graph = to_graph(made)
        assert [
            data["label"] for _, data in graph.nodes(data=True) if data["kind"] == "expert"
        ] == labels
        assert any("one network's weights" in note for note in notes(made, graph))
    assert not any(
        "masks" in note
        for note in notes(Architecture.load("mmoe"), to_graph(Architecture.load("mmoe")))
    )
