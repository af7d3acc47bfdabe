"""`~` in arguments, which a shell leaves as it is behind `--out=`."""

import sys
from pathlib import Path

import pytest

from automtl.cli._options import at_home
from automtl.cli.main import main
from tests.support import write_dataset


def test_arguments_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/h")
    given = [
        "search",
        "~/a.yaml",
        "--out=~/x",
        "--set",
        "data.dir=~/d",
        "--data-dir",
        "~/c d",
        "a~b",
        "--name=~",
        "~",
        "--q=a/~/b",
    ]
    expected = [
        "search",
        "/h/a.yaml",
        "--out=/h/x",
        "--set",
        "data.dir=/h/d",
        "--data-dir",
        "/h/c d",
        "a~b",
        "--name=~",
        "~",
        "--q=a/~/b",
    ]
    assert at_home(given) == expected


def test_a_command_writes_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case B4: `--out=~/x` made a folder named `~`."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    write_dataset(tmp_path / "home" / "data")
    monkeypatch.setattr(
        sys, "argv", ["automtl", "data", "prepare", "~/data/tiny.yaml", "--data-dir=~/cache"]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert any((tmp_path / "home/cache/prepared").iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
