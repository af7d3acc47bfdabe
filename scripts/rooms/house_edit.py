"""What the moves change in the tests of the house, the map and the package list: house_edit.py format|modules, in a checkout's root."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path.cwd()


def swap(path: str, *pairs: tuple[str, str]) -> None:
    file = ROOT / path
    text = file.read_text()
    for old, new in pairs:
        if new in text:
            continue
        if text.count(old) != 1:
            print(f"house_edit.py: {path}: {text.count(old)} times {old[:70]!r}: by hand", file=sys.stderr)
            continue
        text = text.replace(old, new)
    file.write_text(text)


SIZES = '''def sizes(source: Source) -> list[str]:
    """Lines of a file, and of a function's code below its signature and docstring."""
    lines = len(source.path.read_text(encoding="utf-8").splitlines())
    most = 350 if source.path.is_relative_to(ROOT / "automtl") else 420
    spans = [(f.name, (f.end_lineno or 0) - _code(f).lineno + 1) for f in functions(source)]
    long = [f"{name} has {span} lines, at most 60" for name, span in spans if span > 60]
    return long + ([f"{lines} lines, at most {most}"] if lines > most else [])


def _code(function: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.stmt:
    documented = ast.get_docstring(function) is not None and len(function.body) > 1
    return function.body[1 if documented else 0]
'''

ROOMS = '''def rooms() -> dict[str, set[str]]:
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


'''


def shorter_run() -> None:
    """cli/evaluate.py: the table of models is a function of its own, since `run` would be too long in the new format."""
    path = ROOT / "automtl/cli/evaluate.py"
    text = path.read_text()
    begin, end = text.find("    metrics = [key for key in rows[0]"), text.find("    for tested in results:")
    if "def _models(" in text:
        return
    if not 0 < begin < end:
        print("house_edit.py: cli/evaluate.py: the table of models is not where it was: shorten `run` by hand", file=sys.stderr)
        return
    body = text[begin:end]
    function = (
        "def _models(rows: list[dict[str, Any]], constants: list[dict[str, Any]], sizes: dict[str, dict[str, float]]) -> None:\n"
        '    """The models beside the constants that predict base rates."""\n' + body.replace("constants(results)", "constants")
    )
    text = text[:begin] + "    _models(rows, constants(results), sizes)\n" + text[end:]
    path.write_text(text.replace("def _rows(title", function + "\n\ndef _rows(title", 1))


def format_rules() -> None:
    shorter_run()
    swap(
        "ruff.toml",
        ("line-length = 140", "line-length = 100"),
        ('target-version = "py311"', 'target-version = "py311"\nextend-exclude = ["tests/golden/format*"]  # exports as older versions wrote them'),
        ('"tests/**" = ["D"', '"tests/**" = ["E501", "D"'),
        ('"scripts/**" = ["D"', '"scripts/**" = ["E501", "D"'),
    )
    swap("scripts/test.sh", ('step "style: ruff check" "$VENV/bin/ruff" check\n', 'step "style: ruff check" "$VENV/bin/ruff" check\nstep "style: ruff format" "$VENV/bin/ruff" format --check\n'))
    rules = ROOT / "tests/house_rules.py"
    text = rules.read_text()
    text = re.sub(r"def sizes\(source: Source\).*?(?=\n\n\ndef |\Z)", lambda m: SIZES.rstrip() + "\n" * m[0].endswith("\n"), text, count=1, flags=re.S)
    if "import ast\n" not in text.partition("\nfrom tests")[0]:
        text = text.replace("import re\n", "import ast\nimport re\n", 1)
    text = re.sub(r"from tests\.house import (?!ROOT)", "from tests.house import ROOT, ", text, count=1)
    rules.write_text(text)
    swap(
        "CONTRIBUTING.md",
        (
            "| at most 350 lines a file (aim at 120) and 60 a function (aim at 11) | `tests/test_house.py` |",
            "| `ruff format` at 100 columns | `scripts/test.sh` |\n"
            "| at most 350 lines a file (aim at 120; tests and scripts 420) and 60 a function below its docstring (aim at 11) | `tests/test_house.py` |",
        ),
    )


def search_section() -> None:
    """A place in BELOW for config_search.py, where config.py was parted."""
    path = ROOT / "automtl/config_search.py"
    rules = ROOT / "tests/house_rules.py"
    text = rules.read_text()
    if not path.exists() or '"config_search"' in text:
        return
    tops = sorted(set(re.findall(r"^from automtl\.(\w+)", path.read_text(), re.M)))
    text = re.sub(r'("config": \{)', r'\1"config_search", ', text, count=1)
    entry = '    "config_search": {' + ", ".join(f'"{top}"' for top in tops) + "},\n"
    rules.write_text(text.replace('    "config_tune": {', entry + '    "config_tune": {', 1))
    swap("CONTRIBUTING.md", ("config -> {", "config -> {config_search, "))


def module_rules() -> None:
    swap(
        "tests/house_rules.py",
        ('    "sharing": {"nn"},', '    "sharing": {"layers"},'),
        ('    "nn": {"data", "spaces"},', '    "layers": {"data", "spaces"},'),
        ('    "phases": {"strategies"', '    "api": {"phases"},\n    "phases": {"strategies"'),
    )
    search_section()
    house = ROOT / "tests/test_house.py"
    text = house.read_text()
    if "test_rooms_have_no_circle" not in text:
        at = text.index("\ndef test_modules_have_no_cycle")
        house.write_text(text[: at + 1] + ROOMS + text[at + 1 :])
    swap(
        "CONTRIBUTING.md",
        ("cli -> phases -> strategies -> training -> models -> sharing -> nn -> {data, spaces} -> {strict, files} -> bounds -> errors", "cli -> phases -> strategies -> training -> models -> sharing -> layers -> {data, spaces} -> {strict, files} -> bounds -> errors\napi -> phases"),
        ("`automtl/__init__.py` offers the public names and stands above all. No cycle between modules either,", "`automtl/__init__.py` offers the public names and stands above all. A folder is a room: what begins with `_` is its own, the others may import\nwhat does not, and what its `__init__.py` offers from there. No circle between rooms, no cycle between modules,"),
        ("| only `files.py` writes;", "| a `_private` module is imported in its own folder only; at most 15 public files in one | `tests/test_house.py` |\n| only `files.py` writes;"),
        ("A new file inside a folder needs neither.", "A new file inside a folder needs neither; one\nthat only its own folder imports begins with `_`."),
    )
    packages()
    the_map()


def about(init: Path) -> str:
    doc = re.match(r'"""(.*?)(?:\n|""")', init.read_text())
    return doc[1].rstrip(".") if doc else ""


WORDS = {"api.py": "what Python users call, by the same code as the commands", "config_search.py": "its sections on the search and on balancing"}


def packages() -> None:
    path = ROOT / "setup.cfg"
    text = path.read_text()
    mapped = re.findall(r"^    (\S+) = \S+$", text.partition("package_dir =\n")[2].partition("\n#")[0], re.M)
    own = sorted(".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "automtl").rglob("__init__.py"))
    body = "".join(f"    {name}\n" for name in [*own, *mapped])
    path.write_text(re.sub(r"(\npackages =\n)(?:    \S+\n)+", lambda m: m[1] + body, text, count=1))


def the_map() -> None:
    """Keep what is said of each place; a new one says what its docstring says."""
    path = ROOT / "CONTRIBUTING.md"
    text = path.read_text()
    fence = re.search(r"```text\n(automtl/ .*?)```", text, re.S)
    assert fence
    said, before, after, top = {}, [], [], ""
    for line in fence[1].splitlines():
        indent, name, words = re.match(r"^( *)(\S+) +(.*)$", line).groups()
        if indent and top == "automtl/":
            said[name] = words
        elif top and top != "automtl/" or name != "automtl/":
            after.append(line)
        if not indent:
            top = name
            if name == "automtl/":
                before.append(line)
    modules = sorted(p.name for p in (ROOT / "automtl").glob("*.py") if p.name != "__init__.py")
    folders = sorted(p.parent.relative_to(ROOT / "automtl").as_posix() + "/" for p in (ROOT / "automtl").rglob("__init__.py"))[0:]
    there = [f for f in folders if f != "./"]
    known = [n for n in said if n in modules or n in there]
    order = list(known)
    for name in [*modules, *there]:
        if name in order:
            continue
        parent = name.rstrip("/").rpartition("/")[0] + "/"
        family = [i for i, n in enumerate(order) if n == parent or n.startswith(parent)] if parent != "/" else []
        stem = [i for i, n in enumerate(order) if n.endswith(".py") and n[:6] == name[:6]]
        at = (family[-1] + 1) if family else (stem[-1] + 1 if stem else _place(name, order))
        order.insert(at, name)
    width = max(19, *(len(n) + 3 for n in order))
    lines = list(before)
    lines = [re.sub(r"^(\S+) +", lambda m: f"{m[1]:<{width + 1}}", line) for line in before]
    for name in order:
        init = ROOT / "automtl" / name
        words = said.get(name) or WORDS.get(name) or about(init if name.endswith(".py") else init / "__init__.py")
        words = words[:1].lower() + words[1:] if words[1:2].islower() or words.startswith("A ") else words
        lines.append(f"  {name:<{width - 1}}{words}")
    lines += [re.sub(r"^( *)(\S+) +", lambda m: f"{m[1]}{m[2]:<{width + 1 - len(m[1])}}", line) for line in after]
    path.write_text(text[: fence.start(1)] + "\n".join(lines) + "\n" + text[fence.end(1) :])


def _place(name: str, order: list[str]) -> int:
    """A room that took another's name stands where that stood: before its first lower neighbour by the import order."""
    after = {"layers/": "sharing/", "api.py": "plugins.py"}
    if name in after and after[name] in order:
        return order.index(after[name]) + (name == "api.py")
    return len(order)


if __name__ == "__main__":
    {"format": format_rules, "modules": module_rules}[sys.argv[1]]()
