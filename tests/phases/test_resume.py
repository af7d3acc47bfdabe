"""Exact resume: a phase that was stopped at any step ends in the same bits as one that was not."""

import os
import signal

import pytest
import torch

from automtl import files
from automtl.config import resolve
from automtl.errors import ArtifactError, ConfigError, EnvironmentFault, Interrupted
from automtl.phases.retrain import retrain
from automtl.phases.retrain_plan import plan_retrain
from automtl.phases.search import resumed, search
from automtl.runs import checkpoint
from automtl.runs.run_dir import PhaseDir
from automtl.runs.slots import Slots
from automtl.strategies.table import STRATEGIES
from tests.support import Stop, write_dataset

SMALL = [
    "space.expert=[mlp(4), conv1d(3), skip]",
    "space.interaction=[cross(1), skip]",
    "space.num_experts=3",
    "space.expert_dim=8",
    "space.embedding_dim=4",
    "space.towers=[8]",
    "space.dropout=0.1",
    "search.batch_size=64",
    "search.epochs=2",
    "search.warmup_epochs=1",
    "search.draws=2",
    "search.population=3",
    "search.generations=1",
    "search.score_rows=64",
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), rows=300)


def config(dataset, *sets, every=1):
    flags = {"data": {"dir": str(dataset.parent / "prepared")}, "runtime": {"checkpoint_every_steps": every}}
    return resolve(source=str(dataset), space="automtl_small", sets=[*SMALL, *sets], flags=flags)


def plan(dataset, kind, out, *sets, resume=False, every=1):
    given = ["retrain.batch_size=64", "retrain.epochs=3", *sets]
    flags = {"data": {"dir": str(dataset.parent / "prepared")}, "runtime": {"checkpoint_every_steps": every}}
    return plan_retrain(kind, data=str(dataset), sharing=None, config_file=None, sets=given, flags=flags, out=out, resume=resume)


def train(made, resume=False, reporter=None):
    return retrain(made.architecture, made.config, run=made.run, label=made.label, reporter=reporter, resume=resume)


class After:
    """A reporter that does something once after so many steps of this process."""

    def __init__(self, steps, act):
        self.left, self.act, self.said = steps, act, []

    def say(self, text):
        self.said.append(text)

    def step(self, event, epochs):
        self.left -= 1
        if self.left == 0:
            self.act()


def stop():
    raise Stop


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def plain(value, path=""):
    """A state as a flat mapping, without seconds."""
    if isinstance(value, dict):
        return {k: v for key, item in value.items() if key != "seconds" for k, v in plain(item, f"{path}.{key}").items()}
    if isinstance(value, list):
        return {k: v for i, item in enumerate(value) for k, v in plain(item, f"{path}.{i}").items()}
    return {path: value}


def same(one, two):
    one, two = plain(one), plain(two)
    assert one.keys() == two.keys()
    for key, value in one.items():
        equal = torch.equal(value, two[key]) if isinstance(value, torch.Tensor) else value == two[key]
        assert equal, key


def same_phase(one, two, ended=()):
    """All that two phase folders hold is equal, seconds and dates apart."""
    one, two = PhaseDir(one), PhaseDir(two)
    for file in ("metrics.jsonl", "architecture.json", "results.json"):
        assert (one.path / file).exists() == (two.path / file).exists()
        if (one.path / file).exists():
            assert (one.path / file).read_bytes() == (two.path / file).read_bytes(), file
    same(files.read_json(one.cost), files.read_json(two.cost))
    for name in ended:
        same(checkpoint.load(one.checkpoint(name)), checkpoint.load(two.checkpoint(name)))
    assert not [path for folder in (one, two) for path in folder.path.rglob(".*.tmp")]


SEARCHES = [*(name for name in STRATEGIES if name != "random_sampling"), "second_order", "lazy_adam", "dselect_k", "balanced"]
CUTS = {"darts": (1, 3, 4), "evolution": (2, 4), "random_search": (1, 5)}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_stopped_inside_an_epoch_goes_on_to_the_same_bits(name, dataset, tmp_path):
    extra = {
        "second_order": ["search.second_order=true"],
        "lazy_adam": ["search.embedding_optimizer=lazy_adam"],
        "dselect_k": ["search.sharing=dselect_k"],
        "balanced": ["search.balancing.method=gradnorm"],
    }.get(name, [f"search.strategy={name}"])
    made = config(dataset, *extra)
    search(made, out=tmp_path / "whole")
    for number, steps in enumerate(CUTS.get(name, (3,))):
        out = tmp_path / f"cut{number}"
        with pytest.raises(Stop):
            search(made, out=out, reporter=After(steps, stop))
        search(made, out=out, resume=True)
        same_phase(tmp_path / "whole/search", out / "search", ["last"])


@pytest.mark.parametrize("kind", ["mmoe", "single_task", "gumbel", "snr_trans", "balanced"])
def test_a_retrain_stopped_at_any_step_goes_on_to_the_same_bits(kind, dataset, tmp_path):
    sets = ["retrain.balancing.method=uncertainty"] if kind == "balanced" else []
    kind = "mmoe" if kind == "balanced" else kind
    train(plan(dataset, kind, tmp_path / "whole", *sets))
    steps = 3 * 4 * (2 if kind == "single_task" else 1)
    for cut in (2, steps // 2 + 1, steps):
        out = tmp_path / f"cut{cut}"
        with pytest.raises(Stop):
            train(plan(dataset, kind, out, *sets), reporter=After(cut, stop))
        result = train(plan(dataset, kind, out, *sets, resume=True), resume=True)
        same_phase(tmp_path / "whole/retrain" / result.folder.path.name, result.folder.path, ["best"])
        assert not result.folder.checkpoint("last").exists(), "nothing goes on from an ended retrain"


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_step_end_and_keeps_it(asked, dataset, tmp_path):
    before = signal.getsignal(asked)
    seldom = config(dataset, every=None)
    search(seldom, out=tmp_path / "whole")
    with pytest.raises(Interrupted) as caught:
        search(seldom, out=tmp_path / "cut", reporter=After(3, lambda: os.kill(os.getpid(), asked)))
    assert caught.value.signal == asked and caught.value.folder == str(tmp_path / "cut")
    assert signal.getsignal(asked) is before, "whoever had the signal has it again"
    folder = PhaseDir(tmp_path / "cut/search")
    assert folder.state() == "interrupted"
    held = checkpoint.load(folder.checkpoint("last"))
    assert held["epoch"] * len_of(dataset) + held["step"] == 3
    search(seldom, out=tmp_path / "cut", resume=True)
    same_phase(tmp_path / "whole/search", folder.path, ["last"])


def len_of(dataset):
    """Steps of a search's epoch."""
    from automtl.phases.session import open_session

    return len(open_session(config(dataset)).batches("fit", batch_size=64, seed=0))


def test_a_second_signal_stops_at_once(dataset, tmp_path):
    def twice():
        terminate()
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="what the last checkpoint holds is kept") as caught:
        search(config(dataset, every=2), out=tmp_path / "cut", reporter=After(2, twice))
    assert caught.value.signal == signal.SIGINT
    assert not (tmp_path / "cut/search/checkpoint/last.safetensors").exists()


def test_a_retrain_that_is_told_to_stop_goes_on_and_ended_seeds_are_not_run_again(dataset, tmp_path):
    train(plan(dataset, "mmoe", tmp_path / "whole", every=None))
    made = plan(dataset, "mmoe", tmp_path / "cut", every=None)
    with pytest.raises(Interrupted):
        train(made, reporter=After(5, terminate))
    again = plan(dataset, "mmoe", tmp_path / "cut", resume=True, every=None)
    ended = train(again, resume=True)
    same_phase(tmp_path / "whole/retrain/mmoe-s0", tmp_path / "cut/retrain/mmoe-s0", ["best"])
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "cut").rglob("*") if p.name != ".lock"}
    steps = After(1, stop)
    result = train(again, resume=True, reporter=steps)
    assert steps.left == 1 and before == {p: p.stat().st_mtime_ns for p in (tmp_path / "cut").rglob("*") if p.name != ".lock"}
    assert (result.validation, result.best_epochs) == (ended.validation, ended.best_epochs)


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
    assert any("last.safetensors: must match its own checksum" in line and "going on from previous" in line for line in teller.said)
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
    slots, folder = Slots(PhaseDir(tmp_path)), PhaseDir(tmp_path)
    for step in (1, 2):
        slots.save({"step": step})
    checkpoint.save(folder.checkpoint("next"), {"step": 3})
    if killed == "between the renamings":
        folder.checkpoint("last").rename(folder.checkpoint("previous"))
    assert slots.load(pytest.fail) == {"step": 3}
    slots.save({"step": 4})
    assert slots.load(pytest.fail) == {"step": 4}
    folder.checkpoint("last").write_bytes(b"torn")
    assert slots.load(lambda _: None)["step"] in (2, 3)
    slots.clear()
    assert slots.load(pytest.fail) is None


def test_a_torn_line_and_lines_after_the_checkpoint_are_cut_and_missing_ones_noticed(dataset, tmp_path):
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
    with pytest.raises(ArtifactError, match="must have the 1 lines that the checkpoint knows of, got 0"):
        search(made, out=tmp_path / "other", resume=True)


def test_a_run_killed_before_its_manifest_is_begun_by_resume(dataset, tmp_path):
    made = config(dataset)
    search(made, out=tmp_path / "whole")
    (tmp_path / "cut/search").mkdir(parents=True)
    assert resumed(tmp_path / "cut", made, given=True) == made
    search(made, out=tmp_path / "cut", resume=True)
    same_phase(tmp_path / "whole/search", tmp_path / "cut/search", ["last"])
    (tmp_path / "models/retrain/mmoe-s0").mkdir(parents=True)
    train(plan(dataset, "mmoe", tmp_path / "models", resume=True), resume=True)


def test_what_may_change_at_a_resume_and_what_not(dataset, tmp_path):
    made = config(dataset, every=1)
    with pytest.raises(Stop):
        search(made, out=tmp_path / "cut", reporter=After(2, stop))
    other = config(dataset, "runtime.threads=1", "runtime.time_limit_s=1000", every=7)
    kept = resumed(tmp_path / "cut", other, given=True)
    assert (kept.runtime.threads, kept.runtime.time_limit_s, kept.runtime.checkpoint_every_steps) == (1, 1000, 7)
    for change in ("runtime.precision=bfloat16", "runtime.eval_batch_size=16", "search.epochs=3"):
        with pytest.raises(ConfigError, match="must be as in"):
            resumed(tmp_path / "cut", config(dataset, change), given=True)
    with pytest.raises(Stop):
        train(plan(dataset, "mmoe", tmp_path / "r"), reporter=After(2, stop))
    with pytest.raises(ConfigError, match="retrain: must be as in"):
        train(plan(dataset, "mmoe", tmp_path / "r", "retrain.lr=0.5", resume=True), resume=True)


def test_a_search_at_its_time_limit_goes_on_to_the_same_bits_when_given_more_time(dataset, tmp_path):
    search(config(dataset), out=tmp_path / "whole")
    cut = search(config(dataset, "runtime.time_limit_s=1e-9"), out=tmp_path / "cut")
    assert (cut.state, cut.epochs) == ("time_limited", 0)
    assert search(config(dataset), out=tmp_path / "cut", resume=True).state == "done"
    assert search(config(dataset), out=tmp_path / "cut", resume=True).state == "done", "an ended one is left as it is"
    same_phase(tmp_path / "whole/search", tmp_path / "cut/search", ["last"])


def test_a_second_process_is_refused_and_told_who_holds_the_folder(dataset, tmp_path):
    def second():
        with pytest.raises(EnvironmentFault, match=rf"another process \({os.getpid()} on .+ at work in it"):
            search(config(dataset), out=tmp_path / "run", resume=True)
        raise Stop

    with pytest.raises(Stop):
        search(config(dataset), out=tmp_path / "run", reporter=After(2, second))
    assert search(config(dataset), out=tmp_path / "run", resume=True).state == "done", "the lock went with the process's hold"
