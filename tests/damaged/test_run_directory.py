"""Every file of a run directory, damaged in every way, met by every command: what must come of it.

One small run is made and copied for each case. The normal run takes a sample; `-m slow` takes them
all.

    refused   one line that names the file (or the folder, where the file was the phase's mark), exit 2 or 3
    told      exit 0, and the output names the file
    unread    exit 0, and the same output as without the damage
    same      exit 0, and the same result as an undisturbed run: the damaged file was passed over, or made anew
"""

import contextlib
import os
import shutil
import signal
import zlib
from pathlib import Path

import pytest

from automtl.cli.progress import ConsoleReporter
from tests.cli.test_errors import run
from tests.support import write_dataset

SMALL = [
    "--set",
    "space.expert=[gate, skip]",
    "--set",
    "space.interaction=[skip]",
    "--set",
    "space.num_experts=2",
]
SMALL += [
    "--set",
    "search.strategy=darts",
    "--set",
    "search.selection=argmax",
    "--set",
    "search.batch_size=32",
    "--set",
    "runtime.checkpoint_every_steps=1",
    "--set",
    "search.epochs=2",
]
SMALL += ["--set", "search.warmup_epochs=1"]
TRAIN = [
    "--set",
    "retrain.batch_size=64",
    "--set",
    "retrain.epochs=2",
    "--set",
    "runtime.checkpoint_every_steps=1",
]
SEARCH = ["search", "data/tiny.yaml", "--space", "automtl_small", *SMALL]

IN_SEARCH = [
    "config.yaml",
    "manifest.json",
    "metrics.jsonl",
    "architecture.json",
    "cost.json",
    "alphas.parquet",
    "betas.parquet",
]
IN_RETRAIN = [
    "config.yaml",
    "manifest.json",
    "metrics.jsonl",
    "architecture.json",
    "cost.json",
    "results.json",
]
LAST, PREVIOUS, BEST = (f"checkpoint/{name}.safetensors" for name in ("last", "previous", "best"))
IN_DATA = [
    f"data/*/{name}"
    for name in (
        "manifest.json",
        "dataset.json",
        "schema.json",
        "vocabularies/0.arrow",
        "vocabularies/1.arrow",
    )
]
ENDED = (
    [f"search/{name}" for name in (*IN_SEARCH, LAST)]
    + [f"retrain/mmoe-s0/{name}" for name in (*IN_RETRAIN, BEST)]
    + IN_DATA
)
CUT = [
    f"search/{name}"
    for name in (*IN_SEARCH, LAST, PREVIOUS)
    if name not in ("architecture.json", "cost.json")
] + IN_DATA
CUT_RETRAIN = [
    f"retrain/mmoe-s0/{name}"
    for name in (*IN_RETRAIN, LAST, PREVIOUS)
    if name not in ("results.json", "cost.json")
] + IN_DATA
DAMAGES = ["halved", "flipped", "emptied", "deleted", "a folder"]
COMMANDS = {
    "status": ["status", "case"],
    "show": ["show", "case", "-o", "out/it.svg"],
    "report": ["report", "case", "-o", "out/it.html"],
    "evaluate": ["evaluate", "case", "--json"],
    "predict": ["predict", "case", "data/rows.csv", "-o", "out/it.parquet"],
    "retrain": ["retrain", "case", "--sharing", "mmoe", "--seeds", "1", *TRAIN],
    "export": ["export", "case", "--format", "python", "-o", "out/served"],
    "search --resume": [*SEARCH, "--out", "case", "--resume"],
    "retrain --resume": ["retrain", "case", "--sharing", "mmoe", "--resume", *TRAIN],
}
# the folders of a run whose files a command reads
READS = {
    "status": ("search", "retrain"),
    "show": ("search",),
    "report": ("search", "retrain"),
    "evaluate": ("retrain", "data"),
    "predict": ("retrain", "data"),
    "export": ("retrain", "data"),
    "retrain": ("search", "data"),
    "search --resume": ("search", "data"),
    "retrain --resume": ("search", "retrain", "data"),
}


def expected(command: str, file: str, damage: str) -> str:
    """What must come of an ended run with one damaged file."""
    if file.partition("/")[0] not in READS[command]:
        return "unread"
    if file.endswith(".safetensors"):  # an ended search's are for pareto alone
        return (
            "refused"
            if file.endswith(BEST) and command in ("evaluate", "predict", "export")
            else "unread"
        )
    if file == "retrain/mmoe-s0/manifest.json" and damage == "deleted" and command == "status":
        return "unread"  # no longer a phase
    if command == "status" and file == "search/manifest.json" and damage == "deleted":
        return "unread"
    if command == "report":
        return "unread" if file.endswith("manifest.json") and damage == "deleted" else "told"
    if file == "search/manifest.json" and damage == "deleted" and command == "show":
        return "unread"  # then the trained model's architecture is shown
    return "refused"


def expected_cut(file: str, damage: str) -> str:
    """What must come of an interrupted phase with one damaged file that is resumed."""
    name = file.rpartition("/")[2]
    if file in IN_DATA or name in (
        "config.yaml",
        "architecture.json",
        "manifest.json",
        "metrics.jsonl",
    ):
        return "refused"
    # alphas, betas: made anew; a checkpoint: passed over
    return "refused" if damage == "a folder" else "same"


def sampled(*case: str) -> bool:
    return zlib.crc32("|".join(case).encode()) % 30 == 0


def cases(files, commands):
    found = [
        (command, file, damage) for command in commands for file in files for damage in DAMAGES
    ]
    return [
        pytest.param(*case, id="-".join(case), marks=[] if sampled(*case) else [pytest.mark.slow])
        for case in found
    ]


@contextlib.contextmanager
def stopped_after(steps):
    left = [steps]

    def step(self, event, epochs):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    honest, ConsoleReporter.step = ConsoleReporter.step, step
    try:
        yield
    finally:
        ConsoleReporter.step = honest


@contextlib.contextmanager
def at_work(folder):
    """Be in a folder that has a data set and its own folder of prepared data, and then back."""
    before = Path.cwd()
    os.environ["AUTOMTL_DATA_DIR"] = str(folder / "cache")
    os.chdir(folder)
    try:
        write_dataset(folder / "data", rows=200)
        yield folder
    finally:
        os.chdir(before)
        del os.environ["AUTOMTL_DATA_DIR"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with an ended run, two interrupted ones, and what each command says of the ended
    one.
    """
    with at_work(tmp_path_factory.mktemp("damaged")) as folder:
        (folder / "out").mkdir()
        assert run([*SEARCH, "--out", "whole"]) == 0
        shutil.copytree("whole", "cut retrain")
        assert run(["retrain", "whole", "--sharing", "mmoe", *TRAIN]) == 0
        with stopped_after(6):  # in the second epoch
            assert run([*SEARCH, "--out", "cut search"]) == 143
        with stopped_after(4):
            assert run(["retrain", "cut retrain", "--sharing", "mmoe", *TRAIN]) == 143
        yield folder


@pytest.fixture
def case(place):
    for name in ("case", "out"):
        shutil.rmtree(place / name, ignore_errors=True)
    (place / "out").mkdir()
    return place / "case"


def one(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


def damaged(path: Path, damage: str) -> None:
    data = path.read_bytes()
    assert data, path
    if damage == "halved":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        middle = len(data) // 2
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    elif damage == "emptied":
        path.write_bytes(b"")
    else:
        path.unlink()
        if damage == "a folder":
            path.mkdir()


def check(outcome: str, file: str, status: int, told: str) -> None:
    assert "Traceback" not in told, told
    errors = [line for line in told.splitlines() if line.startswith("error:")]
    if outcome == "refused":
        assert status in (2, 3) and len(errors) == 1, told
        assert Path(file).name in errors[0] or (
            file.endswith("manifest.json") and "case" in errors[0]
        ), told
    else:
        assert status == 0 and not errors, told


@pytest.mark.parametrize(("command", "file", "damage"), cases(ENDED, COMMANDS))
def test_an_ended_run(command, file, damage, place, case, capfd):
    shutil.copytree(place / "whole", case)
    capfd.readouterr()
    damaged(one(case, file), damage)
    outcome, status, told = (
        expected(command, file, damage),
        run(COMMANDS[command]),
        capfd.readouterr(),
    )
    page = Path("out/it.html").read_text() if Path("out/it.html").exists() else ""
    check(outcome, file, status, told.out + told.err)
    if outcome == "told":
        assert Path(file).name in page and (
            "as it was written" in page or "cannot be read" in page or "must" in page
        ), "the page says so"
    if outcome == "refused":
        assert not list(Path("out").iterdir()), "nothing is made of it"
    if outcome == "unread" and command == "evaluate":
        shutil.rmtree(case)
        shutil.copytree(place / "whole", case)
        assert run(COMMANDS[command]) == 0 and capfd.readouterr().out == told.out


@pytest.mark.parametrize(
    ("command", "file", "damage"),
    [*cases(CUT, ["search --resume"]), *cases(CUT_RETRAIN, ["retrain --resume"])],
)
def test_an_interrupted_run(command, file, damage, place, case, capfd):
    phase = file.rpartition("/checkpoint")[0] or file.rpartition("/")[0]
    shutil.copytree(place / ("cut search" if command.startswith("search") else "cut retrain"), case)
    capfd.readouterr()
    damaged(one(case, file), damage)
    outcome, status, told = expected_cut(file, damage), run(COMMANDS[command]), capfd.readouterr()
    check(outcome, file, status, told.out + told.err)
    if outcome == "same":
        for name in ("architecture.json", "metrics.jsonl", "results.json"):
            whole = place / "whole" / phase / name
            assert not whole.exists() or (case / phase / name).read_bytes() == whole.read_bytes(), (
                name
            )
        if file.endswith(LAST) and damage != "deleted":
            assert "last.safetensors" in told.err and "going on from previous" in told.err, (
                "the fall-back is said"
            )
