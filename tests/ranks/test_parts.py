"""The parts of training together that need no second process."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from automtl import files
from automtl.cli._options import goes_on
from automtl.config import RuntimeSection
from automtl.data.prepare import prepare
from automtl.data.spec.dataset import load_dataset
from automtl.data.store import Rows
from automtl.data.store.batches import Batches
from automtl.errors import ArtifactError, ConfigError, EnvironmentFault, RankLost
from automtl.phases.run.device import cores
from automtl.phases.run.joining import of_rank, share_of
from automtl.phases.run.launch import _failed
from automtl.ranks import ALONE, follows, join, place, world_size
from scripts.small import write_dataset


def test_one_process_is_the_identity_and_imports_nothing_for_it():
    plain = "import sys, automtl.ranks; assert not {'torch', 'torch.distributed'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", plain], check=True, timeout=60)
    assert join("cpu", 60) is ALONE and world_size() == 1 and not follows() and place() == (0, 1)
    rows, held = torch.tensor([3, 1, 3]), np.arange(3)
    assert ALONE.union(rows) is rows and ALONE.total(rows) is rows
    assert ALONE.totals([None, rows], [rows, rows])[1] is rows
    assert ALONE.gathered(held)[0] is held and ALONE.told("x") == "x" and ALONE.agree(7) == 7


def test_a_process_that_follows_writes_nothing(tmp_path, monkeypatch):
    kept = tmp_path / "kept.json"
    files.write_json(kept, 1)
    monkeypatch.setattr(files, "_FOLLOWS", [True])
    assert files.following()
    files.write_json(tmp_path / "a.json", 1)
    files.write_json(kept, 2)
    files.append_line(tmp_path / "b.jsonl", 1)
    files.cut_lines(kept, 9)
    files.make_folder(tmp_path / "c")
    files.make_folder(kept)  # another one made it
    files.replace(kept, tmp_path / "d")
    files.remove_file(kept)
    files.remove_folder(tmp_path)
    with files.locked(tmp_path):
        pass
    with pytest.raises(EnvironmentFault, match="must be there before ranks start"):
        files.StagedFolder(tmp_path / "e").__enter__()
    assert [path.name for path in tmp_path.iterdir()] == ["kept.json"]
    assert files.read_json(kept) == 1


@pytest.mark.parametrize(
    ("failures", "status", "words"),
    [
        ({0: (3, "RankLost: rank 0"), 1: (-9, "Signal 9")}, 137, "worker 1 was ended by signal 9"),
        ({0: (-15, "Signal 15"), 1: (3, "NoMemory: memory: too little")}, 3, "worker 1: memory: "),
        ({0: (2, "ConfigError: a"), 1: (2, "ConfigError: a")}, 2, ""),
        ({0: (4, "NumericalError: b"), 1: (3, "RankLost: rank 1")}, 4, ""),
        ({0: (143, "no words"), 1: (143, "no words")}, 143, ""),
        ({1: (143, "no words")}, 143, "worker 1 was ended by signal 15"),
    ],
)
def test_the_worker_that_failed_by_itself_gives_the_status(failures, status, words):
    said = []
    held = {
        rank: SimpleNamespace(exitcode=code, message={"message": text})
        for rank, (code, text) in failures.items()
    }
    assert _failed(held, said.append) == status
    assert "".join(said).startswith(words) and bool(said) == bool(words)


def test_a_rank_that_hangs_is_told_from_one_that_is_gone():
    """In the words of gloo."""
    gone, hangs = (
        RankLost(0, words, 90.0)
        for words in ("Connection closed by peer", "Timed out waiting 90000ms for recv")
    )
    assert str(gone).startswith("rank 0: must hear from all other ranks, got Connection closed")
    assert "see what the rank that ended first says" in str(gone)
    assert "within 90 s (runtime.collective_timeout_s), got Timed out" in str(hangs)
    assert "one of them hangs" in str(hangs) and "go on with --resume" in str(hangs)


def test_a_command_that_torchrun_starts_again_goes_on(tmp_path, monkeypatch):
    begun, fresh = tmp_path, tmp_path / "fresh"
    assert goes_on(True, None) and not goes_on(False, begun)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    assert not goes_on(False, begun) and not goes_on(False, None)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert goes_on(False, begun) and not goes_on(False, fresh) and goes_on(True, None)
    with pytest.raises(ConfigError, match="torchrun --max-restarts: needs --out"):
        goes_on(False, None)
    for name, value in {"WORLD_SIZE": 4, "RANK": 3, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(ConfigError, match="must be 0 with several machines, got 1; go on with"):
        goes_on(False, begun)
    assert goes_on(True, begun), "asked for in so many words"


def test_a_rank_takes_its_part_of_the_machine(monkeypatch):
    assert of_rank(RuntimeSection()) == RuntimeSection()
    for name, value in {"WORLD_SIZE": 4, "RANK": 3, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    assert follows() and place() == (1, 2)
    assert of_rank(RuntimeSection(device="cpu")).threads == max(1, cores() // 2)
    assert of_rank(RuntimeSection(device="cpu", threads=5)).threads == 5
    with pytest.raises(ConfigError, match=r"runtime.device: must leave the choice to the ranks"):
        of_rank(RuntimeSection(device="cuda:0"))
    with pytest.raises(ConfigError, match="must be cpu or cuda for several ranks, got mps"):
        join("mps", 60)


def test_a_step_is_shared_evenly_or_refused():
    assert share_of("x", 51, 1) == 51 and share_of("x", 48, 3) == 16
    for size, ranks in ((51, 2), (8, 3), (1, 3)):
        with pytest.raises(ConfigError, match=rf"got {size}; set x=") as error:
            share_of("x", size, ranks)
        named = int(str(error.value).rpartition("=")[2])
        assert share_of("x", named, ranks) >= 4, "what is advised is taken"


def test_several_machines_need_a_prepared_store(tmp_path):
    dataset = load_dataset(str(write_dataset(tmp_path / "data")))
    with pytest.raises(ArtifactError, match="must be there before several machines start"):
        prepare(dataset, data_dir=tmp_path / "p", make_anew=False)
    assert not (tmp_path / "p" / "prepared").exists()
    made = prepare(dataset, data_dir=tmp_path / "p")
    assert prepare(dataset, data_dir=tmp_path / "p", make_anew=False).path == made.path


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 8, 13])
@pytest.mark.parametrize("world", [2, 3])
def test_each_step_has_the_rows_of_one_process(count, world):
    n, size = 48 + count, 24
    ids = np.zeros((n, 1), np.int32)
    rows = Rows(ids, np.zeros((n, 0), np.float32), np.zeros((n, 1), np.float32))
    given = {"shuffle": True, "seed": 3}
    whole = [b.rows.tolist() for b in Batches(rows, batch_size=size, **given).epoch(2)]
    parts = [
        list(Batches(rows, batch_size=size // world, rank=r, world_size=world, **given).epoch(2))
        for r in range(world)
    ]
    assert [len(part) for part in parts] == [len(whole)] * world
    moved = 2 <= count < 2 * world  # the last step takes some of the one before it
    for number, (step, *shares) in enumerate(zip(whole, *parts, strict=True)):
        assert all(share.step_size == sum(map(len, shares)) for share in shares)
        assert all(len(share) >= 2 for share in shares)
        if not moved or number < len(whole) - 2:
            assert shares[0].step_rows.tolist() == step
            assert [share.rows.tolist() for share in shares] == [
                step[r::world] for r in range(world)
            ]
    assert sorted(i for part in parts for b in part for i in b.rows.tolist()) == list(range(n))
