"""Readers of the source tree for test_house.py: modules, imports, calls, functions. They look at
code and never run it.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE_FOLDERS = {
    "automtl": "automtl",
    "automtl.benchmarks.shipped": "benchmarks",
    "automtl.search_spaces": "search_spaces",
    "automtl.derived_archs": "derived_archs",
}

# Calls whose result is a place in memory, or a stream that files.py opened: what is written there
# is not a file of the writer's own.
MEMORY = {"io.BytesIO", "io.StringIO", "pyarrow.BufferOutputStream"}
STREAM_TYPES = {"BinaryIO", "BytesIO", "IO", "TextIO"}


@dataclass(frozen=True)
class Source:
    """One Python file: its dotted name ("automtl.layers.choice_block"), its path, its syntax
    tree.
    """

    name: str
    path: Path
    tree: ast.Module

    @property
    def layer(self) -> str:
        """The folder or module at the top of automtl/; empty for automtl/__init__.py."""
        return self.name.partition(".")[2].partition(".")[0]

    @classmethod
    def parse(
        cls, text: str, name: str = "automtl.sample", path: Path = Path("sample.py")
    ) -> "Source":
        """A source from text, for trying a rule on a line of code."""
        return cls(name, path, ast.parse(text))


@cache
def package_sources() -> tuple[Source, ...]:
    """Every module of the package, the mapped folders included."""
    return tuple(
        Source.parse(
            path.read_text(encoding="utf-8"), _module_name(path, package, ROOT / folder), path
        )
        for package, folder in PACKAGE_FOLDERS.items()
        for path in sorted((ROOT / folder).rglob("*.py"))
    )


def _module_name(path: Path, package: str, folder: Path) -> str:
    parts = path.relative_to(folder).with_suffix("").parts
    return ".".join((package, *parts)).removesuffix(".__init__")


def package_folders() -> dict[str, Path]:
    """Every folder with an __init__.py, by the package's dotted name."""
    return {
        source.name: source.path.parent
        for source in package_sources()
        if source.path.name == "__init__.py"
    }


def imported(source: Source, known: set[str]) -> set[str]:
    """The package's own modules that a source imports, wherever in it the import stands."""
    found = set()
    for target in _targets(source):
        # from automtl.layers.choice_block import ChoiceBlock -> automtl.layers.choice_block
        while target and target not in known:
            target = target.rpartition(".")[0]
        found.add(target)
    return found - {"", source.name}


def named(source: Source) -> set[str]:
    """Every dotted name that a source imports, modules and what is in them alike."""
    return set(_targets(source))


def external(source: Source) -> set[str]:
    """The top-level names of everything that a source imports."""
    return {target.partition(".")[0] for target in _targets(source)}


def _targets(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source.path}:{node.lineno}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def aliases(source: Source) -> dict[str, str]:
    """What each imported local name stands for: np -> numpy, load -> torch.load."""
    names: dict[str, str] = {}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            names |= {
                alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names
            }
    return names


def dotted(node: ast.expr, names: dict[str, str]) -> str:
    """What an expression names, imports resolved: "numpy.save", "?.write_text" for a method of any
    other expression.
    """
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value, names)}.{node.attr}"
    return "?"


def calls(source: Source) -> Iterator[tuple[str, ast.Call]]:
    """Every call with the dotted name of what is called."""
    names = aliases(source)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            yield dotted(node.func, names), node


def references(source: Source) -> Iterator[tuple[str, ast.expr]]:
    """Everything that is named, called or not, with its dotted name: `map(eval, texts)` names
    eval.
    """
    names = aliases(source)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield dotted(node, names), node
        elif isinstance(node, ast.ImportFrom):
            yield from (
                (f"{node.module}.{alias.name}", ast.Constant(alias.name, lineno=node.lineno))
                for alias in node.names
            )


def streams(source: Source) -> set[str]:
    """Local names bound to memory, to a stream that files.py opened, or to a parameter typed as a
    stream.
    """
    names, found = aliases(source), set()
    for node in ast.walk(source.tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=func)) if (
                dotted(func, names) in MEMORY
            ):
                found.add(name)
            case ast.withitem(context_expr=ast.Call(func=func), optional_vars=ast.Name(id=name)):
                if dotted(func, names) in MEMORY or dotted(func, names).endswith(".stream"):
                    found.add(name)
            case ast.arg(arg=name, annotation=ast.expr() as annotation) if (
                dotted(annotation, {}).rpartition(".")[2] in STREAM_TYPES
            ):
                found.add(name)
    return found


def functions(source: Source) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method."""
    yield from (
        node
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
