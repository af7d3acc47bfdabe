"""Resuming from damaged or half-written runs, with other settings, and beside another process."""

import os
import shutil

import pytest

from automtl.config import resolve
from automtl.errors import ArtifactError, ConfigError, EnvironmentFault, NoResult
from automtl.phases.run.opening import open_session
from automtl.phases.search import resumed, search
from automtl.phases.search.resume import own_base
from automtl.runs import checkpoint
from automtl.runs.checkpoints import Checkpoints
from automtl.runs.run_dir import PhaseDir
from scripts.small import SPACE
from tests.phases.stopping import After, config, len_of, plan, same_phase, stop, train
from tests.support import Stop, write_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), rows=300)


@pytest.fixture(scope="module")
def begun(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("begun") / "cut"
    with pytest.raises(Stop):
        search(config(dataset), out=out, reporter=After(2, stop))
    return out


@pytest.fixture(scope="module")
def raced(dataset, tmp_path_factory):
    """A race that was stopped in its second training, with one line."""
    sets = [*SPACE, "retrain.batch_size=64", "search.race_epochs=1", "search.rivals=[]"]
    flags = {
        "data": {"dir": str(dataset.parent / "prepared")},
        "runtime": {"checkpoint_every_steps": 1},
    }
    made = resolve(source=str(dataset), space="automtl_small", sets=sets, flags=flags)
    out = tmp_path_factory.mktemp("raced") / "cut"
    steps = -(-len(open_session(made).index("fit")) // 64)
    with pytest.raises(Stop):
        search(made, out=out, reporter=After(steps + 1, stop))
    assert len(PhaseDir(out / "search").race.read_bytes().splitlines()) == 1
    return made, out


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(dataset, tmp_path):
    search(config(dataset), out=tmp_path / "whole")
    with pytest.raises(Stop):
        search(config(dataset), out=tmp_path / "cut", reporter=After(4, stop))
    folder = PhaseDir(tmp_path / "cut/search")
    damaged = bytearray(folder.checkpoint("last").read_bytes())
    damaged[-5] ^= 1
    folder.checkpoint("last").write_bytes(damaged)
    teller = After(0, stop)
    search(config(dataset), out=tmp_path / "cut", resume=True, reporter=teller)
    assert any(
        "last.safetensors: must match its own checksum" in line and "going on from previous" in line
        for line in teller.said
    )
    same_phase(tmp_path / "whole/search", folder.path, ["last"])


def test_only_damaged_checkpoints_are_refused(dataset, tmp_path):
    with pytest.raises(Stop):
        search(config(dataset), out=tmp_path / "cut", reporter=After(4, stop))
    folder = PhaseDir(tmp_path / "cut/search")
    for name in ("last", "previous"):
        folder.checkpoint(name).write_bytes(folder.checkpoint(name).read_bytes()[:100])
    with pytest.raises(ArtifactError, match=r"last\.safetensors: must be a whole checkpoint"):
        search(config(dataset), out=tmp_path / "cut", resume=True)


@pytest.mark.parametrize("killed", ["before renaming", "between the renamings"])
def test_a_kill_while_checkpoints_change_names_loses_nothing(killed, tmp_path):
    checkpoints, folder = Checkpoints(PhaseDir(tmp_path)), PhaseDir(tmp_path)
    for step in (1, 2):
        checkpoints.save({"step": step})
    checkpoint.save(folder.checkpoint("next"), {"step": 3})
    if killed == "between the renamings":
        folder.checkpoint("last").rename(folder.checkpoint("previous"))
    assert checkpoints.load(pytest.fail) == (folder.checkpoint("last"), {"step": 3})
    checkpoints.save({"step": 4})
    assert checkpoints.load(pytest.fail) == (folder.checkpoint("last"), {"step": 4})
    folder.checkpoint("last").write_bytes(b"torn")
    path, state = checkpoints.load(lambda _: None)
    assert path == folder.checkpoint("previous") and state["step"] in (2, 3)
    checkpoints.save({"step": 5})
    checkpoints.clear(but_last=True)
    assert [path.name for path in folder.checkpoint("last").parent.iterdir()] == [
        "last.safetensors"
    ]
    checkpoints.clear()
    assert checkpoints.load(pytest.fail) is None


def test_a_torn_line_and_lines_after_the_checkpoint_are_cut_and_missing_ones_noticed(
    dataset, tmp_path
):
    made = config(dataset, every=1000)
    search(made, out=tmp_path / "whole")
    with pytest.raises(Stop):
        search(made, out=tmp_path / "cut", reporter=After(len_of(dataset) + 1, stop))
    folder = PhaseDir(tmp_path / "cut/search")
    with folder.metrics.open("ab") as stream:
        stream.write(folder.metrics.read_bytes() + b'{"epoch": 1, "los')
    search(made, out=tmp_path / "cut", resume=True)
    same_phase(tmp_path / "whole/search", folder.path, ["last"])
    with pytest.raises(Stop):
        search(made, out=tmp_path / "other", reporter=After(len_of(dataset) + 1, stop))
    PhaseDir(tmp_path / "other/search").metrics.write_bytes(b'{"epoch": 0')
    with pytest.raises(
        ArtifactError, match="must have the 1 line that the checkpoint knows of, got 0"
    ):
        search(made, out=tmp_path / "other", resume=True)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:90]), "must have the 1 line .*, got 0"),
        (lambda path: path.write_bytes(path.read_bytes()[2:]), "must hold the lines .*, as they"),
        (lambda path: path.unlink(), "must have the 1 line .*, got 0"),
        (lambda path: (path.unlink(), path.mkdir()), "must be a readable file"),
    ],
)
def test_a_damaged_race_is_told_by_its_own_file(raced, tmp_path, damage, said):
    """The checkpoint was blamed, which was whole."""
    made, begun = raced
    shutil.copytree(begun, tmp_path / "cut")
    damage(PhaseDir(tmp_path / "cut/search").race)
    with pytest.raises(ArtifactError, match=rf"race\.jsonl: {said}") as caught:
        search(made, out=tmp_path / "cut", resume=True)
    assert "safetensors" not in str(caught.value) and str(caught.value).count("restore it") == 1


def test_a_run_killed_before_its_manifest_is_begun_by_resume(dataset, tmp_path):
    made = config(dataset)
    search(made, out=tmp_path / "whole")
    (tmp_path / "cut/search").mkdir(parents=True)
    assert resumed(tmp_path / "cut", made) == made
    search(made, out=tmp_path / "cut", resume=True)
    same_phase(tmp_path / "whole/search", tmp_path / "cut/search", ["last"])
    (tmp_path / "models/retrain/mmoe-s0").mkdir(parents=True)
    train(plan(dataset, "mmoe", tmp_path / "models", resume=True), resume=True)


def test_what_may_change_at_a_resume_and_what_not(dataset, tmp_path):
    made = config(dataset, every=1)
    with pytest.raises(Stop):
        search(made, out=tmp_path / "cut", reporter=After(2, stop))
    other = config(dataset, "runtime.threads=1", "runtime.time_limit_s=1000", every=7)
    kept = resumed(tmp_path / "cut", other)
    assert (
        kept.runtime.threads,
        kept.runtime.time_limit_s,
        kept.runtime.checkpoint_every_steps,
    ) == (1, 1000, 7)
    for change in ("runtime.precision=bfloat16", "runtime.eval_batch_size=16", "search.epochs=3"):
        with pytest.raises(ConfigError, match="must be as in"):
            resumed(tmp_path / "cut", config(dataset, change))
    with pytest.raises(Stop):
        train(plan(dataset, "mmoe", tmp_path / "r"), reporter=After(2, stop))
    with pytest.raises(ConfigError, match="retrain: must be as in"):
        train(plan(dataset, "mmoe", tmp_path / "r", "retrain.lr=0.5", resume=True), resume=True)


@pytest.mark.parametrize(
    ("sets", "refused"),
    [
        ((), None),
        (("runtime.threads=1",), None),
        (("search.epochs=3",), r"search: must be as in .*, got epochs 3 \(was 2\); leave"),
        (("retrain.lr=0.5",), r"retrain: must be as in .*, got lr 0.5 \(was 0.001\); leave"),
        (
            ("space.base=automtl",),
            r"space: must be as in .*, got name automtl \(was automtl_small\)",
        ),
        (
            ("data=other",),
            r"data.source: must be as in .*, got \S*other \(was \S*\.yaml\); name that",
        ),
    ],
)
def test_a_resume_compares_what_is_said_alone(begun, dataset, sets, refused):
    """No space was given, and the default one was blamed."""
    other = sets == ("data=other",)
    source, said = ("other", ()) if other else (str(dataset), sets)
    config = resolve(source=source, sets=said, flags={}, base=own_base(begun), recommended=())
    if refused is None:
        assert resumed(begun, config).space.name == "automtl_small"
        return
    with pytest.raises(ConfigError, match=refused):
        resumed(begun, config)


def test_a_search_at_its_time_limit_goes_on_to_the_same_bits_when_given_more_time(
    dataset, tmp_path
):
    search(config(dataset), out=tmp_path / "whole")
    for resume in (False, True):
        with pytest.raises(NoResult):
            search(
                config(dataset, "runtime.time_limit_s=1e-9"), out=tmp_path / "cut", resume=resume
            )
    assert search(config(dataset), out=tmp_path / "cut", resume=True).state == "done"
    assert search(config(dataset), out=tmp_path / "cut", resume=True).state == "done", (
        "an ended one is left as it is"
    )
    same_phase(tmp_path / "whole/search", tmp_path / "cut/search", ["last"])


def test_a_second_process_is_refused_and_told_who_holds_the_folder(dataset, tmp_path):
    def second():
        with pytest.raises(
            EnvironmentFault, match=rf"another process \({os.getpid()} on .+ at work in it"
        ):
            search(config(dataset), out=tmp_path / "run", resume=True)
        raise Stop

    with pytest.raises(Stop):
        search(config(dataset), out=tmp_path / "run", reporter=After(2, second))
    assert search(config(dataset), out=tmp_path / "run", resume=True).state == "done", (
        "the lock went with the process's hold"
    )
