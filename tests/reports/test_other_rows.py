"""Models of other rows in a report: each has its own ranking and its own constant."""

import re

import pytest

from automtl.reports._verdict import verdict
from automtl.reports.load import load_runs
from automtl.reports.panels import _models, _sizes, _training
from tests.reports.architectures import searched
from tests.reports.runs import write_json, write_retrain

# per run: its model's loss, the constant's, and the split
RUNS = {
    "near": (0.52, 0.521, "s"),
    "far": (0.50, 0.501, "other"),
    "second": (0.51, 0.521, "s"),
    "third": (0.49, 0.501, "other"),
}
NAMES = ("clicks (split of near)", "clicks (split of far)")


@pytest.fixture
def views(tmp_path):
    for number, (run, (loss, constant, split)) in enumerate(RUNS.items()):
        data = {"name": "clicks", "hash": "aa", "split_hash": split}
        folder = write_retrain(tmp_path / run, searched(1, 2), label=run, data=data)
        gap = {"loss": constant, "difference": loss - constant, "verdict": "better"}
        figures = {
            "tasks": {"click": {"auc": 1 - loss, "rows": 5}},
            "loss": loss,
            "constant": {
                "total": gap,
                "tasks": {"click": gap},
                "metrics": {"click": {"auc": 1 - constant}},
            },
        }
        write_json(folder / "results.json", {"best_epochs": [0], "test": figures})
        model = {"stored": {"tables": 1.0 + number}, "flops_per_row": 100 * (1 + number)}
        write_json(folder / "cost.json", {"seconds": 1.0, "samples": 9, "model": model})
    return load_runs([tmp_path / run for run in RUNS])


def cards_of(part: str) -> list[tuple[list[str], str]]:
    """Per card the models in their order, and the constant's figure."""
    return [
        (
            re.findall(r'<tr>\s*<th scope="row">(\w+)', card.partition("</section>")[0]),
            re.search(r'<tr class="constant">.*?<td class="num">([\d.]+)<', card)[1],
        )
        for card in part.split('<section class="card">')[1:]
    ]


def test_each_ranking_has_models_of_the_same_rows_and_their_constant(views):
    head, *parts = re.split(r"<h3>On ", str(_models.tasks_panel(views)))
    assert "best first among those of the same rows" in head
    assert [part.partition("<")[0] for part in parts] == list(NAMES)
    same, other = map(cards_of, parts)
    assert same == [(["second", "near"], "0.47900"), (["second", "near"], "0.52100")]
    assert other == [(["third", "far"], "0.49900"), (["third", "far"], "0.50100")]
    rows = [re.findall(r'<tr><th scope="row">(\w+)</th>', part) for part in parts]
    assert rows == [["second", "near"], ["third", "far"]], "every metric, too"


def test_models_of_the_same_rows_stand_in_one_ranking_without_a_heading(views):
    page = str(_models.tasks_panel([views[0], views[2]]))
    assert "<h3>On " not in page and "among those" not in page
    assert [models for models, _ in cards_of(page)] == [["second", "near"]] * 2


def test_pictures_show_models_of_the_same_rows_with_their_constant(views, monkeypatch):
    drawn = []
    scatter = _sizes._scatter
    monkeypatch.setattr(_sizes, "_scatter", lambda p, **k: drawn.append((p, k)) or scatter(p, **k))
    page = str(_sizes.size_panel(views))
    seen = [([p.loss.mean for p in points], settings["constant"]) for points, settings in drawn]
    assert seen == [([0.51, 0.52], 0.521)] * 2 + [([0.49, 0.50], 0.501)] * 2
    assert re.findall(r"<h3>On (.*?)</h3>", page) == list(NAMES)


def test_learning_curves_of_other_rows_do_not_share_a_picture(views):
    page = str(_training.curves_panel(views))
    title = "Training of the searched or given models"
    assert re.findall(r"<h3>(.*?)</h3>", page) == [f"{title}, on {name}" for name in NAMES]
    page = str(_training.curves_panel([views[0], views[2]]))
    assert re.findall(r"<h3>(.*?)</h3>", page) == [title]


def test_the_verdict_tells_the_splits_apart(views):
    said = " ".join(sentence.text for sentence in verdict(views))
    assert all(f"on the test rows of {name}." in said for name in NAMES)
