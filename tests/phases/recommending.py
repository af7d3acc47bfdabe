"""Data sets and templates that recommend settings, for the tests of who says a setting."""

import yaml

from automtl.phases.retrain.plan import plan_retrain
from automtl.phases.run.reporter import Silent
from automtl.spaces.architecture import Architecture

TRAINED = {"batch_size": 64, "epochs": 2}


def recommend(dataset, **sections):
    plain = yaml.safe_load(dataset.read_text())
    dataset.write_text(yaml.safe_dump({**plain, "recommends": sections}, sort_keys=False))
    return dataset


def template(tmp_path, name="mmoe", **recommended):
    """A hand-made model that recommends settings."""
    made = Architecture.load(name).evolve(name="mine", recommended=recommended)
    made.save(tmp_path / "mine.json")
    return str(tmp_path / "mine.json")


def planned(
    source, dataset, tmp_path, *sets, config_file=None, sharing=None, resume=False, **flags
):
    flags = {"data": {"dir": str(tmp_path / "prepared")}, **flags}
    given = {
        "sharing": sharing,
        "config_file": config_file,
        "sets": sets,
        "flags": flags,
        "out": tmp_path / "run",
        "resume": resume,
    }
    return plan_retrain(source, data=str(dataset), **given)


class Told(Silent):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)
