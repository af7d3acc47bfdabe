"""Wrap what `ruff format` leaves longer than 100 columns: comments, docstrings, strings. wrap.py FILE...

Comments behind code go above it; docstrings and comments are filled paragraph by paragraph, only where a line is too long; a string is parted
at a space into two that stand side by side (the formatter then puts one below the other). The program stays the same: that is checked by the
syntax trees, docstrings compared with their blanks put together.
"""

import ast
import io
import re
import sys
import textwrap
import tokenize
from pathlib import Path

WIDTH = 100
KEEP = re.compile(r"#\s*(noqa|type:|nosec|pragma|fmt:|ruff:|!)|# *noqa|# *type: *ignore|# *nosec")
ITEM = re.compile(r"^(\s*)(?:[-*] |\d+[.)] |[\w`*][\w`*.,() /-]{0,60}: )")
VERBATIM = re.compile(r"^\s*(>>>|\.\.\.|\||```|\$ |automtl |python |scripts/)|::$|\S {2,}\S")
QUOTED = re.compile(r"^([rRbBfFuU]{0,2})('|\")(?!\2\2)(.*)\2$", re.S)


def fill(text: str, first: str, rest: str) -> list[str]:
    lines = textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False)
    return lines or [first.rstrip()]


def indent_of(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


# ---- comments

SHAPE = re.compile(r"# (?:each )?\(")


def pragmas(text: str) -> str:
    """A reason behind a pragma goes above; a bare `type: ignore` goes to the bracket that the line ends with."""
    lines = text.split("\n")
    for token in reversed(list(tokenize.generate_tokens(io.StringIO(text).readline))):
        row, column = token.start[0] - 1, token.start[1]
        if token.type != tokenize.COMMENT or len(lines[row]) <= WIDTH or not KEEP.search(token.string) or not lines[row][:column].strip():
            continue
        code, indent = lines[row][:column].rstrip(), indent_of(lines[row])
        match = re.match(r"(# noqa: [A-Z0-9]+(?: # nosec \w+)?|# nosec [\w ]+?|# type: ignore\[[\w, -]+\])(?: [#-] (.+))?$", token.string)
        if match and match[2]:
            lines[row] = "\n".join([*fill(match[2], f"{indent}# ", f"{indent}# "), f"{code}  {match[1]}"])
        elif match and re.match(r"# type: ignore\[no-(untyped-call|any-return)", match[1]) and code[-1] in ")]}":
            start = opening(code)
            if start is not None and code[:start].count("(") + code[:start].count("[") == code[:start].count(")") + code[:start].count("]"):
                lines[row] = f"{code[: start + 1]}  {match[1]}\n{indent}    {code[start + 1 : -1]}\n{indent}{code[-1]}"
    return "\n".join(lines)


def opening(code: str) -> int | None:
    """Where the bracket opens that the line's last sign closes."""
    stack = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(code.strip()).readline):
            if token.string in "([{" and token.type == tokenize.OP:
                stack.append(token.start[1])
            elif token.string in ")]}" and token.type == tokenize.OP:
                last = stack.pop()
                if token.end[1] == len(code.strip()):
                    return last + len(indent_of(code))
    except (tokenize.TokenError, IndexError):
        return None
    return None


def comments(text: str, shapes: bool = True) -> str:
    lines = text.split("\n")
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    edits: dict[int, list[str]] = {}
    for token in tokens:
        if token.type != tokenize.COMMENT or len(token.line.rstrip("\n")) <= WIDTH:
            continue
        row, column = token.start[0] - 1, token.start[1]
        code = lines[row][:column].rstrip()
        if code and not shapes and SHAPE.match(token.string):
            continue  # the formatter parts the code instead
        if KEEP.search(token.string) or token.string.startswith("#!"):
            continue
        words = token.string.lstrip("# ")
        indent = indent_of(lines[row])
        if code:
            edits[row] = [*fill(words, f"{indent}# ", f"{indent}# "), code]
        else:
            edits[row] = fill(words, f"{indent}# ", f"{indent}# ")
    out: list[str] = []
    for row, line in enumerate(lines):
        if row in edits:
            alone = not lines[row][: len(line) - len(line.lstrip())].strip() and line.lstrip().startswith("#")
            if alone and row + 1 < len(lines) and row + 1 not in edits and _goes_on(line, lines[row + 1]):
                last = edits[row][-1].strip().lstrip("# ")
                edits[row + 1] = fill(f"{last} {lines[row + 1].strip().lstrip('# ')}", f"{indent_of(line)}# ", f"{indent_of(line)}# ")
                out += edits[row][:-1]
            else:
                out += edits[row]
        else:
            out.append(line)
    return "\n".join(out)


def _goes_on(line: str, below: str) -> bool:
    return below.lstrip().startswith("# ") and indent_of(below) == indent_of(line) and not KEEP.search(below) and not re.match(r"\s*#\s+[-*] |\s*#\s{2,}", below)


# ---- docstrings


def docstring_nodes(tree: ast.Module) -> list[ast.Constant]:
    nodes = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                nodes.append(first.value)
    return nodes


def docstrings(text: str) -> str:
    lines = text.split("\n")
    for node in sorted(docstring_nodes(ast.parse(text)), key=lambda n: -n.lineno):
        begin, end = node.lineno - 1, node.end_lineno
        block = lines[begin:end]
        if all(len(line) <= WIDTH for line in block) or KEEP.search(block[-1].rpartition('"""')[2]):
            continue
        if not re.match(r'\s*r?"""', block[0]) or not block[-1].rstrip().endswith('"""'):
            continue
        lines[begin:end] = docstring(block)
    return "\n".join(lines)


def docstring(block: list[str]) -> list[str]:
    indent = indent_of(block[0])
    if len(block) == 1:
        block = [block[0].rstrip()[:-3].rstrip(), f'{indent}"""']
    elif block[-1].strip() != '"""':
        block = [*block[:-1], block[-1].rstrip()[:-3].rstrip(), f'{indent}"""']
    out, row = [], 0
    while row < len(block):
        line = block[row]
        if len(line) <= WIDTH or VERBATIM.search(line):
            out.append(line)
            row += 1
            continue
        item = ITEM.match(line) if row else None
        deeper = bool(item) and row + 1 < len(block) and len(indent_of(block[row + 1])) > len(indent_of(line)) and bool(block[row + 1].strip())
        bullet = bool(re.match(r"\s*(?:[-*]|\d+[.)]) ", line))
        rest = indent_of(block[row + 1]) if deeper else indent_of(line) + ("  " if bullet else "    " if item and _in_section(block, row) else "")
        text = [line.strip()]
        row += 1
        while row < len(block) and _continues(block, row, rest):
            text.append(block[row].strip())
            row += 1
        out += fill(" ".join(text), indent_of(line), rest)
    if len(out) == 2 and len(out[0]) + 3 > WIDTH:  # the formatter would put the quotes behind it
        out[:1] = textwrap.wrap(out[0].strip(), WIDTH - 6, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    return out


def _in_section(block: list[str], row: int) -> bool:
    """Whether a line stands below Args:, Attributes:, Raises: and the like."""
    depth = len(indent_of(block[row]))
    for above in reversed(block[:row]):
        if above.strip() and len(indent_of(above)) < depth:
            return bool(re.match(r"\s*[A-Z]\w+:$", above))
    return False


def _continues(block: list[str], row: int, rest: str) -> bool:
    line = block[row]
    if not line.strip() or line.strip() == '"""' or VERBATIM.search(line) or indent_of(line) != rest:
        return False
    if re.match(r"\s*(?:[-*]|\d+[.)]) ", line) or re.match(r"\s*[A-Z]\w+:($| )", line):
        return False
    return not (ITEM.match(line) and _in_section(block, row) and len(indent_of(line)) == len(indent_of(block[row - 1])) and re.match(r"\s*[\w*]+(, [\w*]+)*: ", line))


# ---- strings


def strings(text: str) -> str:
    lines = text.split("\n")
    documents = {node.lineno for node in docstring_nodes(ast.parse(text))}
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type == tokenize.STRING]
    done: set[int] = set()
    for token in sorted(tokens, key=lambda t: (-t.start[0], -len(t.string))):
        row = token.start[0] - 1
        if token.start[0] != token.end[0] or token.start[0] in documents or row in done or len(lines[row]) <= WIDTH:
            continue
        code = lines[row].partition("  # noqa")[0]
        match = QUOTED.match(token.string)
        if not match or len(token.string) < 24:
            continue
        # in a line of its own the string begins deeper by four at most; leave room for a comma and a bracket
        start = len(indent_of(lines[row])) + (0 if lines[row].strip().startswith(token.string) else 4)
        parts = parted(match[1], match[2], match[3], max(WIDTH - start - 3, 40), len(code))
        if parts:
            lines[row] = lines[row][: token.start[1]] + " ".join(parts) + lines[row][token.end[1] :]
            done.add(row)
    return "\n".join(lines)


def parted(prefix: str, quote: str, body: str, room: int, width: int) -> list[str]:
    """One literal as two; nothing where it has no place to part at."""
    f = "f" in prefix.lower()
    depth, places, i = 0, [], 0
    while i < len(body):
        two = body[i : i + 2]
        if f and depth == 0 and two in ("{{", "}}"):
            i += 2
            continue
        if "\\" == body[i] and "r" not in prefix.lower():
            i += 2
            continue
        if f and body[i] in "{}":
            depth += 1 if body[i] == "{" else -1
        if body[i] == " " and depth == 0:
            places.append(i + 1)
        i += 1
    # The whole is at most two lines' worth where it may be: as far right as there is room.
    fitting = [p for p in places if p + len(prefix) + 2 <= room and len(body) - p > 3 and p > 8]
    if not fitting:
        return []
    cut = fitting[-1]
    if len(body) + len(prefix) + 2 <= room:  # it fits a line of its own: parting is the last resort of its line
        middle = len(body) // 2
        cut = min(fitting, key=lambda p: abs(p - middle))
    return [literal(prefix, quote, part) for part in (body[:cut], body[cut:])]


def literal(prefix: str, quote: str, body: str) -> str:
    if "f" in prefix.lower():
        bare = body.replace("{{", "").replace("}}", "")
        if "{" not in bare:
            prefix = prefix.replace("f", "").replace("F", "")
            body = body.replace("{{", "{").replace("}}", "}")
    return f"{prefix}{quote}{body}{quote}"


# ---- the program stays the same


def skeleton(text: str) -> str:
    tree = ast.parse(text)
    for node in docstring_nodes(tree):
        node.value = " ".join(node.value.split())
    return ast.dump(tree)


def main() -> None:
    what = set(sys.argv[1].split(","))
    for name in sys.argv[2:]:
        path = Path(name)
        text = old = path.read_text(encoding="utf-8")
        if all(len(line) <= WIDTH for line in text.splitlines()):
            continue
        if "pragmas" in what:
            text = pragmas(text)
        if what & {"comments", "prose"}:
            text = comments(text, shapes="comments" in what)
        if "docstrings" in what:
            text = docstrings(text)
        if "strings" in what:
            text = strings(text)
        if skeleton(text) != skeleton(old):
            print(f"wrap.py: {path}: left as it is, since the program would change", file=sys.stderr)
            continue
        if text != old:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
