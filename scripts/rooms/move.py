"""Move the modules of automtl to their rooms and rewrite every mention: move.py TABLE names|modules, in a clean checkout's root.

The words of the table are told at its top. Which files are private follows from who imports them: a module all of whose importers stand in
its own folder (or below) gets a leading underscore; one that no other module, or a script or a documented example, imports keeps its name.
"""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

ROOT = Path.cwd()


def git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout


def fail(*lines: str) -> None:
    sys.exit("\n".join(["move.py:", *lines]))


class Table:
    def __init__(self, path: Path) -> None:
        self.moves: dict[str, str] = {}
        self.groups: list[Group] = []
        self.docs: dict[str, str] = {}
        self.rooms: dict[str, str] = {}
        self.faces: dict[tuple[str, str], str] = {}  # (module where the name is, new path; name) -> room
        self.public: set[str] = set()
        self.closed: set[str] = set()
        for line in path.read_text().splitlines():
            word, _, rest = line.partition(" ")
            full = [f"automtl.{w}" for w in rest.split()]
            if not line.strip() or line.startswith("#"):
                continue
            if word in ("def", "part"):
                a, b, *names = rest.split()
                self.groups.append(Group(f"automtl.{a}", f"automtl.{b}", {n.partition("=")[0]: n.partition("=")[2] or n for n in names}, word == "part"))
            elif word == "doc":
                module, _, about = rest.partition(" ")
                self.docs[f"automtl.{module}"] = about
            elif word == "room":
                room, _, about = rest.partition(" ")
                self.rooms[f"automtl.{room}"] = about
            elif word == "face":
                room, module, *names = rest.split()
                self.faces |= {(f"automtl.{module}", name): f"automtl.{room}" for name in names}
            elif word == "public":
                self.public.add(full[0])
            elif word == "closed":
                self.closed.add(full[0])
            else:
                self.moves[f"automtl.{word}"] = full[0]


def file_of(module: str) -> Path:
    return ROOT / (module.replace(".", "/") + ".py")


def parent(module: str) -> str:
    return module.rpartition(".")[0]


def package_modules() -> tuple[set[str], set[str]]:
    modules, packages = set(), set()
    for path in sorted((ROOT / "automtl").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        (packages if path.name == "__init__.py" else modules).add(name.removesuffix(".__init__"))
    return modules, packages


# ---- functions and classes that go to another module


@dataclass
class Group:
    old: str
    new: str
    names: dict[str, str]  # -> what it is called there
    for_size: bool  # only where the old file is too long


def top_level(tree: ast.Module) -> dict[str, ast.stmt]:
    named: dict[str, ast.stmt] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            named[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            named |= {t.id: node for target in targets for t in ast.walk(target) if isinstance(t, ast.Name)}
    return named


def used(node: ast.AST) -> set[str]:
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    for n in ast.walk(node):  # a name in a quoted annotation
        if isinstance(n, ast.Constant) and isinstance(n.value, str) and re.fullmatch(r"[\w.\[\], |]+", n.value):
            names |= set(re.findall(r"\b[A-Z_]\w+", n.value))
    return names


def move_group(group: Group, about: str) -> None:
    source, target = file_of(group.old), file_of(group.new)
    text = source.read_text()
    tree = ast.parse(text)
    named = top_level(tree)
    if not set(group.names) & set(named) and target.exists():
        return  # moved already
    if lost := set(group.names) - set(named):
        if not group.for_size:
            fail(f"{source}: no {', '.join(sorted(lost))}")
        print(f"move.py: {source.relative_to(ROOT)} has no {', '.join(sorted(lost))} any more; the rest of the line is done")
        group.names = {a: b for a, b in group.names.items() if a not in lost}
    if not group.names or (group.for_size and len(text.splitlines()) <= 350):
        print(f"move.py: {source.relative_to(ROOT)} has {len(text.splitlines())} lines and is not parted")
        group.names = {}
        return
    for name in [n for g in list(group.names) for n in named if named[n] is named[g]]:
        group.names.setdefault(name, name)  # `A, B = ...` goes as a whole
    nodes = sorted({id(named[n]): named[n] for n in group.names}.values(), key=lambda n: n.lineno)
    lines = text.splitlines(keepends=True)
    spans = []
    for node in nodes:
        begin = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))]) - 1
        while begin and lines[begin - 1].startswith("#"):
            begin -= 1
        spans.append((begin, node.end_lineno))
    moved = "".join("".join(lines[a:b]) + ("\n\n" if not isinstance(n, ast.Assign | ast.AnnAssign) else "") for (a, b), n in zip(spans, nodes, strict=True))
    gone = {i for a, b in spans for i in range(a, b)}
    rest = "".join(line for i, line in enumerate(lines) if i not in gone)
    for name, other in group.names.items():
        if name != other:
            moved, rest = (re.sub(rf"(?<![\w.\"\']){name}\b", other, part) for part in (moved, rest))
    needs, uses = used(ast.parse(moved)), used(ast.parse(rest))
    local = set(named) - set(group.names)
    back = sorted(needs & local)
    there = sorted(other for other in group.names.values() if other in uses)
    if back and there:
        if group.for_size:
            print(f"move.py: {source.relative_to(ROOT)}: what goes needs {back}, what stays needs {there}: a circle, so it is not parted")
            group.names = {}
            return
        fail(f"{source}: what goes needs {back}, what stays needs {there}: a circle")
    imports = []
    for n in tree.body:
        if isinstance(n, ast.ImportFrom):
            imports += [f"from {n.module} import {a.name}" + f" as {a.asname}" * bool(a.asname) for a in n.names if (a.asname or a.name) in needs and n.module != group.new]
        elif isinstance(n, ast.Import):
            imports += [f"import {a.name}" + f" as {a.asname}" * bool(a.asname) for a in n.names if (a.asname or a.name.partition(".")[0]) in needs]
    if back:
        imports.append(f"from {group.old} import {', '.join(back)}")
    source.write_text(_after_docstring(rest.rstrip() + "\n", [f"from {group.new} import {', '.join(there)}"] if there else []))
    if not target.exists():
        target.write_text(f'"""{about}."""\n')
    target.write_text(_after_docstring(target.read_text().rstrip() + "\n\n\n" + moved, imports))
    git("add", "-N", str(target))


def _after_docstring(text: str, imports: list[str]) -> str:
    if not imports:
        return text
    first = ast.parse(text).body[0]
    lines = text.splitlines(keepends=True)
    return "".join([*lines[: first.end_lineno], "\n", *(line + "\n" for line in imports), "\n", *lines[first.end_lineno :]])


def move_defs(table: "Table") -> None:
    for group in table.groups:
        if not file_of(group.old).exists():
            fail(f"the table names {group.old}, which is gone")
        move_group(group, table.docs.get(group.new, ""))
    where = {(g.old, name): (g.new, other) for g in table.groups for name, other in g.names.items()}
    for path in python_files():
        text = path.read_text()
        tree = ast.parse(text)
        spans = []
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and any((node.module, a.name) in where for a in node.names):
                got: dict[str, list[str]] = defaultdict(list)
                for alias in node.names:
                    module, name = where.get((node.module, alias.name), (node.module, alias.name))
                    local = alias.asname or alias.name
                    if module_name(path) == module:
                        continue
                    got[module].append(name if name == local else f"{name} as {local}")
                space = "\n" + " " * node.col_offset
                spans.append((node, space.join(f"from {m} import {', '.join(got[m])}" for m in sorted(got))))
        text = replaced(text, spans)
        for (old, name), (new, other) in where.items():
            text = re.sub(rf"\b{re.escape(old)}\.{name}\b", f"{new}.{other}", text)
        if text != path.read_text():
            path.write_text(text)


def replaced(text: str, spans: list[tuple[ast.AST, str]]) -> str:
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line.encode()))
    data, out, place = text.encode(), [], 0
    for node, new in sorted(spans, key=lambda s: (s[0].lineno, s[0].col_offset)):
        begin, end = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        out += [data[place:begin].decode(), new]
        place = end
    return "".join([*out, data[place:].decode()])


# ---- names


def python_files() -> list[Path]:
    names = git("ls-files", "*.py").split() + git("ls-files", "--others", "--exclude-standard", "*.py").split()
    return [ROOT / name for name in names if (ROOT / name).exists()]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


class Names:
    """Old names -> new ones."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.modules, self.packages = package_modules()
        known = self.modules | self.packages
        made = {g.new for g in table.groups if g.for_size}
        lost = sorted(set(table.moves) - self.modules - made)
        strange = sorted(m for m in self.modules if parent(m) in table.closed and m not in table.moves)
        twice = [b for b in table.moves.values() if list(table.moves.values()).count(b) > 1]
        for module in lost:
            print(f"move.py: the table names {module}, which is not there")
            del table.moves[module]
        if strange or twice:
            fail(*(f"the table does not know {m}: give it a room" for m in strange), *twice)
        for (new, name), room in list(table.faces.items()):
            old = next((a for a, b in table.moves.items() if b == new), new)
            if not file_of(old).exists() or name not in top_level(ast.parse(file_of(old).read_text())):
                print(f"move.py: the face of {room} has no {name}: {old} does not define it")
                del table.faces[new, name]
        self.room = {m: table.moves.get(m, m) for m in self.modules}
        self.face_rooms = set(table.faces.values())
        importers: dict[str, set[str]] = defaultdict(set)
        for path in python_files():
            who = module_name(path)
            outsider = not who.startswith("automtl")
            if outsider and who.startswith("tests"):
                continue
            new_who = who if outsider else self.room.get(who, who + ".__init__")
            for target in self._targets(path, who, known):
                importers[target].add(new_who)
        for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]:
            for match in re.findall(r"from (automtl[\w.]*) import|import (automtl[\w.]*)", path.read_text()):
                importers[match[0] or match[1]].add(f"docs.{path.name}")
        self.final = {}
        faced = {module for module, _ in table.faces}
        for module, new in self.room.items():
            who, home = importers.get(module, set()), parent(new)
            private = (bool(who) or new in faced) and all(w.startswith(home + ".") for w in who) and home != "automtl" and new not in table.public
            leaf = new.rpartition(".")[2].lstrip("_")
            self.final[module] = f"{home}.{'_' * private}{leaf}" if leaf != "_main__" and not new.endswith("__main__") else new
        self.final |= {"automtl.nn": "automtl.layers"}
        self.shown = {(self.final[m], name): room for m in self.modules for (module, name), room in table.faces.items() if module == self.room[m]}

    def _targets(self, path: Path, who: str, known: set[str]) -> set[str]:
        """The old modules that a file will import, those taken from a face left out."""
        targets = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("automtl"):
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    if full in known:
                        targets.add(full)
                    elif (room := self.table.faces.get((self.room.get(node.module, ""), alias.name))) and not self._inside(who, room):
                        pass
                    else:
                        targets.add(node.module)
            elif isinstance(node, ast.Import):
                targets |= {a.name for a in node.names if a.name.startswith("automtl")}
        return targets

    def _inside(self, who: str, room: str) -> bool:
        return self.room.get(who, who).startswith(room + ".")

    def source_of(self, module: str, name: str, who: str) -> str:
        """Where a file imports a name from."""
        new = self.final.get(module, module)
        room = self.shown.get((new, name))
        return room if room and not self._inside(who, room) else new


DOTTED = re.compile(r"\bautomtl(?:\.\w+)+")


def dotted(text: str, names: Names) -> str:
    def one(match: re.Match[str]) -> str:
        parts = match[0].split(".")
        for n in range(len(parts), 1, -1):
            head = ".".join(parts[:n])
            if head in names.final:
                return ".".join([names.final[head], *parts[n:]])
        return match[0]

    return DOTTED.sub(one, text)


def rewritten(path: Path, names: Names) -> str:
    text, who = path.read_text(), module_name(path)
    tree = ast.parse(text)
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line.encode()))
    data = text.encode()
    spans, renamed = [], {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "automtl":
            got: dict[str, list[str]] = defaultdict(list)
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if full in names.modules | names.packages:
                    home, _, leaf = names.final.get(full, full).rpartition(".")
                    local = alias.asname or alias.name
                    if alias.asname is None and leaf != local:
                        if _bound_otherwise(tree, local):
                            leaf += f" as {local}"
                        else:
                            renamed[local] = leaf
                    elif alias.asname:
                        leaf += f" as {alias.asname}"
                    got[home].append(leaf)
                else:
                    got[names.source_of(node.module, alias.name, who)].append(alias.name + (f" as {alias.asname}" if alias.asname else ""))
            space = " " * node.col_offset
            new = f"\n{space}".join(f"from {module} import {', '.join(sorted(set(got[module])))}" for module in sorted(got))
        elif isinstance(node, ast.Import) and any(a.name.startswith("automtl.") for a in node.names):
            new = "import " + ", ".join(names.final.get(a.name, a.name) + (f" as {a.asname}" if a.asname else "") for a in node.names)
        else:
            continue
        begin, end = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        if not _same(data[begin:end].decode(), new):
            spans.append((begin, end, new))
        else:
            spans.append((begin, end, data[begin:end].decode()))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in renamed:
            begin = starts[node.lineno - 1] + node.col_offset
            spans.append((begin, begin + len(node.id), renamed[node.id]))
    out, place = [], 0
    for begin, end, new in sorted(spans):
        out += [dotted(data[place:begin].decode(), names), new]
        place = end
    out.append(dotted(data[place:].decode(), names))
    return "".join(out)


def _same(old: str, new: str) -> bool:
    return ast.dump(ast.parse(old)) == ast.dump(ast.parse(new.replace("\n", "\n").strip()) if "\n" not in new else ast.parse("pass"))


def _bound_otherwise(tree: ast.Module, name: str) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load):
            return True
        if isinstance(node, ast.arg) and node.arg == name:
            return True
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return True
    return False


# ---- mentions of files


def mentions(names: Names) -> dict[str, str]:
    """"data/words.py" -> "data/values/text_columns.py", with and without automtl/."""
    files = {}
    for old, new in names.final.items():
        if old in names.modules and old != new:
            a, b = old.replace(".", "/") + ".py", new.replace(".", "/") + ".py"
            files[a] = b
            if a.count("/") > 1:
                files[a.removeprefix("automtl/")] = b.removeprefix("automtl/")
    return files


def mention(text: str, files: dict[str, str]) -> str:
    pattern = re.compile(r"(?<![\w./-])(" + "|".join(re.escape(f) for f in sorted(files, key=len, reverse=True)) + r")(?!\w)")
    return pattern.sub(lambda m: files[m[1]], text)


def siblings(path: Path, text: str, names: Names) -> str:
    """In a package file: `copies.py` -> `_copies.py`, `forms.Form` -> `patterns.Form`, where a neighbour is meant."""
    home = parent(module_name(path)) if path.name != "__init__.py" else module_name(path)
    old = {m.rpartition(".")[2]: names.final[m].rpartition(".")[2] for m in names.modules if parent(m) == home}
    changed = {a: b for a, b in old.items() if a != b}
    if not changed:
        return text
    words = "|".join(map(re.escape, changed))
    text = re.sub(rf"(?<![\w./])({words})\.py\b", lambda m: changed[m[1]] + ".py", text)
    return re.sub(rf"`({words})\.(\w+)`", lambda m: f"`{changed[m[1]]}.{m[2]}`", text)


# ---- the tree


def make_room(folder: Path, about: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    face = folder / "__init__.py"
    if not face.exists():
        face.write_text(f'"""{about[:1].upper()}{about[1:]}."""\n')


def move_tests(names: Names) -> dict[str, str]:
    """tests/nn -> tests/layers; test_<old>.py -> test_<new>.py where the module's name changed. Old path -> new path."""
    moved = {}
    by_folder = {(m.split(".")[1], m.rpartition(".")[2]): names.final[m] for m in names.modules if m.count(".") > 1}
    for path in git("ls-files", "tests/*.py").split():
        folder, _, name = path.rpartition("/")
        top = folder.removeprefix("tests/").split("/")[0]
        new_folder = folder.replace("tests/nn", "tests/layers")
        stem = name.removeprefix("test_").removesuffix(".py")
        if stem.startswith("panel_"):
            continue
        new = by_folder.get((top, stem)) if name.startswith("test_") else None
        new_name = f"test_{new.rpartition('.')[2].lstrip('_')}.py" if new else name
        if (folder, name) != (new_folder, new_name):
            moved[path] = f"{new_folder}/{new_name}"
    taken = set(git("ls-files", "tests/*.py").split())
    for old, new in moved.items():
        if (new in taken and new not in moved) or list(moved.values()).count(new) > 1:
            moved[old] = new.rpartition("/")[0] + "/" + old.rpartition("/")[2]  # the name is taken: the folder alone
    return {a: b for a, b in moved.items() if a != b}


def main() -> None:
    table = Table(Path(sys.argv[1]))
    if git("status", "--porcelain"):
        fail("the checkout is not clean")
    if sys.argv[2] == "names":
        move_defs(table)
        git("add", "-A")
        subprocess.run([sys.executable, "-m", "ruff", "check", "-q", "--fix", "--select", "F401,F811,I", "automtl", "tests", "scripts"], check=True)
        return
    names = Names(table)
    texts = {path: rewritten(path, names) for path in python_files()}
    files = mentions(names)
    tests = move_tests(names)
    test_modules = {a.removesuffix(".py").replace("/", "."): b.removesuffix(".py").replace("/", ".") for a, b in tests.items()}
    for path, text in texts.items():
        text = mention(text, files)
        if path.is_relative_to(ROOT / "automtl"):
            text = siblings(path, text, names)
        texts[path] = text
    for path in [ROOT / p for p in git("ls-files", "*.md", "*.sh", "*.toml", "*.cfg", "*.yaml").split()]:
        if path.name != "CHANGELOG.md" and path.name != "setup.cfg":
            texts[path] = dotted(mention(path.read_text(), files), names)
    for path, text in texts.items():
        for a, b in sorted(tests.items(), reverse=True):
            text = text.replace(a, b)
        text = re.sub(r"\btests\.\w+(?:\.\w+)*", lambda m: _module(m[0], test_modules), text).replace("tests/nn", "tests/layers").replace("tests.nn", "tests.layers")
        if path.exists() and text != path.read_text():
            path.write_text(text)
    for old in sorted(names.modules):
        if names.final[old] != old:
            new = file_of(names.final[old])
            for room in [p for p in [new.parent, *new.parents] if p.is_relative_to(ROOT / "automtl") and not (p / "__init__.py").exists()]:
                dotted_room = ".".join(room.relative_to(ROOT).parts)
                if dotted_room not in table.rooms:
                    fail(f"the table says nothing of the room {dotted_room}")
                make_room(room, table.rooms[dotted_room])
    pairs = [(file_of(old), file_of(names.final[old])) for old in sorted(names.modules) if names.final[old] != old]
    pairs += [(ROOT / a, ROOT / b) for a, b in tests.items()]
    for old, new in pairs:  # in two steps, since one's new place may be another's old one
        git("mv", str(old), f"{old}.moving")
    for old, new in pairs:
        new.parent.mkdir(parents=True, exist_ok=True)
        git("mv", f"{old}.moving", str(new))
    for folder in ("automtl", "tests"):
        for face in sorted((ROOT / folder).rglob("__init__.py"), reverse=True):
            inside = [p for p in face.parent.iterdir() if p.name not in {"__init__.py", "__pycache__"}]
            if not inside:
                git("rm", "-qf", str(face))
    faces: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for (module, name), room in names.shown.items():
        faces[room][module].append(name)
    for room, modules in faces.items():
        face = ROOT / room.replace(".", "/") / "__init__.py"
        shown = sorted(name for every in modules.values() for name in every)
        body = "".join(f"from {module} import {', '.join(sorted(every))}\n" for module, every in sorted(modules.items()))
        face.write_text(face.read_text().rstrip() + f"\n\n{body}\n__all__ = {shown!r}\n".replace("'", '"'))
    git("add", "-A")
    subprocess.run([sys.executable, "-m", "ruff", "check", "-q", "--fix", "--select", "I,RUF022", "automtl", "tests", "scripts"], check=False)
    count = sum(old != new for old, new in names.final.items())
    private = sorted(new for old, new in names.final.items() if new.rpartition(".")[2].startswith("_") and not new.endswith("__main__"))
    print(f"{count} modules moved or renamed, {len(private)} private; {len(tests)} tests renamed")
    for (module, name), _ in names.shown.items():
        if not module.rpartition(".")[2].startswith("_") and module.rpartition(".")[2] == name:
            fail(f"{module} is public, and {name} of its room's face would hide it if imported whole")


def _module(name: str, modules: dict[str, str]) -> str:
    parts = name.split(".")
    for n in range(len(parts), 1, -1):
        head = ".".join(parts[:n])
        if head in modules:
            return ".".join([modules[head], *parts[n:]])
    return name


if __name__ == "__main__":
    main()
