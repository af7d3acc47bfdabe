"""How commands end: by signals wherever they are, with nobody reading, by nothing to hand over, and
well.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from automtl.errors import Interrupted
from automtl.runs.manifest import Manifest
from tests.cli.test_errors import run
from tests.house import ROOT
from tests.support import write_dataset

SIGNALS = [signal.SIGINT, signal.SIGTERM]
SAID = "error: interrupted; what was finished is kept"
# command -> what it has reached when the signal comes
PLACES = {
    "data prepare data/tiny.yaml --data-dir other": "automtl.data.prepare._passes.Fit",
    "data describe data/tiny.yaml --data-dir other": "automtl.data.prepare._passes.Fit",
    "predict run data/rows.csv -o new.parquet": "automtl.phases.finished._predictor.Batches",
    "evaluate run": "automtl.phases.finished.evaluate.groups",
    "export run --format python -o served": "automtl.phases.finished._export_folder.compare",
    "show run -o new.svg": "automtl.phases.finished.show.draw",
    "report run -o new.html": "automtl.phases.finished.report.report",
    "compare run": "automtl.phases.finished.compare.pooled_deviation",
    "runs list": "automtl.runs.overview.overview",
    "search data/tiny.yaml --out new": "automtl.phases.search._checks.training_session",
}

PAPER = "--set search.strategy=darts --set search.selection=argmax"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a data set and a trained model."""
    folder = tmp_path_factory.mktemp("ends")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("AUTOMTL_DATA_DIR", str(folder / "cache"))
        write_dataset(folder / "data")
        assert run("retrain mmoe --data data/tiny.yaml --fast-dev-run --out run".split()) == 0
        yield folder


def automtl(*words, **more):
    return [sys.executable, "-m", "automtl", *words], {
        "env": os.environ | {"PYTHONPATH": str(ROOT)},
        "text": True,
        **more,
    }


def made(place):
    return sorted(path for path in place.iterdir() if path.name != "other")


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("command", PLACES)
def test_a_signal_ends_a_command_with_its_status_and_one_line(
    command, number, place, capfd, monkeypatch
):
    def stop(*given, **more):
        os.kill(os.getpid(), number)
        time.sleep(10)

    module, _, name = PLACES[command].rpartition(".")
    monkeypatch.setattr(importlib.import_module(module), name, stop)
    before, handlers = made(place), [signal.getsignal(n) for n in SIGNALS]
    assert run(command.split()) == 128 + number
    said = capfd.readouterr()
    assert [line for line in said.err.splitlines() if line.startswith("error")] == [
        SAID
    ] and "Traceback" not in said.err
    assert made(place) == before, "nothing half-written is left"
    assert not list(place.glob("other/**/*.tmp"))
    assert [signal.getsignal(n) for n in SIGNALS] == handlers


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_during_imports_ends_like_any_other(number, place, tmp_path):
    """The module that a command imports last is held up until the signal has come."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hold:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'pyarrow.parquet':\n"
        "            import time\n"
        "            print('here', flush=True)\n"
        "            time.sleep(60)\n"
        "sys.meta_path.insert(0, Hold())\n"
    )
    command, more = automtl(
        "data",
        "prepare",
        "data/tiny.yaml",
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    more["env"]["PYTHONPATH"] += f"{os.pathsep}{tmp_path}"
    with subprocess.Popen(command, **more) as process:
        assert process.stdout.readline() == "here\n"
        process.send_signal(number)
        _, said = process.communicate(timeout=120)
    assert (process.returncode, said.splitlines()) == (128 + number, [SAID])


@pytest.mark.parametrize(
    "words",
    [
        ["data", "list", "--json"],
        ["data", "list"],
        ["data", "describe", "data/tiny.yaml"],
        ["--help"],
    ],
)
def test_a_pipe_that_nobody_reads_ends_a_command_in_silence(words, place):
    reading, writing = os.pipe()
    os.close(reading)
    command, more = automtl(*words, cwd=place, stdout=writing, stderr=subprocess.PIPE)
    done = subprocess.run(command, check=False, **more)
    os.close(writing)
    assert (
        done.returncode == 128 + signal.SIGPIPE
        and "error" not in done.stderr
        and "Exception" not in done.stderr
    ), done.stderr


def test_an_error_that_nobody_reads_has_its_status(place):
    reading, writing = os.pipe()
    os.close(reading)
    command, more = automtl("data", "describe", "absent.yaml", cwd=place, stderr=writing)
    assert subprocess.run(command, check=False, **more).returncode == 2
    os.close(writing)


def test_a_search_that_nobody_listens_to_can_be_gone_on_with(place, monkeypatch, capfd):
    def deaf(self, event, epochs):
        raise Interrupted(signal.SIGPIPE)

    command = "retrain mmoe --data data/tiny.yaml --fast-dev-run --out deaf".split()
    with monkeypatch.context() as patched:
        patched.setattr("automtl.cli.progress.ConsoleReporter.step", deaf)
        assert run(command) == 141
    assert (
        Manifest.read(Path("deaf/retrain/mmoe-s0/manifest.json")).values["state"] == "interrupted"
    )
    assert run([*command, "--resume"]) == 0
    capfd.readouterr()


def test_help_and_version(place, capfd):
    for words in (["-h"], ["--help"], ["data", "-h"], ["search", "-h"], ["runs", "list", "-h"]):
        assert run(words) == 0
        assert capfd.readouterr().out.lstrip().startswith("Usage: ")
    assert run(["--version"]) == 0
    assert capfd.readouterr().out == f"automtl {version('automtl')}\n"
    command, more = automtl("--version", capture_output=True)
    done = subprocess.run(command, check=False, **more)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"automtl {version('automtl')}\n", "")
    assert run([]) == 2
    said = capfd.readouterr()
    assert (said.out + said.err).lstrip().startswith("Usage: ")


def test_a_time_limit_shorter_than_an_epoch_hands_over_nothing(place, capfd):
    assert (
        run(
            "search data/tiny.yaml --space automtl_small --out short --set search.batch_size=64 "
            f"--time-limit 0.001s --json {PAPER}".split()
        )
        == 5
    )
    said = capfd.readouterr()
    (line,) = [line for line in said.err.splitlines() if line.startswith("error")]
    assert (
        "short: a search must finish an epoch within --time-limit, got 0.001 s" in line
        and "--resume" in line
        and said.out == ""
    )
    assert not Path("short/search/architecture.json").exists()
    assert run(["retrain", "short"]) == 2
    assert "Traceback" not in capfd.readouterr().err
    assert run(["status", "short"]) == 0
    said = capfd.readouterr()
    assert "interrupted" in said.out
    assert "to go on: automtl search" in " ".join(said.err.split())


TUNE = f"tune data/tiny.yaml --space automtl_small --fast-dev-run {PAPER} --trials 2 --out".split()


def test_a_study_without_a_complete_trial_hands_over_nothing(place, capfd):
    assert run([*TUNE, "failed", "--set", "tune.parameters={search.epochs: {choices: [1]}}"]) == 5
    said = capfd.readouterr()
    assert (
        "failed/tune: must have a complete trial, to name the best, got 2 failed; trial 0: "
        in said.err
    )
    assert (
        run([*TUNE, "json", "--json", "--set", "tune.parameters={search.epochs: {choices: [1]}}"])
        == 5
    )
    told = json.loads(capfd.readouterr().out)
    assert told["named"] == {} and [trial["state"] for trial in told["trials"]] == ["fail", "fail"]
    assert not Path("json/tune/best.yaml").exists()
    assert "best.yaml" not in said.out + said.err and not Path("failed/tune/best.yaml").exists()
    assert run([*TUNE, "late", "--time-limit", "0.001s"]) == 5
    said = capfd.readouterr()
    assert (
        "to go on: automtl tune data/tiny.yaml" in said.err
        and "--out late --time-limit 0.001s --resume" in said.err
    )
    assert "got none that has ended; go on with --resume and a longer --time-limit" in said.err
    assert not Path("late/tune/best.yaml").exists()
