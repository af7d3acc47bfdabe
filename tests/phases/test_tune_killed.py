"""Studies on a sample of Census-Income under SIGKILL, with two workers, on SQLite and on
PostgreSQL; each is a command of its own.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.census import sample
from tests.house import ROOT
from tests.phases.postgres import SECRET, Server

pytestmark = pytest.mark.slow

TRIALS = 12  # two more than TPE draws at random
SETS = (
    "space.expert=[gate, mlp(8), mlp(16), skip]",
    "space.interaction=[skip]",
    "space.embedding_dim=4",
    "space.expert_dim=8",
    "search.strategy=darts",
    "search.selection=argmax",
    "search.epochs=4",
    "search.batch_size=128",
    "retrain.epochs=3",
    "retrain.batch_size=128",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return sample(tmp_path_factory.mktemp("census"), train=2400, test=1200)


@pytest.fixture(scope="module")
def server():
    made = Server()
    made.start()
    yield made
    made.stop()
    shutil.rmtree(made.folder)


@pytest.fixture(params=["sqlite", "postgres"])
def storage(request):
    return [] if request.param == "sqlite" else ["--storage", request.getfixturevalue("server").url]


class Worker:
    """One process of a study, its words in a file beside the study's folder."""

    def __init__(self, data, out, *options, trials=TRIALS):
        self.log = out.with_name(f"{out.name}-{len(list(out.parent.glob('*.log')))}.log")
        command = [
            sys.executable,
            "-c",
            "import sys; sys.argv[0] = 'automtl'; from automtl.cli.main import main; main()",
            "tune",
        ]
        command += [
            "census_income",
            "--data-dir",
            str(data),
            "--space",
            "automtl_small",
            "--threads",
            "1",
            "--trials",
            str(trials),
        ]
        command += [part for item in SETS for part in ("--set", item)] + [
            "--out",
            str(out),
            *options,
        ]
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "1000",
        }
        with self.log.open("w") as words:
            self.process = subprocess.Popen(command, env=environment, stdout=words, stderr=words)

    def wait_for(self, folder, pattern):
        until = time.monotonic() + 300
        while not list(folder.glob(pattern)):
            assert self.process.poll() is None, (
                f"it ended before {pattern} was there: {self.told()}"
            )
            assert time.monotonic() < until, pattern
            time.sleep(0.01)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self, status=0):
        assert self.process.wait(600) == status, self.told()

    def told(self):
        return self.log.read_text()

    def begun(self):
        return [
            int(number)
            for number in re.findall(
                r"^trial (\d+): epochs ", self.told().replace("search.", ""), re.MULTILINE
            )
        ]

    def ended(self):
        return [
            int(number)
            for number in re.findall(
                r"^trial (\d+): (?:validation|pruned|failed)", self.told(), re.MULTILINE
            )
        ]


def found(out):
    """What of each trial must not depend on when and how often a study was stopped, or on where it
    is kept.
    """
    trials = json.loads((out / "tune" / "results.json").read_text())["trials"]
    return [
        (
            t["number"],
            t["state"],
            t["values"],
            t["loss"],
            t["cost"],
            t["steps"],
            t["facts"].get("losses"),
        )
        for t in trials
    ]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "study"
    Worker(data, out).end()
    return out


def test_a_study_killed_twice_ends_as_one_that_was_not(whole, data, storage, tmp_path):
    expected, out = found(whole), tmp_path / "study"
    last = max(number for number, state, *_ in expected if state == "complete")
    kills = {4: "search/metrics.jsonl", last: "retrain/*/metrics.jsonl"}
    workers = []
    for number, moment in kills.items():
        workers.append(Worker(data, out, *storage, *(["--resume"] if workers else [])))
        workers[-1].wait_for(out / "tune" / "trials" / f"{number:04d}" / "run", moment)
        workers[-1].kill()
    workers.append(Worker(data, out, *storage, "--resume"))
    workers[-1].end()
    assert found(out) == expected
    assert [number for number, *_ in expected] == list(range(TRIALS))
    # only what was killed is taken up again
    assert sorted(n for w in workers for n in w.begun()) == sorted([*range(TRIALS), *kills])
    assert sorted(n for w in workers for n in w.ended()) == list(range(TRIALS))
    keeps_its_secret(tmp_path)


def test_two_workers_at_once_never_run_one_trial_twice(data, storage, tmp_path):
    out = tmp_path / "study"
    first = Worker(data, out, *storage)
    first.wait_for(out / "tune", "manifest.json")
    second = Worker(data, out, *storage, "--resume")
    second.wait_for(out / "tune" / "trials", "0005/run/search/metrics.jsonl")
    second.kill()
    third = Worker(data, out, *storage, "--resume")
    first.end()
    third.end()
    workers = (first, second, third)
    lost = set(second.begun()) - set(second.ended())
    assert len(lost) <= 1
    assert sorted(n for w in workers for n in w.begun()) == sorted([*range(TRIALS), *lost])
    assert sorted(n for w in workers for n in w.ended()) == list(range(TRIALS))
    assert all(w.begun() for w in workers)
    assert [number for number, *_ in found(out)] == list(range(TRIALS))
    assert json.loads((out / "tune" / "manifest.json").read_text())["state"] == "done"
    keeps_its_secret(tmp_path)


def test_a_server_that_goes_away_under_a_study(whole, data, server, tmp_path):
    out, storage = tmp_path / "study", ["--storage", server.url]
    worker = Worker(data, out, *storage, trials=3)
    worker.wait_for(out / "tune" / "trials" / "0001" / "run", "search/metrics.jsonl")
    server.stop()
    worker.end(status=3)
    assert "error: --storage: must be a database that can be read and written" in worker.told()
    assert "then --resume" in worker.told()
    server.start()
    Worker(data, out, *storage, "--resume", trials=3).end()
    assert found(out) == found(whole)[:3]
    refused = Worker(data, out, "--resume", trials=3)
    refused.end(status=2)
    assert (
        "error: --storage: must be what the study began with, got none; --storage "
        "postgresql+psycopg://automtl:***@" in refused.told()
    )
    wrong = Worker(
        data, tmp_path / "other", "--storage", server.url.replace(SECRET, "wrong-s3cret")
    )
    wrong.end(status=2)
    assert (
        "--storage: must be a database that opens" in wrong.told()
        and "wrong-s3cret" not in wrong.told()
    )
    assert not (tmp_path / "other").exists()
    shutil.move(out, tmp_path / "moved")
    again = Worker(data, tmp_path / "moved", *storage, "--resume", trials=3)
    again.end()
    assert again.begun() == []
    begun_anew = Worker(data, out, *storage)
    begun_anew.end(status=2)
    assert "must not hold a study of this folder yet" in begun_anew.told()
    keeps_its_secret(tmp_path)


def keeps_its_secret(folder: Path):
    """No file of a study, and no word it said, holds the database's password."""
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert len(written) > 50
    assert [path for path in written if SECRET.encode() in path.read_bytes()] == []
