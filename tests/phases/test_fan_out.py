"""Seeds trained side by side: the files of those trained one after the other, faults told and
outlived, stops heard by all.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import automtl
from automtl.engines import Engine
from automtl.errors import ConfigError, DataError, EnvironmentFault, Interrupted, RankLost
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import RunDir
from tests.house import ROOT
from tests.support import write_dataset

CLOCKS = ("seconds",)
TRAIN = "retrain shared_bottom --data data/tiny.yaml --data-dir cache --threads 1".split()
SHORT = ["--set", "retrain.epochs=2"]
EPOCHS = 150
LONG = ["--set", f"retrain.epochs={EPOCHS}", "--set", f"retrain.patience={EPOCHS}"]
LONG += ["--set", "runtime.checkpoint_every_steps=50"]


def command(*words: str) -> tuple[list[str], dict]:
    return [sys.executable, "-m", "automtl", *words], {
        "env": os.environ | {"PYTHONPATH": str(ROOT)},
        "text": True,
    }


def automtl_(folder: Path, *words: str) -> subprocess.CompletedProcess:
    line, more = command(*words)
    return subprocess.run(line, cwd=folder, capture_output=True, timeout=900, **more)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fan")
    write_dataset(folder / "data")
    automtl.retrain(
        "shared_bottom",
        folder / "data" / "tiny.yaml",
        seeds=range(3),
        out=folder / "one",
        data_dir=folder / "cache",
        runtime={"threads": 1},
        retrain={"epochs": 2},
    )
    return folder


def trained(run: Path) -> dict[str, bytes | dict]:
    """All files of a run's retrains, times and seconds of the clock left out."""
    found: dict[str, bytes | dict] = {}
    for path in sorted((run / "retrain").rglob("*")):
        if path.is_dir() or path.name in ("manifest.json", ".lock"):
            continue
        held = path.read_bytes()
        if path.name == "cost.json":
            found[path.relative_to(run).as_posix()] = {
                k: v for k, v in json.loads(held).items() if k not in CLOCKS
            }
        elif path.name != "config.yaml":
            found[path.relative_to(run).as_posix()] = held
    return found


def test_the_same_side_by_side_and_a_seed_that_fails(place: Path) -> None:
    for seed in (0, 1):
        (place / "two" / "retrain" / f"shared_bottom-s{seed}").mkdir(parents=True)
    (place / "two" / "retrain" / "shared_bottom-s1" / "metrics.jsonl").write_text("{}\n")
    done = automtl_(
        place, *TRAIN, *SHORT, "--seeds", "0..2", "--jobs", "2", "--out", "two", "--resume"
    )
    assert done.returncode == 2
    assert "failed: seed 1: " in done.stderr and "manifest.json" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: seed 1: ")
    assert "shared_bottom-s0" in done.stdout and "shared_bottom-s2" in done.stdout
    assert "shared_bottom-s1" not in done.stdout
    same, found = (
        {name: held for name, held in trained(place / run).items() if "-s1/" not in name}
        for run in ("one", "two")
    )
    assert found == same and len(same) >= 8
    for seed in (0, 2):
        assert f"seed {seed}: epoch 2:" in done.stderr
        config = f"retrain/shared_bottom-s{seed}/config.yaml"
        threads = (place / "two" / config).read_text()
        assert "threads: 1" in threads and threads == (place / "one" / config).read_text()
    assert not list((place / "two").glob(".scratch*"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_all_stop_with_their_parent_and_go_on(place: Path, number: int) -> None:
    name = f"stopped{int(number)}"
    line, more = command(*TRAIN, *LONG, "--seeds", "0,1,2", "--jobs", "2", "--out", name)
    with subprocess.Popen(
        line, cwd=place, stderr=subprocess.PIPE, start_new_session=True, **more
    ) as process:
        run = RunDir(place / name)
        folders = [run.retrain("shared_bottom", seed) for seed in range(2)]
        _wait(lambda: all(f.metrics.exists() and f.metrics.read_text() for f in folders))
        process.send_signal(number)
        said = process.stderr.read() if number == signal.SIGTERM else ""
        assert process.wait(60) == (143 if number == signal.SIGTERM else -9), said
        _wait(lambda: _nobody_in(process.pid))
    if number == signal.SIGTERM:
        assert "go on with: automtl retrain" in said and said.rstrip().endswith("--resume")
        assert not list((place / name).glob(".scratch*"))
    assert [Manifest.read(f.manifest).values["state"] for f in folders] == ["interrupted"] * 2
    assert not run.retrain("shared_bottom", 2).path.exists(), "not begun after the stop"
    epochs = [len(f.read_metrics()) for f in folders]
    assert max(epochs) < EPOCHS
    done = automtl_(
        place, *TRAIN, *LONG, "--seeds", "0,1", "--jobs", "2", "--out", name, "--resume"
    )
    assert done.returncode == 0, done.stderr
    lines = [[line["epoch"] for line in f.read_metrics()] for f in folders]
    assert lines == [list(range(EPOCHS))] * 2, "no epoch lost, none twice"


def _wait(holds) -> None:
    for _ in range(600):
        if holds():
            return
        time.sleep(0.1)
    pytest.fail("it takes longer than a minute")


def _nobody_in(session: int) -> bool:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[3]) == session:
                return False
        except OSError:
            continue
    return True


@pytest.mark.slow
def test_from_python(tmp_path: Path) -> None:
    """In a script, whose processes import it anew."""
    write_dataset(tmp_path / "data")
    (tmp_path / "both.py").write_text(
        "import automtl\n"
        "if __name__ == '__main__':\n"
        "    given = dict(seeds=[3, 5], runtime={'threads': 1}, retrain={'epochs': 1})\n"
        "    data = 'data/tiny.yaml'\n"
        "    a = automtl.retrain('shared_bottom', data, out='a', data_dir='d', jobs=2, **given)\n"
        "    b = automtl.retrain('shared_bottom', data, out='b', data_dir='d', **given)\n"
        "    print(a.labels == b.labels == ['shared_bottom-s3', 'shared_bottom-s5'],\n"
        "          [x.validation == y.validation for x, y in zip(a, b)])\n"
    )
    done = subprocess.run(
        [sys.executable, "both.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=900,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.strip() == "True [True, True]", done.stderr


def test_what_cannot_be_meant_is_refused(tmp_path: Path, monkeypatch) -> None:
    write_dataset(tmp_path)
    data = tmp_path / "tiny.yaml"
    with pytest.raises(ConfigError, match="callbacks: must be left out"):
        automtl.retrain(
            "mmoe", data, data_dir=tmp_path, out=tmp_path / "a", jobs=2, callbacks=[print]
        )
    for words in ("ray", "local:x", ""):
        with pytest.raises(ConfigError, match="--engine: must be one of local, dask, slurm"):
            Engine.of(words)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name, package in (("dask", "distributed"), ("slurm", "submitit")):
        fix = rf'no package {package}; run `pip install "automtl\[{name}\]"`'
        with pytest.raises(EnvironmentFault, match=fix):
            automtl.retrain("mmoe", data, data_dir=tmp_path, out=tmp_path / "a", engine=name)
    assert not (tmp_path / "a").exists()


def test_faults_travel_between_processes() -> None:
    own = (DataError("a", "b", "c", "d"), RankLost(1, "Timed out", 5.0))
    for fault in (*own, Interrupted(15, "run", "so far"), Interrupted(2)):
        made, given = fault.__reduce__()
        same = made(*given)
        assert type(same) is type(fault) and str(same) == str(fault)
        assert vars(same) == vars(fault)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "package"), [("dask", "distributed"), ("slurm:cluster=local", "submitit")]
)
def test_other_engines_train_the_same(place: Path, engine: str, package: str) -> None:
    pytest.importorskip(package, reason=f"the extra for --engine {engine} is not installed")
    out = engine.partition(":")[0]
    done = automtl_(
        place, *TRAIN, *SHORT, "--seeds", "0..2", "--jobs", "2", "--engine", engine, "--out", out
    )
    assert done.returncode == 0, done.stderr
    assert trained(place / out) == trained(place / "one")


@pytest.mark.slow
def test_grown_models_and_plugins(place: Path) -> None:
    """An older model's embeddings, and a user's own sharing module, are known to every process."""
    from tests.test_plugins import FILES

    (place / "my_sharing.py").write_text(FILES["my_sharing.py"])
    given = [*SHORT, "--data-dir", "cache", "--threads", "1", "--seeds", "4,5"]
    grown = ["--from", "one/retrain/shared_bottom-s0", "--data", "data/tiny.yaml"]
    own = ["mmoe", "--data", "data/tiny.yaml", "--plugin", "my_sharing.py"]
    for name, words in (("grown", grown), ("own", [*own, "--sharing", "sharp_mmoe"])):
        for jobs in "12":
            done = automtl_(place, "retrain", *words, *given, "--out", name + jobs, "--jobs", jobs)
            assert done.returncode == 0, done.stderr
            assert name == "own" or "embedding rows kept" in done.stderr
        assert trained(place / f"{name}2") == trained(place / f"{name}1")
