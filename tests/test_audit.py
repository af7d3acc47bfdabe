"""The audit: what it counts as a dependency, and that each of its parts can fail."""

import importlib.util
import json
import subprocess
from email.message import EmailMessage
from types import SimpleNamespace

import pytest

from tests.house import ROOT


@pytest.fixture
def audit():
    spec = importlib.util.spec_from_file_location("audit", ROOT / "scripts/audit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_dependencies_are_those_of_the_core_with_their_own(audit):
    names = {d.name.lower() for d in audit.dependencies()}
    assert {"torch", "numpy", "markupsafe", "sympy"} <= names and not {
        "pytest",
        "bandit",
        "onnx",
    } & names


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"License-Expression": "MIT", "License": "text"}, "MIT"),
        (
            {
                "Classifier": "License :: OSI Approved :: BSD License",
                "License": "BSD\nand a page of it",
            },
            "BSD License",
        ),
        ({"License": "Own licence\nand a page of it"}, "Own licence"),
        ({}, ""),
    ],
)
def test_a_licence_is_found_where_it_is_stated(audit, fields, words, monkeypatch, capsys):
    metadata = EmailMessage()
    for name, text in fields.items():
        metadata.add_header(name, "x")
        metadata.replace_header(name, text) if "\n" not in text else metadata._headers.__setitem__(
            -1, (name, text)
        )
    monkeypatch.setattr(
        audit, "dependencies", lambda: [SimpleNamespace(name="it", version="1", metadata=metadata)]
    )
    assert audit.licences() is (words == "")
    assert (words or "NOT STATED") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "fault", "said"),
    [
        ("no network", False, "skipped, its data is out of reach"),
        ({"dependencies": [{"name": "it", "skip_reason": "not found"}]}, False, "skipped"),
        (
            {"dependencies": [{"name": "it", "version": "1", "vulns": []}]},
            False,
            "0 known vulnerabilities in 1 packages",
        ),
        (
            {
                "dependencies": [
                    {"name": "it", "version": "1", "vulns": [{"id": "X-1", "fix_versions": []}]}
                ]
            },
            True,
            "it 1: X-1",
        ),
    ],
)
def test_vulnerabilities_are_told_where_the_data_can_be_reached(
    audit, answer, fault, said, monkeypatch, capsys
):
    text = answer if isinstance(answer, str) else json.dumps(answer)
    monkeypatch.setattr(audit, "find_spec", lambda name: object())
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=text))
    assert audit.vulnerabilities() is fault
    assert said in capsys.readouterr().out


def test_bandit_finds_what_no_line_justifies_and_nothing_in_the_package(
    audit, monkeypatch, tmp_path, capsys
):
    assert audit.bandit() is False
    (tmp_path / "automtl").mkdir()
    (tmp_path / "automtl/bad.py").write_text("import pickle\nvalue = pickle.loads(b'')\n")
    monkeypatch.setattr(audit, "ROOT", tmp_path)
    assert audit.bandit() is True and "bad.py:2: B301" in capsys.readouterr().out
