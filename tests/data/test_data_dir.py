"""Where data is kept on machines without a home, or with one that cannot be written."""

import pwd
from pathlib import Path

import pytest

from automtl.data.spec.dataset import default_data_dir
from tests.cli.test_errors import run
from tests.support import write_dataset

ELSEWHERE = "set AUTOMTL_DATA_DIR, or --data-dir, to a folder that can be written"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_dataset(tmp_path / "data")
    for name in ("AUTOMTL_DATA_DIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)


def test_the_variables_and_then_the_home_say_where(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert default_data_dir() == Path("/home/me/.cache/automtl")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert default_data_dir() == Path("/cache/automtl")
    monkeypatch.setenv("AUTOMTL_DATA_DIR", "/data")
    assert default_data_dir() == Path("/data")


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch, capfd):
    def nobody(number):
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for command in (["data", "list"], ["data", "prepare", "data/tiny.yaml"]):
        assert run(command) == 3
        said = capfd.readouterr().err
        assert (
            said == "error: the user's home: must be known, to keep data there, got no HOME, and "
            f"no such user; {ELSEWHERE}\n"
        )
    assert run(["data", "prepare", "data/tiny.yaml", "--data-dir", "mine"]) == 0


@pytest.mark.parametrize(
    "command", [["data", "prepare", "data/tiny.yaml"], ["data", "get", "census_income"]]
)
def test_a_home_that_cannot_be_written_is_told_with_what_to_set(
    command, tmp_path, monkeypatch, capfd
):
    (tmp_path / "file").touch()  # no right of root's makes a folder below it
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    assert run(command) == 3
    (said,) = (line for line in capfd.readouterr().err.splitlines() if line.startswith("error"))
    assert str(tmp_path / "file/.cache/automtl") in said and said.endswith(ELSEWHERE)


def test_a_file_of_the_users_own_is_not_taken_for_the_data_folder(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("AUTOMTL_DATA_DIR", str(tmp_path / "cache"))
    (tmp_path / "data/rows.csv").unlink()
    assert run(["data", "prepare", "data/tiny.yaml"]) == 2
    assert "AUTOMTL_DATA_DIR" not in capfd.readouterr().err
