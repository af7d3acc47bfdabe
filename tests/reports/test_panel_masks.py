"""The panel of MSSM's masks: fields by their names, cells over epochs, and nothing where nothing
was recorded.
"""

import json

from automtl.reports.load import load_run
from automtl.reports.panels._masks import masks_panel
from automtl.spaces.architecture import Architecture, Expert
from automtl.spaces.signatures import FieldSignature, TaskSignature
from tests.reports.architectures import searched
from tests.reports.runs import write_retrain, write_run


def record(path, told):
    """Replace what every epoch tells of the sharing module."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({**line, "sharing": told}) + "\n" for line in lines))


def test_masks_stand_under_the_names_of_their_fields(tmp_path):
    kinds = {"age": "numeric", "words": "multi", "pay": "numeric", "user": "categorical"}
    fields = tuple(FieldSignature(name=n, kind=k) for n, k in kinds.items())
    made = Architecture(
        tasks=(TaskSignature(name="click", kind="binary"),),
        fields=fields,
        experts=(Expert(blocks=("skip",)),),
    )
    for numeric, columns in (
        ("linear", ["user", "words", "age", "pay"]),
        ("joint", ["user", "words", "numbers"]),
    ):
        run = tmp_path / numeric
        folder = write_retrain(run, made.evolve(numeric=numeric))
        masks = {"click": [0.125] * len(columns), "shared": [0.5] * len(columns)}
        record(
            folder / "metrics.jsonl",
            {"cells_off": 0.5, "cells_off_by_level": [0.5], "field_masks": masks},
        )
        page = masks_panel([load_run(run)])
        assert [
            name for name in ("user", "words", "age", "pay", "numbers") if f">{name}<" in page
        ] == columns
        assert "share of cells off" in page and "level 1" not in page


def test_masks_of_another_number_of_fields_are_numbered(tmp_path):
    folder = write_retrain(tmp_path / "run", searched(2, 3))
    record(
        folder / "metrics.jsonl",
        {"cells_off": 0.5, "cells_off_by_level": [0.4, 0.6], "field_masks": {"click": [0.5, 0.25]}},
    )
    page = masks_panel([load_run(tmp_path / "run")])
    assert ">field 1<" in page and ">level 2<" in page


def test_cells_without_masks_of_fields_and_neither(tmp_path):
    run = write_run(tmp_path / "run", seeds=(0,))
    [trained] = load_run(run).retrains
    record(trained.folder / "metrics.jsonl", {"cells_off": 0.5, "cells_off_by_level": [0.5]})
    page = masks_panel([load_run(run)])
    assert "share of cells off" in page and "field masks" not in page
    record(trained.folder / "metrics.jsonl", {"levels": []})
    assert masks_panel([load_run(run)]) is None
    record(
        run / "search" / "metrics.jsonl",
        {"cells_off": 0.5, "cells_off_by_level": [0.5], "field_masks": {"click": [0.5]}},
    )
    assert "<h3>search</h3>" in masks_panel([load_run(run)])
