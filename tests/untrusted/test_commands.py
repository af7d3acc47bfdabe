"""Commands as a hostile stranger would call them: one line and an exit status, never a
traceback.
"""

import pytest

from automtl.cli.main import main
from automtl.errors import ConfigError
from automtl.phases.run.device import resolve_device
from automtl.runs.manifest import again
from automtl.spaces.space import SearchSpace, rounded
from tests.cli.test_errors import run
from tests.support import small_space, write_dataset

LONG = "x" * 5000
DATA = "data/tiny.yaml"
EPOCHS = "tune.parameters={search.epochs: "
COMMANDS = {
    "a data set's name too long for the system": (["search", LONG], 3, "File name too long"),
    "a space's": (["search", DATA, "--space", LONG], 3, "File name too long"),
    "an output's": (
        ["search", DATA, "--out", "x" * 300, "--fast-dev-run"],
        3,
        "File name too long",
    ),
    "an architecture's": (["retrain", LONG, "--data", DATA], 3, "File name too long"),
    "a run's": (["report", LONG], 3, "File name too long"),
    "no space": (["search", DATA, "--space", ""], 2, ": must be a space file or a shipped name"),
    "no space to tune in": (
        ["tune", DATA, "--space", ""],
        2,
        ": must be a space file or a shipped name",
    ),
    "a base that is no name": (
        ["search", DATA, "--set", "space.base=3"],
        2,
        "space.base: must be a shipped space's name",
    ),
    "a section that is none": (
        ["search", DATA, "--set", "data=3"],
        2,
        "data: must be a mapping of settings, got int",
    ),
    "a device beyond counting": (
        ["search", DATA, "--device", "cuda:99999999999999"],
        2,
        "runtime.device",
    ),
    "a seed beyond counting": (
        ["retrain", "moe", "--data", DATA, "--seeds", "99999999999"],
        2,
        "seeds: seed should be less than",
    ),
    "seeds of many digits": (
        ["retrain", "moe", "--data", DATA, "--seeds", "9" * 5000],
        2,
        "--seeds: must be seeds such as",
    ),
    "a setting of many digits": (
        ["search", DATA, "--set", f"search.epochs={'9' * 5000}"],
        2,
        "must be YAML",
    ),
    "a delimiter that ends rows": (["data", "describe", "wide.yaml"], 2, "csv.delimiter"),
    "bytes that are no text": (
        ["search", DATA, "--out", "\udcff"],
        2,
        "command line: must be UTF-8",
    ),
    "a range without end": (
        ["tune", DATA, "--set", "tune.parameters={search.weight_lr: {low: .nan, high: .inf}}"],
        2,
        "weight_lr.low",
    ),
    "a range beyond databases": (
        ["tune", DATA, "--set", f"{EPOCHS}{{low: 2, high: 9999999999999999999}}}}"],
        2,
        "high",
    ),
    "choices without end": (
        ["tune", DATA, "--set", f"{EPOCHS}{{choices: [2, .inf]}}}}"],
        2,
        "must be finite",
    ),
    "a broken step": (
        ["tune", DATA, "--set", f"{EPOCHS}{{low: 2, high: 4, step: 0.5}}}}"],
        2,
        "must be a whole number",
    ),
    "a control character": (
        ["search", DATA, "--set", "\x1b[2J\u202e=1"],
        2,
        "\\u001b[2J\\u202e is not a known key",
    ),
}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_hostile_command_ends_in_one_line(name, tmp_path, monkeypatch, capfd):
    words, status, said = COMMANDS[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOMTL_DATA_DIR", str(tmp_path / "cache"))
    path = write_dataset(tmp_path / "data", rows=200)
    (tmp_path / "wide.yaml").write_text(
        path.read_text().replace("rows.csv", "data/rows.csv") + 'csv: {delimiter: "\\n;"}\n'
    )
    assert run(words) == status
    told = capfd.readouterr()
    lines = [line for line in told.err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1 and said in lines[0] and "Traceback" not in told.err, told.err
    assert {p.name for p in tmp_path.iterdir()} <= {"data", "cache", "wide.yaml"}


@pytest.mark.parametrize(
    "name", ["bogus", "meta", "xpu", "cuda:", "cuda:-1", "cuda:99999999999", "cpu\n", LONG]
)
def test_a_device_that_torch_would_not_parse_is_refused(name):
    with pytest.raises(ConfigError, match="must be a device of this machine") as caught:
        resolve_device(name)
    assert len(str(caught.value)) < 400


def test_help_is_no_error(monkeypatch, capfd):
    monkeypatch.setattr("sys.argv", ["automtl"])
    with pytest.raises(SystemExit):
        main()
    told = "".join(capfd.readouterr())
    assert "automtl [OPTIONS] COMMAND" in told and "error:" not in told and "\\u000a" not in told


def test_a_space_beyond_any_float_has_a_size():
    assert (
        rounded(123456) == "1.23e+05"
        and rounded(7) == "7"
        and rounded(12345678 * 10**400) == "1.23e+407"
    )
    large: SearchSpace = small_space(num_experts=256, num_blocks=64)
    assert rounded(large.size(2)).partition("e+")[2].isdigit()


def test_a_strangers_command_is_not_repeated():
    assert (
        again("rm -rf / ; automtl search x", "runs/a")
        == "automtl -rf / ';' automtl search x --out runs/a --resume"
    )
