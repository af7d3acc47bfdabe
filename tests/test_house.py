"""The house rules that a machine can hold: import order, map, package list, one writer, nothing
that runs data, sizes.

A rule is tried on lines that must fail before it is tried on the package.
"""

import configparser
import graphlib
import re
import sys
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house import ROOT, Source, external, imported, package_folders, package_sources
from tests.house_rules import (
    BELOW,
    TORCH_FREE,
    USES_TORCH,
    dangling,
    many_imports,
    private_imports,
    sizes,
    unsafe_code,
    upward_imports,
    writing,
)


def faults(rule: Callable[[Source], list[str]], sources: tuple[Source, ...]) -> list[str]:
    return [f"{s.path.relative_to(ROOT)}: {fault}" for s in sources for fault in rule(s)]


def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


def test_imports_go_down() -> None:
    assert set(BELOW) >= {s.layer for s in package_sources()} - {""}, (
        "a new layer needs its place in BELOW"
    )
    assert faults(upward_imports, package_sources()) == []


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("automtl.layers.choice_block", "from automtl.models import supernet"),
        ("automtl.data.store._store", "import automtl.spaces.space as space"),
        ("automtl.training.loop", "if TYPE_CHECKING:\n    from automtl.config import RunConfig"),
        ("automtl.runs.run_dir", "def late():\n    from automtl import report"),
        ("automtl.errors", "import automtl"),
        ("automtl.strict", "from automtl.files import write_text"),
    ],
)
def test_an_upward_import_is_seen(name: str, line: str) -> None:
    assert upward_imports(Source.parse(line, name))


def test_what_is_private_is_imported_in_its_own_folder_only() -> None:
    assert faults(private_imports, package_sources()) == []


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("automtl.layers.choice_block", "from automtl.data._columns import Columns"),
        ("automtl.phases.search._start", "from automtl.data import _columns"),
        ("automtl.cli.main", "def late():\n    import automtl.data.raw._columns as columns"),
    ],
)
def test_a_private_import_from_outside_is_seen(name: str, line: str) -> None:
    assert private_imports(Source.parse(line, name))
    assert private_imports(Source.parse(line, "automtl.data.raw.sources")) == []


def rooms() -> dict[str, set[str]]:
    """Every folder and every module at the top of automtl/, with those that it imports from."""
    known = {source.name for source in package_sources()}
    folders = set(package_folders())

    def room(module: str) -> str:
        home = module.rpartition(".")[0]
        return module if module in folders or home == "automtl" else home

    graph: dict[str, set[str]] = {}
    for source in package_sources():
        here = room(source.name)
        graph.setdefault(here, set()).update({room(t) for t in imported(source, known)} - {here})
    return graph


def test_rooms_have_no_circle() -> None:
    graphlib.TopologicalSorter(rooms()).prepare()  # raises CycleError with the circle


def test_a_room_has_few_public_files() -> None:
    counts = {
        name: len([p for p in folder.glob("*.py") if not p.name.startswith("_")])
        for name, folder in package_folders().items()
    }
    assert [(name, count) for name, count in counts.items() if count > 15] == []


def test_modules_have_no_cycle() -> None:
    known = {s.name for s in package_sources()}
    graph = {s.name: imported(s, known) for s in package_sources()}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError with the cycle


def test_plain_data_needs_no_torch() -> None:
    plain = [s for s in package_sources() if s.layer in TORCH_FREE and s.name not in USES_TORCH]
    assert [s.name for s in plain if "torch" in external(s)] == []


def test_nothing_runs_data() -> None:
    assert faults(unsafe_code, package_sources()) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import dump",
        "eval('1')",
        "exec(code)",
        "import torch as t\nt.load(path)",
        "from torch import load\nload(path)",
        "import yaml\nyaml.load(text, Loader=yaml.SafeLoader)",
        "import subprocess\nsubprocess.run(command, shell=True)",
        "import numpy as np\nnp.load(path, allow_pickle=flag)",
        "values = map(eval, texts)",
        "run = exec",
        "import builtins\nbuiltins.eval('1')",
        "from builtins import exec as run",
        "import torch\ntorch.load(path, weights_only=True)",
        "import torch\nload = torch.load",
        "from torch import load",
        "from yaml import unsafe_load as load",
        "import yaml\nclass Mine(yaml.Loader): pass",
        "import subprocess\nsubprocess.getoutput(text)",
        "import os\nos.execvp(name, words)",
        "import tarfile\ntarfile.open(path).extractall(folder)",
        "frame.to_pickle(path)",
        "import importlib\nimportlib.import_module(name)",
        "from pkgutil import resolve_name\nresolve_name(name)",
        "from importlib.util import spec_from_file_location",
        "import jinja2\njinja2.Environment(autoescape=False)",
        "__builtins__['eval']",
    ],
)
def test_unsafe_code_is_seen(line: str) -> None:
    assert unsafe_code(Source.parse(line))


def test_only_files_writes() -> None:
    assert faults(writing, package_sources()) == []


@pytest.mark.parametrize(
    "line",
    [
        "open(path, 'w')",
        "open(path, mode='ab')",
        "path.open('x')",
        "import gzip\ngzip.open(path, 'wb')",
        "(folder / 'a').write_text(text)",
        "path.mkdir(parents=True)",
        "import numpy as np\nnp.save(path, array)",
        "import numpy as np\nnp.memmap(path, dtype, mode='w+')",
        "import pyarrow.parquet as pq\npq.write_table(table, path)",
        "frame.to_parquet(path)",
        "frame.to_csv(path_or_buf=path)",
        "figure.savefig(path)",
        "import json\njson.dump(value, stream)",
        "import os\nos.replace(a, b)",
        "from shutil import rmtree\nrmtree(path)",
        "import tempfile\ntempfile.mkdtemp()",
    ],
)
def test_a_write_is_seen(line: str) -> None:
    assert writing(Source.parse(line))


@pytest.mark.parametrize(
    "line",
    [
        "open(path)",
        "open('w')",
        "path.open('rb')",
        "Store.open(path)",
        "from automtl import files\nfiles.write_text(path, text)",
        "from automtl.files import write_bytes\nwrite_bytes(path, data)",
        "import io\nbuffer = io.BytesIO()\nfigure.savefig(buffer, format='svg')",
        "import numpy as np\nwith staged.stream('ids') as out:\n    np.save(out, array)",
        "text = frame.to_csv(index=False)",
        "model.eval()",
    ],
)
def test_reading_and_memory_are_no_writes(line: str) -> None:
    assert writing(Source.parse(line)) == unsafe_code(Source.parse(line)) == []


def test_a_file_imports_few_of_the_package() -> None:
    names = [source.name for source in package_sources() if source.name != "automtl"][:16]
    assert not many_imports(Source.parse("\n".join(f"import {name}" for name in names[:15])))
    assert many_imports(Source.parse("\n".join(f"import {name}" for name in names)))
    assert faults(many_imports, package_sources()) == []


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("``spaces.kinds.layout`` and `automtl.sharing`", True),
        ("``spaces.slots.layout``", False),
        ("``automtl.spaces.kinds.layuot()``", False),
        ("`nn.Sequential`, `config.seed`, ``run.yaml``", True),
    ],
)
def test_what_a_docstring_names_is_there(text: str, there: bool, tmp_path: Path) -> None:
    path = tmp_path / "sample.py"
    path.write_text(f'"""{text}"""', encoding="utf-8")
    assert bool(dangling(Source.parse("", path=path))) != there


def test_what_the_docstrings_name_is_there() -> None:
    assert faults(dangling, package_sources()) == []


def test_files_and_functions_are_small() -> None:
    others = [
        path for folder in ("tests", "scripts") for path in sorted((ROOT / folder).rglob("*.py"))
    ]
    assert (
        faults(
            sizes,
            package_sources()
            + tuple(Source.parse(p.read_text(encoding="utf-8"), path=p) for p in others),
        )
        == []
    )


def test_packages_equal_the_tree() -> None:
    config = setup()
    assert sorted(lines(config["options"]["packages"])) == sorted(package_folders())
    mapped = {
        name.strip(): ROOT / folder.strip()
        for name, folder in (m.split("=") for m in lines(config["options"]["package_dir"]))
    }
    outside = {
        name: folder
        for name, folder in package_folders().items()
        if not folder.is_relative_to(ROOT / "automtl")
    }
    assert mapped == outside
    assert {s.path.parent for s in package_sources()} == set(package_folders().values()), (
        "a folder with code needs an __init__.py"
    )


def test_package_data_covers_every_shipped_file() -> None:
    patterns = {
        name: lines(text.replace(",", "\n"))
        for name, text in setup()["options.package_data"].items()
    }
    shipped = {
        p
        for name, globs in patterns.items()
        for g in globs
        for p in package_folders()[name].glob(g)
    }
    there = {
        p
        for folder in package_folders().values()
        for p in folder.rglob("*")
        if p.is_file() and p.suffix not in {".py", ".pyc"}
    }
    assert (
        sorted(
            p
            for p in there - shipped
            if not any(part.startswith(".") for part in p.relative_to(ROOT).parts)
        )
        == []
    )


def test_pins_cover_the_ranges() -> None:
    pins = dict(
        line.split("==")
        for line in lines((ROOT / "constraints.txt").read_text())
        if line and not line.startswith("#")
    )
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    config = setup()
    texts = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    wanted = [Requirement(r) for text in texts for r in lines(text)]
    assert [
        str(r) for r in wanted if not r.specifier.contains(pins.get(canonicalize_name(r.name), "0"))
    ] == []


def test_what_is_imported_is_declared() -> None:
    config, known = setup(), packages_distributions()
    texts = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    declared = {canonicalize_name(Requirement(r).name) for text in texts for r in lines(text)}
    used = (
        {name for source in package_sources() for name in external(source)}
        - set(sys.stdlib_module_names)
        - {"automtl"}
    )
    known.setdefault("mlflow", ["mlflow-skinny"])  # an extra that is not installed here
    homes = {name: {canonicalize_name(home) for home in known.get(name, [name])} for name in used}
    assert [name for name, home in sorted(homes.items()) if not home & declared] == []


def house_map() -> dict[str, str]:
    """The map in CONTRIBUTING.md: path -> what is said about it."""
    fence = re.search(
        r"```text\n(automtl/ .*?)```",
        (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
        re.DOTALL,
    )
    assert fence, "CONTRIBUTING.md must hold the map in a text fence that begins with automtl/"
    entries, top = {}, ""
    for indent, name, about in re.findall(r"^( *)(\S+) +(.*)$", fence[1], re.MULTILINE):
        top = top if indent else name
        entries[top + name if indent else name] = about
    return entries


def test_the_map_matches_the_tree() -> None:
    folders = {f"{folder.relative_to(ROOT).as_posix()}/" for folder in package_folders().values()}
    modules = {
        f"automtl/{path.name}"
        for path in (ROOT / "automtl").glob("*.py")
        if path.name != "__init__.py"
    }
    assert set(house_map()) == folders | modules | {"scripts/", "tests/"}
    assert [path for path in house_map() if not (ROOT / path).exists()] == []


def test_the_map_names_only_files_that_are_there() -> None:
    named = [
        (Path(place), name)
        for place, about in house_map().items()
        for name in re.findall(r"[\w/*]+\.(?:py|yaml|json)\b", about)
    ]
    assert [
        f"{place}: {name}" for place, name in named if not list((ROOT / place).glob(name))
    ] == []
