"""The notebooks are read with their outputs, so these are of a run from the first cell to the last,
without an error; and they run.
"""

import ast
import json
import re
import shutil

import pytest

import automtl
from automtl import nn as mtl
from tests.house import ROOT

FOLDER = ROOT / "docs" / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
KUAIRAND = ROOT.parent / "shared" / "data" / "kuairand_pure"
FACES = {"automtl": automtl, "mtl": mtl}


def cells(name, kind):
    notebook = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def test_the_page_lists_them_all():
    listed = re.findall(r"\(notebooks/(\w+)\.ipynb\)", (ROOT / "docs/notebooks.md").read_text())
    assert sorted(listed) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_it_was_run_from_the_first_cell_to_the_last(name):
    code = cells(name, "code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    kinds = {output["output_type"] for cell in code for output in cell["outputs"]}
    assert "error" not in kinds
    assert str(ROOT) not in json.dumps(code), "no path of the machine that ran it"


@pytest.mark.parametrize("name", NAMES)
def test_it_uses_public_names_only_and_its_links_lead_somewhere(name):
    for cell in cells(name, "code"):
        for node in ast.walk(ast.parse("".join(cell["source"]))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                face = FACES.get(node.value.id)
                assert face is None or node.attr in face.__all__, ast.unparse(node)
    for cell in cells(name, "markdown"):
        for link in re.findall(r"\]\(([^)#]+)", "".join(cell["source"])):
            assert (FOLDER / link).exists(), link


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_runs(name, tmp_path, monkeypatch):
    nbformat, nbclient = (pytest.importorskip(module) for module in ("nbformat", "nbclient"))
    monkeypatch.setenv("AUTOMTL_DATA_DIR", str(tmp_path / "data"))
    if name == "kuairand":
        if not KUAIRAND.is_dir():
            pytest.skip("the files of KuaiRand-Pure are not here")
        (tmp_path / "data" / "raw").mkdir(parents=True)
        (tmp_path / "data" / "raw" / "kuairand_pure").symlink_to(KUAIRAND)
    shutil.copy(FOLDER / "serve.py", tmp_path)
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=1800, resources=where).execute()
