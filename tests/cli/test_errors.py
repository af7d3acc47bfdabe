"""Every error of the commands: one clear line, its exit status, nothing left behind. docs/errors.md
has a row for each.
"""

import errno
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from automtl import files
from automtl.cli.main import main
from automtl.exports import formats
from automtl.runs.manifest import Manifest
from scripts.small import PAPER, flags
from tests.cli.data_errors import DATA_ERRORS
from tests.cli.plugin_errors import PLUGINS, PLUGINS_AFTER_SEARCH
from tests.cli.tampered_errors import TAMPERED
from tests.cli.time_errors import TIME_ERRORS
from tests.cli.tune_errors import TUNE_ERRORS
from tests.support import without_plugins, write_dataset

SMALL = [
    *flags(PAPER),
    "--set",
    "space.expert=[gate, skip]",
    "--set",
    "space.interaction=[skip]",
    "--fast-dev-run",
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOMTL_DATA_DIR", str(tmp_path / "cache"))
    write_dataset(tmp_path / "data")
    return tmp_path


@pytest.fixture
def searched(here, capfd):
    assert (
        run(["search", "data/tiny.yaml", "--space", "automtl_small", "--out", "run", *SMALL]) == 0
    )
    capfd.readouterr()
    return here


def run(argv):
    sys.argv = ["automtl", *argv]
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def edit(path, old, new):
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new))


def yaml_with(old, new):
    return lambda: edit("data/tiny.yaml", old, new)


def csv_with(change):
    def act():
        lines = Path("data/rows.csv").read_text().splitlines()
        Path("data/rows.csv").write_text("\n".join(change(lines)) + "\n")

    return act


def space_with(old, new):
    def act():
        import automtl.spaces.space as space

        text = space.shipped_spaces()["automtl_small"].read_text()
        assert old in text
        Path("mine.yaml").write_text(text.replace(old, new))

    return act


def architecture_with(**changes):
    def act():
        path = Path("run/search/architecture.json")
        Path("mine.json").write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return act


def other_data():
    write_dataset(Path("other"), first_field="member")


def narrower_config():
    edit("run/search/config.yaml", "embedding_dim: 16", "embedding_dim: 8")
    Manifest.read(Path("run/search/manifest.json")).update(sums={})


def new_rows():
    write_dataset(Path("data"), seed=5)


def interrupted():
    Manifest.read(Path("run/search/manifest.json")).update(state="interrupted", sums={})


def torn_checkpoint():
    interrupted()
    for path in Path("run/search/checkpoint").iterdir():
        path.write_bytes(path.read_bytes()[:1000])


def lines_lost():
    interrupted()
    Path("run/search/metrics.jsonl").write_text("")


def another_retrain():
    assert run(["retrain", "run", "--fast-dev-run"]) == 0
    Manifest.read(Path("run/retrain/selected-s0/manifest.json")).update(state="interrupted")
    path = Path("run/search/architecture.json")
    Manifest.read(path.parent / "manifest.json").replace_file(
        path, {**json.loads(path.read_text()), "towers": [3]}
    )


def weights_of_another():
    assert run(["retrain", "run", "--fast-dev-run"]) == 0
    path = Path("run/retrain/selected-s0/architecture.json")
    Manifest.read(path.parent / "manifest.json").replace_file(
        path, {**json.loads(path.read_text()), "towers": [3]}
    )


def retrained_and_served():
    assert run(["retrain", "run", "--fast-dev-run"]) == 0
    os.mkdir("served")


def export_without_a_file():
    os.mkdir("served")
    values = {
        "format": "automtl.export",
        "version": 2,
        "files": {"model.onnx": {"bytes": 3, "sha256": ""}},
    }
    Path("served/manifest.json").write_text(json.dumps(values))


def nothing(): ...


SEARCH = ["search", "data/tiny.yaml", "--space", "automtl_small", "--out", "new", *SMALL]
MINE = ["search", "data/tiny.yaml", "--space", "mine.yaml", "--out", "new"]

# id -> (what is wrong, command, exit status, parts of the message)
FRESH = {
    **TUNE_ERRORS, **PLUGINS, **TIME_ERRORS, **DATA_ERRORS,
    "unknown-data-set": (nothing, ["search", "cenus_income"], 2, ["cenus_income: must " "be a YAML file " "or the name of " "a shipped data set", "census_income"]),
    "unknown-key": (yaml_with("split:", "splt:"), SEARCH, 2, ["splt is not " "a known key " "(did you " "mean 'split'?)"]),
    "no-yaml": (yaml_with("name: tiny", "name: [tiny"), SEARCH, 2, ["tiny.yaml: must be YAML"]),
    "missing-file": (lambda: os.remove("data/rows.csv"), SEARCH, 2, ["rows.csv"]),
    "missing-label-column": (yaml_with("label: buy", "label: bought"), SEARCH, 2, ["bought", "buy"]),
    "missing-feature-column": (yaml_with("name: item", "name: itm"), SEARCH, 2, ["itm"]),
    "empty-csv": (csv_with(lambda lines: lines[:1]), SEARCH, 2, ["must not be empty"]),
    "no-positives": (csv_with(lambda lines: [re.sub(r",[01],", ",0,", line) for line in lines]), SEARCH, 2, ["click"]),
    "label-not-binary": (csv_with(lambda lines: [*lines, "1,1,0.5,2,0.0"]), SEARCH, 2, ["click", "2"]),
    "label-among-features": (yaml_with("- {name: price, " "kind: numeric}", "- {name: buy, " "kind: numeric}"), SEARCH, 2, ["'buy' is the " "label of task 'buy'"]),
    "unknown-space": (nothing, ["search", "data/tiny.yaml", "--space", "automtl_smal"], 2, ["did you mean " "'automtl_small'?"]),
    "unknown-operation": (space_with("mlp(64)", "mpl(64)"), MINE, 2, ["must be an " "interaction " "operation, " "got 'mpl'; did " "you mean 'mlp'?"]),
    "heads-do-not-divide": (space_with("embedding_dim: 16", "embedding_dim: 15"), MINE, 2, ["divisible by " "the heads of " "self_attention(2), " "got 15"]),
    "more-chosen-than-experts": (space_with("num_experts: 4", "num_experts: " "4\nchosen_experts: 5"), MINE, 2, ["must be at most " "num_experts " "= 4, got 5"]),
    "warm-up-too-long": (nothing, [*SEARCH[:-1], "--set", "search.warmup_epochs=3"], 2, ["search.warmup_epochs: " "must " "be below " "search.epochs = 3"]),
    "balancing-setting": (nothing, [*SEARCH, "--set", "search.balancing.cagrad_c=1"], 2, ["balancing.cagrad_c: " "belongs to " "method cagrad, " "got method fixed"]),
    "balancing-weights": (nothing, [*SEARCH, "--set", "search.balancing.weights={clik: 2}"], 2, ["search.balancing.weights: " "must name the " "data set's " "tasks, got " "'clik'; did you mean " "'click'?"]),
    "balancing-single-task": (nothing, ["retrain", "single_task", "--data", "data/tiny.yaml", "--set", "retrain.balancing.method=pcgrad"], 2, ["retrain.balancing: " "must " "be left out " "for single_task"]),
    "balancing-second-order": (nothing, [*SEARCH, "--set", "search.second_order=true", "--set", "search.balancing.method=gradnorm"], 2, ["search.balancing.method: " "must be " "equal or fixed with " "search.second_order"]),
    "unknown-setting": (nothing, [*SEARCH, "--set", "search.epoch=3"], 2, ["search.epoch " "is not a known " "key (did you " "mean 'epochs'?)"]),
    "set-without-value": (nothing, [*SEARCH, "--set", "search.epochs"], 2, ["must have the form " "section.key=value"]),
    "sharing-not-in-supernet": (nothing, [*SEARCH, "--set", "search.sharing=single_task"], 2, ["must be a kind that " "can stand " "in a supernet"]),
    "out-exists": (lambda: os.mkdir("new"), SEARCH, 2, ["new: must not exist yet"]),
    "device-absent": (nothing, [*SEARCH, "--device", "mps"], 2, ["runtime.device: " "must be a " "device of this " "machine, got mps"]),
    "time-limit-form": (nothing, [*SEARCH, "--time-limit", "soon"], 2, ["--time-limit: must " "be a duration above " "0 such as 30s, 10m " "or 2h, got 'soon'"]),
    "seeds-form": (nothing, ["retrain", "mmoe", "--data", "data/tiny.yaml", "--seeds", "4..1"], 2, ["--seeds: must " "be seeds such as"]),
    "name-too-long": (nothing, ["search", "x" * 300], 3, ["must be within " "reach, got File " "name too long; " "check the path"]),
    "too-large": (lambda: Path("mine.json").write_text('{"experts": ' '[{"blocks": ' '["mlp(65536)"]}], ' '"projection": 65536}'), ["retrain", "mine.json", "--data", "data/tiny.yaml", "--out", "new"], 2, ["architecture: must " "make a network " "of at most " "1,000,000,000 " "parameters", "raise runtime.max_parameters"]),
    "unknown-architecture": (nothing, ["retrain", "mmoee", "--data", "data/tiny.yaml"], 2, ["did you mean 'mmoe'?"]),
    "data-not-named": (nothing, ["retrain", "mmoe"], 2, ["--data: must " "name the " "data set to train on"]),
    "ranking-absent": (nothing, ["retrain", "mmoe", "--data", "data/tiny.yaml", "--set", "retrain.chosen_experts=2"], 2, ["needs an " "architecture " "whose experts " "a search ranked"]),
    "template-setting-unknown": (nothing, ["retrain", "mmoe", "--data", "data/tiny.yaml", "--set", "architecture.width=8"], 2, ["architecture.width: " "must be " "a setting of " "the template mmoe", "it has embedding_dim " "(16)"]),
    "group-unknown": (nothing, ["retrain", "mmoe", "--data", "data/tiny.yaml", "--set", "retrain.group_lr={masks: " "0.1}"], 2, ["retrain.group_lr.masks: " "must " "be a group of " "parameters of mmoe", "it has tables, " "weights"]),
    "of-another-optimizer": (nothing, ["retrain", "mmoe", "--data", "data/tiny.yaml", "--set", "retrain.momentum=0.5"], 2, ["retrain.momentum: " "belongs to " "optimizer sgd, " "got optimizer adam"]),
    "recommends-wrong": (yaml_with("split:", "recommends: " "{retrain: " "{lrr: 1}}\nsplit:"), ["data", "describe", "data/tiny.yaml"], 2, ["tiny.yaml: " "recommends.retrain: " "lrr is " "not a known key " "(did you mean 'lr'?)"]),
    "run-absent": (nothing, ["evaluate", "nowhere"], 2, ["nowhere: " "must be a run " "folder, got " "no such folder"]),
    "picture-ending": (nothing, ["show", "mmoe", "-o", "x.gif"], 2, ["x.gif"]),
    "picture-kind": (nothing, ["show", "mmoe", "--what", "betas"], 2, ["architecture or alphas"]),
    "report-ending": (nothing, ["report", "run", "-o", "x.pdf"], 2, ["x.pdf"]),
    "data-cannot-be-brought": (nothing, ["data", "get", "cenus"], 2, ["cenus"]),
    "limit-below-cheapest": (nothing, [*SEARCH, "--set", "search.max_latency_ms=0.001"], 2, ["search.max_latency_ms: " "must be at least", "the cheapest " "model of the " "space, got " "0.001; raise it"]),
    "export-changed": (export_without_a_file, ["predict", "served", "data/rows.csv", "-o", "x.parquet"], 2, ["served/model.onnx: " "must " "be there, got " "no such file"]),
    "option-unknown": (nothing, ["search", "--sedd", "3"], 2, ["--sedd"]),
}  # fmt: skip
AFTER_SEARCH = {
    **TAMPERED,
    **PLUGINS_AFTER_SEARCH,
    "bound-to-other-data": (other_data, ["retrain", "run", "--data", "other/tiny.yaml", "--out", "new"], 2, ["'user' missing " "from the " "data, 'member' " "unknown"]),
    "newer-format": (architecture_with(version=2), ["retrain", "mine.json", "--data", "data/tiny.yaml"], 2, ["must have format " "version 1 or " "older, got 2; " "update automtl"]),
    "no-architecture": (architecture_with(experts=[]), ["retrain", "mine.json", "--data", "data/tiny.yaml"], 2, ["mine.json: experts"]),
    "more-chosen-than-found": (nothing, ["retrain", "run", "--set", "retrain.chosen_experts=9"], 2, ["must be at most the " "architecture's " "4 experts, got 9"]),
    "shape-is-found": (nothing, ["retrain", "run", "--set", "architecture.embedding_dim=8"], 2, ["architecture.embedding_dim: " "must stay as it is", "is bound to " "its data set"]),
    "nothing-to-mask": (nothing, ["retrain", "run", "--sharing", "mome"], 2, ["sharing.kind mome: " "needs an expert that " "holds mlp or dense, " "to mask its weights"]),
    "data-changed": (new_rows, [*SEARCH[:4], "--out", "run", "--resume", *SMALL], 2, ["must be of the " "same prepared " "data, got data " "that changed since"]),
    "resume-without-out": (nothing, [*SEARCH[:4], "--resume"], 2, ["--resume: needs --out"]),
    "resume-changed": (nothing, [*SEARCH[:4], "--out", "run", "--resume", *SMALL, "--seed", "5"], 2, ["--resume: " "seed: must be as " "in run/search/config.yaml"]),
    "points-too-few": (nothing, ["pareto", "run", "--points", "1"], 2, ["--points: must " "be at least " "2 and at most " "10,000, got 1"]),
    "cost-unknown": (nothing, ["pareto", "run", "--of", "watts"], 2, ["--of: must be " "one of flops, " "parameters, " "latency, got watts"]),
    "supernet-of-another": (narrower_config, ["pareto", "run"], 2, ["last.safetensors: " "must hold the " "weights of the " "config beside it"]),
    "torn-checkpoint": (torn_checkpoint, [*SEARCH[:4], "--out", "run", "--resume", *SMALL], 2, ["last.safetensors: " "must " "be a whole checkpoint"]),
    "lines-lost": (lines_lost, [*SEARCH[:4], "--out", "run", "--resume", *SMALL], 2, ["metrics.jsonl: must " "have the 2 lines " "that the checkpoint " "knows of, got 0"]),
    "resume-another": (another_retrain, ["retrain", "run", "--resume", "--fast-dev-run"], 2, ["architecture.json: " "must be the " "architecture to " "train, got one of other towers"]),
    "weights-of-another": (weights_of_another, ["evaluate", "run"], 2, ["best.safetensors: " "must hold the " "weights of the " "architecture " "beside it"]),
    "export-format": (nothing, ["export", "run", "--format", "onx"], 2, ["--format: " "must be one " "of onnx, pt2, python", "did you mean 'onnx'?"]),
    "export-exists": (retrained_and_served, ["export", "run", "--format", "onnx", "-o", "served"], 2, ["served: must " "not exist yet"]),
    "nothing-retrained": (nothing, ["evaluate", "run"], 2, ["run: must hold " "a retrain, got " "none; run `automtl " "retrain` first"]),
}  # fmt: skip


def check(case, here, capfd):
    with without_plugins():
        provoke(case, here, capfd)


def provoke(case, here, capfd):
    wrong, command, status, parts = case
    wrong()
    before = sorted(p for p in here.rglob("*") if "cache" not in p.parts)
    capfd.readouterr()
    assert run(command) == status
    err = capfd.readouterr().err
    lines = [line for line in err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1 and "Traceback" not in err, err
    assert all(part in lines[0] for part in parts), lines[0]
    left = sorted(p for p in here.rglob("*") if "cache" not in p.parts and p.name != ".lock")
    assert left == [p for p in before if p.name != ".lock"], "nothing is left behind"
    assert not list(here.glob("cache/prepared/.*.tmp")), "no half-written store is left"


@pytest.mark.parametrize("name", sorted(FRESH))
def test_error(name, here, capfd):
    check(FRESH[name], here, capfd)


@pytest.mark.parametrize("name", sorted(AFTER_SEARCH))
def test_error_after_a_search(name, searched, capfd):
    check(AFTER_SEARCH[name], searched, capfd)


def test_a_full_disk_is_exit_3(here, capfd, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    assert run(SEARCH) == 3
    assert "free some space or choose another folder" in capfd.readouterr().err


def test_a_read_only_folder_is_exit_3(here, capfd, monkeypatch):
    honest = Path.mkdir

    def refused(self, *args, **kwargs):
        if self.name == "new":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return honest(self, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", refused)
    assert run(SEARCH) == 3
    assert "must be writable, got Read-only file system" in capfd.readouterr().err


def test_a_run_folder_in_use_is_exit_3(searched, capfd):
    with files.locked(Path("run/search")):
        assert run([*SEARCH[:4], "--out", "run", "--resume", *SMALL]) == 3
    assert "must be free, got another process (" in capfd.readouterr().err


def hand_over(monkeypatch, **changes):
    """`automtl export` with a format that answers 2 for every row."""
    assert run(["retrain", "run", "--fast-dev-run"]) == 0
    wrong = formats.Format(
        "wrong",
        lambda folder, served: lambda features: [np.full(len(features["user"]), 2.0)] * 2,
        "",
        "",
        **changes,
    )
    monkeypatch.setitem(formats.FORMATS, "onnx", wrong)
    return run(["export", "run", "--format", "onnx", "-o", "served"])


def test_a_library_that_is_not_there_is_exit_3(searched, capfd, monkeypatch):
    assert hand_over(monkeypatch, needs=("no_such_library",)) == 3
    assert (
        "no_such_library: must be installed for ONNX, got none; pip install 'automtl[onnx]'"
        in capfd.readouterr().err
    )
    assert not Path("served").exists()


def test_an_export_that_answers_otherwise_is_exit_4(searched, capfd, monkeypatch):
    assert hand_over(monkeypatch) == 4
    assert (
        "export, output 'probs_click': must answer as the network does, within 1e-05"
        in capfd.readouterr().err
    )
    assert not Path("served").exists()


def test_a_method_of_balancing_without_its_extra_is_exit_2(here, capfd, monkeypatch):
    monkeypatch.setattr("automtl.training.balancing.balancers.find_spec", lambda module: None)
    case = (
        nothing,
        [*SEARCH, "--set", "search.balancing.method=cagrad"],
        2,
        ["needs its extra, got no package torchjd and no cvxpy; pip install"],
    )
    check(case, here, capfd)


def test_the_catalogue_page_has_a_row_for_each_error_and_no_other():
    page = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|", page, flags=re.MULTILINE)
    others = [
        "balancing-extra",
        "disk-full",
        "read-only-folder",
        "run-in-use",
        "onnx-absent",
        "export-differs",
    ]
    # test_faults.py, test_ends.py
    others += [
        "out-of-memory",
        "not-finite",
        "not-deterministic",
        "interrupted",
        "tune-no-result",
        "time-limit-short",
        "nothing-decided",
    ]
    assert sorted(rows) == sorted([*FRESH, *AFTER_SEARCH, *others])
