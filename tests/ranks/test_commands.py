"""Whole commands on several workers: what they make, how they end, how they go on."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from automtl.cli._app import app
from automtl.errors import ConfigError
from automtl.runs import checkpoint
from scripts.small import PAPER, SPACE, flags
from tests.ranks.commands import (
    ENV,
    LONG_S,
    PLAIN,
    Folder,
    awaited,
    farthest,
    lines_of,
    net_of,
    same_state,
    stop,
    worker,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return Folder(tmp_path_factory.mktemp("ranks"))


LONG = ("search.epochs=12", "runtime.checkpoint_every_steps=1")


def long_search(folder, out, workers, *more, sets=()):
    sets = ("search.batch_size=48", "search.warmup_epochs=1", *LONG, *sets)
    words = (folder.data, "--space", "automtl_small", "--out", out, *more)
    return folder.words("search", *words, workers=workers, sets=(*SPACE, *PAPER, *PLAIN, *sets))


def torchrun(folder, words, *options):
    """A command by torchrun on two processes, which ends well."""
    start = ["torch.distributed.run", "--standalone", *options, "--nproc_per_node=2"]
    done = subprocess.run(
        [sys.executable, "-m", *start, *words],
        cwd=folder.path,
        env=ENV,
        capture_output=True,
        text=True,
        timeout=LONG_S,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def finished(run, epochs=12):
    lines = lines_of(run / "search" / "metrics.jsonl")
    assert [line["epoch"] for line in lines] == list(range(epochs)), "none lost, none twice"
    manifest = json.loads((run / "search" / "manifest.json").read_text())
    assert manifest["state"] == "done" and (run / "search" / "architecture.json").exists()
    return lines


def test_a_killed_worker_ends_the_command_with_its_status_and_the_search_goes_on(folder):
    run = folder.path / "killed"
    status, said = stop(
        folder,
        long_search(folder, run, 2, sets=["search.epochs=6"]),
        run / "search" / "metrics.jsonl",
        rank=1,
        number=signal.SIGKILL,
    )
    assert status == 128 + signal.SIGKILL, said
    assert "worker 1 was ended by signal 9; go on with --resume" in said
    folder.run("search", folder.data, "--out", run, "--resume")  # on one, here
    finished(run, epochs=6)


def refused(*words):
    with pytest.raises(ConfigError) as error:
        app(list(map(str, words)), standalone_mode=False)
    return str(error.value)


def test_what_ranks_cannot_share_is_refused_at_once(folder, monkeypatch):
    search = ["search", folder.data, "--out", folder.path / "odd", *flags((*SPACE, *PAPER))]
    odd = refused(*search, "--set", "search.batch_size=51", "--workers", 2)
    assert odd.startswith(
        "search.batch_size: must be a multiple of the 2 ranks, at least 4 rows each"
    )
    assert "got 51; set search.batch_size=48" in odd
    assert "got 6; set search.batch_size=8" in refused(
        *search, "--set", "search.batch_size=6", "--workers", 2
    )
    raced = refused(
        "search", folder.data, "--out", "x", "--set", "retrain.batch_size=51", "--workers", 2
    )
    assert raced.startswith("retrain.batch_size: must be a multiple")
    assert "got 0" in refused(*search, "--workers", 0)
    assert "--plan: must be run by one process" in refused(*search, "--plan", "--workers", 2)
    assert "retrain --from: must be run by one" in refused("retrain", "--from", "x", "--workers", 2)
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert "--workers: must be the WORLD_SIZE of 3, got 2" in refused(*search, "--workers", 2)
    for command in ("tune", "benchmark", "rank", "pareto", "report", "show"):
        given = folder.data if command in ("tune", "benchmark") else "x"
        assert f"automtl {command}: must be run by one process" in refused(command, given)
    monkeypatch.setenv("WORLD_SIZE", "many")
    assert refused("tune", folder.data).startswith("WORLD_SIZE: must be a whole number")
    assert not (folder.path / "odd").exists()


# -- the rest takes minutes


@pytest.mark.slow
def test_a_search_on_two_and_three_ranks_is_that_of_one_process(folder):
    sets = ["search.batch_size=48"]
    folder.search("one", sets=sets)
    one = lines_of(folder.path / "one/search/metrics.jsonl")
    for workers in (2, 3):
        name = f"by{workers}"
        folder.search(name, workers=workers, sets=sets)
        run = folder.path / name
        assert farthest(net_of(folder.path / "one"), net_of(run)) < 1e-6
        found = lines_of(run / "search/metrics.jsonl")
        for a, b in zip(one, found, strict=True):
            assert b["b"]["loss"] == pytest.approx(a["b"]["loss"], abs=1e-6)
            for task in a["b"]["tasks"]:
                assert a["b"]["tasks"][task]["auc"] == b["b"]["tasks"][task]["auc"]
        held = [
            json.loads((folder.path / n / "search/architecture.json").read_text())
            for n in ("one", name)
        ]
        for architecture in held:
            for weights in ("provenance", "ranking", "choices"):
                del architecture[weights]
        assert held[0] == held[1]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["gdas", "snas", "evolution", "random_search", "second_order"])
def test_every_strategy(folder, strategy):
    sets = [f"search.strategy={strategy}"]
    if strategy == "second_order":
        sets = ["search.second_order=true"]
    if strategy == "random_search":
        sets += ["search.draws=2", "search.selection=argmax"]
    if strategy == "evolution":
        sets += ["search.population=4", "search.generations=1", "search.tournament=2"]
    for name, workers in ((f"{strategy}1", 1), (f"{strategy}2", 2)):
        folder.search(name, workers=workers, sets=sets)
    one, two = (lines_of(folder.path / f"{strategy}{n}/search/metrics.jsonl") for n in (1, 2))
    assert [line["b"]["loss"] for line in two] == pytest.approx(
        [line["b"]["loss"] for line in one], abs=1e-5
    )


@pytest.mark.slow
def test_a_race_on_two_ranks_is_that_of_one_process(folder):
    few = ["candidates=3", "controls=1", "seeds=2", "epochs=2", "checks=1", "finalists=2"]
    sets = [*(f"search.race_{item}" for item in few), "retrain.batch_size=48"]
    sets += ["search.rivals=[mmoe]", "search.selection=race"]
    for name, workers in (("race1", 1), ("race2", 2)):
        folder.search(name, workers=workers, sets=sets)
    one, two = (lines_of(folder.path / f"{n}/search/race.jsonl") for n in ("race1", "race2"))
    assert [line["candidate"] for line in one] == [line["candidate"] for line in two]
    plain = [i for i, line in enumerate(one) if line["kind"] != "rival"]  # rivals have BatchNorm
    for name in ("a", "b"):
        assert [two[i][name] for i in plain] == pytest.approx(
            [one[i][name] for i in plain], abs=1e-6
        )


@pytest.mark.slow
def test_twice_the_same_bytes(folder):
    dropout = ["space.dropout=0.2", "space.batch_norm=true"]
    for name in ("first", "second"):
        folder.search(name, workers=2, sets=dropout)
    states = [
        checkpoint.load(folder.path / n / "search/checkpoint/last.safetensors")
        for n in ("first", "second")
    ]
    assert same_state(*states)
    for kind in ("metrics.jsonl", "alphas.parquet"):
        one, two = ((folder.path / n / "search" / kind).read_bytes() for n in ("first", "second"))
        assert one == two


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_all_stopped_and_gone_on_with_by_any_number(folder, workers):
    run = folder.path / f"stopped{workers}"
    words = long_search(folder, run, 2)
    status, said = stop(folder, words, run / "search" / "metrics.jsonl", lines=2)
    assert status == 128 + signal.SIGTERM, said
    assert said.count("interrupted; everything up to this step is kept") == 1
    assert "--workers 2" in said and "--resume" in said
    done = folder.run("search", folder.data, "--out", run, "--resume", workers=workers)
    assert ("ranks 2 then" in done.stderr) == (workers != 2)
    lines = finished(run)
    if workers == 2:
        whole = folder.path / "whole"
        folder.search(whole, workers=2, sets=LONG)
        assert lines == lines_of(whole / "search/metrics.jsonl")
        assert same_state(
            *(checkpoint.load(r / "search/checkpoint/last.safetensors") for r in (run, whole))
        )


@pytest.mark.slow
def test_one_stopped_worker_stops_all_at_the_same_step(folder):
    run = folder.path / "one-stopped"
    words = long_search(folder, run, 2)
    status, said = stop(folder, words, run / "search" / "metrics.jsonl", rank=1)
    assert status == 128 + signal.SIGTERM, said
    folder.run("search", folder.data, "--out", run, "--resume")
    finished(run)


@pytest.mark.slow
def test_a_worker_that_hangs_is_not_waited_for_for_ever(folder):
    run = folder.path / "hangs"
    words = long_search(folder, run, 2, sets=["runtime.collective_timeout_s=60"])
    metrics = run / "search" / "metrics.jsonl"
    status, said = stop(folder, words, metrics, rank=1, number=signal.SIGSTOP)
    assert status == 128 + signal.SIGKILL, said
    assert "worker 1 was ended by signal 9; go on with --resume" in said
    assert "rank 0: must hear from all other ranks within 60 s" in said
    manifest = json.loads((run / "search" / "manifest.json").read_text())
    assert manifest["state"] == "interrupted"


@pytest.mark.slow
def test_a_worker_stopped_before_it_has_begun_ends_all(folder):
    """While it imports, too: no fault of its own comes of it."""
    for wait in (1.0, 4.0):
        out = folder.path / f"early-{wait}"
        words = long_search(folder, out, 2)
        process = subprocess.Popen(
            [sys.executable, *words], cwd=folder.path, env=ENV, stderr=subprocess.PIPE, text=True
        )
        pid = awaited(lambda process=process: worker(process, 1))
        time.sleep(wait)
        os.kill(pid, signal.SIGTERM)
        said = process.communicate(timeout=LONG_S)[1]
        assert process.returncode == 128 + signal.SIGTERM, said
        assert "Traceback" not in said and "fault of automtl" not in said, said
        assert "signal 15" in said or "interrupted; " in said, said


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mmoe", "single_task", "mome", "dselect_k"])
def test_retrain_and_evaluate_on_two_ranks(folder, kind):
    sets = ["retrain.batch_size=48", "retrain.epochs=3", "architecture.batch_norm=false"]
    sets += ["architecture.dropout=0", "architecture.embedding_dim=4"]
    for name, workers in ((f"{kind}-1", None), (f"{kind}-2", 2)):
        words = ("retrain", kind, "--data", folder.data, "--out", name)
        folder.run(*words, workers=workers, sets=sets)
    one, two = (
        lines_of(next((folder.path / f"{kind}-{n}").glob("retrain/*/metrics.jsonl")))
        for n in (1, 2)
    )
    assert [line["validation"]["loss"] for line in two] == pytest.approx(
        [line["validation"]["loss"] for line in one], abs=1e-6
    )
    told = [
        json.loads(folder.run("evaluate", f"{kind}-1", "--json", workers=w).stdout)["models"][0]
        for w in (None, 2, 3)
    ]
    for number, model in enumerate(told, 1):
        assert model["test_reads"] == number, "counted once for all ranks"
        for task, metrics in told[0]["test"]["tasks"].items():
            assert model["test"]["tasks"][task]["auc"] == metrics["auc"]
            assert model["test"]["tasks"][task]["rows"] == metrics["rows"]


@pytest.mark.slow
def test_torchrun_starts_it_too(folder):
    folder.search("seen")  # prepares the data
    words = long_search(folder, folder.path / "torchrun", None)
    done = torchrun(folder, words)
    finished(folder.path / "torchrun")
    assert done.stderr.count("epoch 1/12") == 1, "one of them talks"


@pytest.mark.slow
def test_torchrun_starts_it_again_and_it_goes_on(folder):
    """A rank kills itself on the first try, in the middle."""
    plugin, run = folder.path / "mortal.py", folder.path / "again"
    plugin.write_text(
        "import os\nimport signal\nimport torch\nimport automtl\n"
        "class Mortal(torch.nn.Module):\n"
        "    def __init__(self, *, width_in):\n"
        "        super().__init__()\n"
        "        self.linear, self.calls = torch.nn.Linear(width_in, width_in), 0\n"
        "    def forward(self, x):\n"
        "        self.calls += 1\n"
        "        first = os.environ['TORCHELASTIC_RESTART_COUNT'] == '0'\n"
        "        if first and os.environ['RANK'] == '1' and self.calls == 60:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return self.linear(x)\n"
        "automtl.register_operation('mortal', Mortal, place='expert')\n"
    )
    sets = ["space.expert=[mortal, mlp(4), skip]", "search.epochs=4"]
    words = long_search(folder, run, None, "--plugin", plugin, sets=sets)
    folder.run("data", "prepare", folder.data)
    torchrun(folder, words, "--max-restarts=1")
    finished(run, epochs=4)
    assert json.loads((run / "search" / "manifest.json").read_text())["resumed"]


@pytest.mark.slow
def test_a_workers_own_fault_is_told_and_its_status_comes_out(folder):
    plugin = folder.path / "broken.py"
    plugin.write_text(
        "import os\nimport torch\nimport automtl\n"
        "from automtl.errors import EnvironmentFault\n"
        "class Faulty(torch.nn.Module):\n"
        "    def __init__(self, *, width_in):\n"
        "        super().__init__()\n"
        "        self.linear = torch.nn.Linear(width_in, width_in)\n"
        "    def forward(self, x):\n"
        "        if os.environ.get('RANK') == '1' and len(x) == 24:\n"
        "            raise EnvironmentFault('the disk of rank 1', 'must be there', 'none')\n"
        "        return self.linear(x)\n"
        "automtl.register_operation('faulty', Faulty, place='expert')\n"
    )
    sets = ["space.expert=[faulty, mlp(4), skip]"]
    done = folder.search("fault", "--plugin", plugin, workers=2, sets=sets, status=3)
    assert "worker 1: the disk of rank 1: must be there, got none" in done.stderr
    assert done.stderr.count("the disk of rank 1") == 1
