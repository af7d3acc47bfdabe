"""Each command ends on one screen of 80 columns and 24 lines, and breaks no word."""

import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from automtl.config import resolve
from automtl.phases.run.opening import open_session
from automtl.phases.search._opening import opening
from automtl.runs.run_dir import RunDir
from scripts.small import PAPER, flags
from tests.cli.terminal import COLUMNS, LINES, seen, words_of
from tests.cli.test_errors import run
from tests.docs.test_help import HELPS

ROOM = LINES - 1  # the prompt takes one
FAST = "--fast-dev-run --set retrain.batch_size=64 --set search.batch_size=64".split()
HAND_MADE = ("shared_bottom", "mmoe", "single_task")
RUNS = ["runs/s", *(f"runs/{name}" for name in HAND_MADE)]
COMMANDS = ["", *(name.removeprefix("automtl ") for name in HELPS), "data", "runs"]
TASKS = ("income", "never_married", "college")


def write_census(folder: Path) -> None:
    """Rows with some of Census-Income's names, and its three tasks."""
    rng, rows = np.random.default_rng(0), 1200
    names = ("class_worker", "det_ind_code", "marital_state", "major_occ_code")
    frame = pd.DataFrame({name: rng.integers(0, 9, rows) for name in names})
    frame["age"] = rng.integers(16, 90, rows)
    for name, column in zip(TASKS, names, strict=False):
        frame[name] = (rng.random(rows) < 0.1 + 0.08 * frame[column]).astype(int)
    frame.to_csv(folder / "rows.csv", index=False)
    fields = "".join(f"  - {{name: {name}, kind: categorical}}\n" for name in names)
    tasks = "".join(f"  - {{name: {name}, label: {name}}}\n" for name in TASKS)
    (folder / "census_income.yaml").write_text(
        f"name: census_income\nfiles: {{train: rows.csv}}\nfeatures:\n{fields}"
        f"  - {{name: age, kind: numeric}}\ntasks:\n{tasks}"
        "split: {kind: random, train: 0.6, validation: 0.2, test: 0.2}\n"
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with four models of two seeds each; what search and retrain end with."""
    folder = tmp_path_factory.mktemp("screens")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("AUTOMTL_DATA_DIR", str(folder / "cache"))
        write_census(folder)
        search = "search census_income.yaml --space automtl_small --out runs/s".split()
        (folder / "search.txt").write_text(ended(seen([*search, *FAST, *flags(PAPER)], folder)))
        retrain = ["retrain", "runs/s", "--seeds", "0,1", *FAST[:3]]
        (folder / "retrain.txt").write_text(ended(seen(retrain, folder)))
        for name in HAND_MADE:
            words = f"retrain {name} --data census_income.yaml --out runs/{name} --seeds 0,1"
            assert run([*words.split(), *FAST[:3]]) == 0
        yield folder


def ended(outcome):
    status, text = outcome
    assert status == 0, text
    return text


def screen(text, first):
    """The lines from the one on that begins with some words."""
    lines = text.rstrip().splitlines()
    at = max(i for i, line in enumerate(lines) if line.startswith(first))
    return [line.rstrip() for line in lines[at:]]


def one_screen(lines):
    assert len(lines) <= ROOM, "\n".join(lines)
    assert all(len(line) <= COLUMNS for line in lines)
    return "\n".join(lines)


def test_a_search_begins_with_three_lines(place):
    text = (place / "search.txt").read_text()
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("data   "))
    assert lines[at].startswith("data   census_income: 5 fields, 3 tasks; rows ")
    assert re.fullmatch(
        r"space  automtl_small: [\d.e+]+ architectures; darts, 2 epochs, read by argmax",
        lines[at + 1],
    )
    assert lines[at + 2].startswith("run    runs/s on cpu, ")
    assert "config.yaml" in text and "warmup_epochs" not in text, "settings are not printed"


ONE = ("search.sharing=mmoe", "space.interaction=[skip]", "space.num_interaction_blocks=1")


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        (("search.race_epochs=1e-300",), r"at most 1 step$"),
        (("search.race_epochs=1",), r"at most 1 pass$"),
        (("search.race_epochs=2",), r"at most 2 passes$"),
        ((*ONE, "space.expert=[gate]"), r" 1 architecture; "),
    ],
)
def test_a_search_counts_what_it_will_do(sets, words, tmp_path):
    write_census(tmp_path)
    source, home = str(tmp_path / "census_income.yaml"), {"data": {"dir": str(tmp_path)}}
    made = resolve(source=source, space="automtl_small", sets=sets, flags=home)
    session, folder = open_session(made), RunDir(tmp_path / "s").search
    strategy = SimpleNamespace(epochs=1, scoring=0)
    assert re.search(words, opening(session, made.space, strategy, folder)[1])


def test_a_search_ends_on_one_screen(place):
    told = one_screen(screen((place / "search.txt").read_text(), "nothing is decided"))
    assert "expert 3 " in told and "never_married uses experts" in told
    assert told.endswith("next: automtl retrain runs/s") and "not decided against" in told


def test_a_race_ends_on_one_screen(place):
    """The default search, with all that there is to be said: nothing decided, nobody better than
    the base rates, trainings that were too short.
    """
    race = "search census_income.yaml --space automtl_small --budget 60000rows --out runs/race"
    text = ended(seen([*race.split(), "--set", "retrain.batch_size=64"], place))
    told = one_screen(screen(text, "nothing is decided"))
    assert " (scaled): " in told and "the finals did best where they" in told
    assert told.endswith("next: automtl retrain runs/race")


def test_a_retrain_ends_on_one_screen(place):
    told = one_screen(screen((place / "retrain.txt").read_text(), "validation rows"))
    head = told.splitlines()[1].split()
    assert head == ["model", "MTL-Loss", *TASKS, "best", "size", "train"]
    assert re.search(r"^constant +0\.\d{5}", told, re.MULTILINE) and " MB " in told
    assert told.endswith("next: automtl evaluate runs/s")
    assert "training 1 of 2" in (place / "retrain.txt").read_text()


@pytest.mark.parametrize("command", ["compare", "evaluate"])
def test_a_comparison_is_one_screen_and_tells_what_would_help(command, place, capfd):
    text = ended(seen([command, *RUNS], place))
    told = one_screen([line.rstrip() for line in text.rstrip().splitlines()])
    capfd.readouterr()
    assert run([command, *RUNS]) == 0
    wide = "".join(capfd.readouterr())
    assert all(re.search(rf"^{name} +0\.\d{{5}} ±", told, re.MULTILINE) for name in HAND_MADE)
    assert re.search(r"^constant +0\.\d{5}", told, re.MULTILINE)
    assert " MB " in told and re.search(r"\d s$", told, re.MULTILINE) and "next: automtl" in told
    assert "seeds" in told
    figures = re.compile(r"\d|\\$")
    narrow = {word for word in words_of(told) if not figures.search(word)}
    assert narrow <= set(words_of(wide)), narrow - set(words_of(wide))


def test_the_next_command_of_a_comparison_runs(place):
    for name in ("s", "mmoe"):
        assert run(["evaluate", f"runs/{name}"]) == 0
    text = ended(seen(["compare", "runs/s", "runs/mmoe"], place)).replace("\\\n", " ")
    line = next((x for x in text.splitlines() if x.startswith("next: automtl retrain")), None)
    if line is None:  # no number of seeds up to 100 would show a difference
        assert "next: automtl report" in text
        return
    words = shlex.split(line)[2:]
    at = words.index("--seeds") + 1
    assert words[at].startswith("0..")
    words[at] = "0..2"
    assert run(words) == 0
    run_dir = next(w for w in words if w.startswith("runs/"))
    assert len(list((place / run_dir / "retrain").iterdir())) == 3


@pytest.mark.parametrize("name", ["s", "single_task"])
def test_a_status_is_one_screen(name, place):
    text = ended(seen(["status", f"runs/{name}"], place))
    told = one_screen([line.rstrip() for line in text.rstrip().splitlines()])
    head = next(line for line in told.splitlines() if line.startswith("phase"))
    assert head.split() == ["phase", "state", "epoch", "best", "train", "MTL-Loss", "rows"]
    assert re.search(r"-s1 +done +2/2 +[12]", told) and "next: automtl " in told


def test_a_study_ends_on_one_screen(place):
    words = "tune census_income.yaml --space automtl_small --trials 2 --out runs/t".split()
    text = ended(seen([*words, *FAST], place))
    told = one_screen(screen(text, "trials (done"))
    head = told.splitlines()[1].split()
    assert head[:5] == ["trial", "state", "MTL-Loss", "FLOPs", "role"]
    assert "best" in told and "--config runs/t/tune/best.yaml" in " ".join(told.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_breaks_no_word(command, monkeypatch, capfd):
    texts = []
    for width in (80, 300):
        monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", width)
        assert run([*command.split(), "-h"]) == 0
        texts.append(capfd.readouterr().out)
    narrow, wide = texts
    assert {w for w in words_of(narrow) if w != "\\"} <= set(words_of(wide))
    assert "╭─" in narrow and max(map(len, narrow.splitlines())) <= COLUMNS
