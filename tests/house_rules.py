"""The rules of test_house.py that look at code: each is a function from a source to its faults."""

import ast
import re

from tests.house import (
    ROOT,
    Source,
    calls,
    external,
    functions,
    imported,
    named,
    package_folders,
    package_sources,
    references,
    streams,
)

# What each layer may import directly; whatever those may import, it may import too.
# automtl/__init__.py stands above all.
BELOW = {
    "__main__": {"cli"},
    "cli": {
        "phases",
        "progress",
        "reports",
        "config",
        "config_reference",
        "runs",
        "plugins",
        "benchmarks",
        "ranks",
    },
    "config_reference": {"config"},
    "api": {"phases", "progress"},
    "nn": {"strategies"},
    "testing": {"strategies"},
    "progress": {"training", "runs"},
    "phases": {"strategies", "runs", "reports", "config", "exports", "benchmarks"},
    "benchmarks": {"strict", "files", "statistics"},
    "exports": {"training", "tensor_file"},
    "strategies": {"training"},
    "training": {"models", "ranks"},
    "models": {"sharing"},
    "sharing": {"layers"},
    "layers": {"data", "spaces"},
    "data": {"strict", "files", "statistics", "engines"},
    "spaces": {"strict", "files", "plugins"},
    "reports": {"runs", "spaces", "statistics"},
    "runs": {"tensor_file", "strict", "plugins"},
    "tensor_file": {"files"},
    "config": {
        "config_search",
        "spaces",
        "data",
        "config_layers",
        "config_retrain",
        "config_tune",
        "strict",
    },
    "config_layers": {"config_retrain", "data", "spaces"},
    "config_retrain": {"strict"},
    "config_search": {"config_retrain", "errors", "spaces", "strict"},
    "config_tune": {"strict"},
    "strict": {"bounds"},
    "files": {"bounds"},
    "ranks": {"errors"},
    "bounds": {"errors"},
    "plugins": {"errors"},
    "engines": {"errors"},
    "statistics": {"errors"},
    "errors": set(),
    "search_spaces": set(),
    "derived_archs": set(),
}
TORCH_FREE = {
    "errors",
    "engines",
    "bounds",
    "files",
    "plugins",
    "strict",
    "spaces",
    "data",
    "benchmarks",
}
TORCH_FREE |= {"statistics", "config", "config_layers", "config_reference", "config_retrain"}
TORCH_FREE |= {"config_tune"}
USES_TORCH = {"automtl.data.store.batches"}

UNSAFE_MODULES = {
    "pickle",
    "_pickle",
    "cloudpickle",
    "dill",
    "joblib",
    "marshal",
    "shelve",
    "builtins",
    "code",
    "codeop",
    "runpy",
    "pty",
}
UNSAFE_NAMES = {
    *"eval exec compile __import__ __builtins__ breakpoint".split(),
    *"torch.load torch.save torch.hub torch.jit.load torch.package".split(),
    *"pandas.eval pandas.read_pickle numpy.lib.format.read_array".split(),
    *"os.system os.popen subprocess.getoutput subprocess.getstatusoutput tempfile.mktemp "
    "shutil.unpack_archive".split(),
    *"yaml.unsafe_load yaml.full_load yaml.Loader yaml.FullLoader yaml.UnsafeLoader "
    "yaml.CLoader".split(),
}
UNSAFE_BEGINNINGS = ("os.exec", "os.spawn", "os.posix_spawn", "pickle.")
UNSAFE_METHODS = {"extractall", "read_pickle", "to_pickle"}  # an archive's own paths lead anywhere
UNSAFE_FLAGS = {"shell", "allow_pickle"}  # but for a plain False
SAFE_FLAGS = {"weights_only", "autoescape"}  # but for a plain True
ONLY_IN = {  # what is safe as its one user uses it
    "yaml.load": {"automtl.strict"},
    "yaml.load_all": set[str](),
    "importlib.util.spec_from_file_location": {"automtl.plugins", "automtl.exports.formats"},
    "importlib.import_module": {"automtl"},
    "pkgutil.resolve_name": {"automtl.sharing", "automtl.strategies.registry"},
}

WRITERS = {
    *(
        f"os.{name}"
        for name in "open fdopen rename replace remove unlink "
        "mkdir makedirs rmdir link symlink truncate".split()
    ),
    "urllib.request.urlretrieve",
    "pyarrow.OSFile",
}
WRITING_MODULES = ("shutil.", "tempfile.")
READING_CALLS = {"shutil.disk_usage", "shutil.get_terminal_size", "shutil.which"}
WRITING_METHODS = {
    "write_text",
    "write_bytes",
    "touch",
    "mkdir",
    "rmdir",
    "unlink",
    "symlink_to",
    "hardlink_to",
    "tofile",
}
# What writes to its first argument: fine where that is memory or a stream, or left out (to_csv() is
# a string).
SINKS = {
    *"save savez savez_compressed savetxt savefig save_file write_table write_csv "
    "write_feather ParquetWriter new_file new_stream".split(),
    *"to_parquet to_csv to_feather to_excel to_html to_hdf to_orc".split(),
}
SINK_OWNERS = ("numpy.", "pyarrow.", "safetensors.", "torch.")
TARGETS = {"path", "path_or_buf", "fname", "file", "where"}


def below(layer: str) -> set[str]:
    """Every layer that a layer may import, itself included."""
    found = {layer}
    for lower in BELOW[layer]:
        found |= below(lower)
    return found


def upward_imports(source: Source) -> list[str]:
    known = {s.name for s in package_sources()}
    allowed = below(source.layer) if source.layer else set(BELOW)
    layers = {
        target: target.partition(".")[2].partition(".")[0] for target in imported(source, known)
    }
    return [
        f"{source.layer} must not import {target}"
        for target, layer in sorted(layers.items())
        if layer not in allowed
    ]


def private_imports(source: Source) -> list[str]:
    """Imports of what is private, a module or a name in one, from outside the folder that it stands
    in.
    """
    faults = []
    modules = {s.name for s in package_sources() if s.path.name != "__init__.py"}
    for target in sorted(named(source)):
        parts = target.split(".")
        hidden = [
            i for i, part in enumerate(parts) if part.startswith("_") and not part.startswith("__")
        ]
        home = ".".join(parts[: hidden[0]]) if hidden else ""
        home = home.rpartition(".")[0] if home in modules else home
        if parts[0] == "automtl" and hidden and not f"{source.name}.".startswith(f"{home}."):
            faults.append(f"{target} is private to {home}")
    return faults


def many_imports(source: Source) -> list[str]:
    count = len(imported(source, {s.name for s in package_sources()}))
    return [f"imports {count} files of the package, at most 15"] if count > 15 else []


def unsafe_code(source: Source) -> list[str]:
    faults = [f"imports {name}" for name in sorted(external(source) & UNSAFE_MODULES)]
    for name, node in references(source):
        method = "." in name and name.rpartition(".")[2] in UNSAFE_METHODS
        if (
            name in UNSAFE_NAMES
            or name.startswith(UNSAFE_BEGINNINGS)
            or method
            or source.name not in ONLY_IN.get(name, {source.name})
        ):
            faults.append(f"line {node.lineno}: {name}")
    for name, call in calls(source):
        wrong = [k for k in call.keywords if k.arg in UNSAFE_FLAGS and not _is(k.value, False)]
        wrong += [k for k in call.keywords if k.arg in SAFE_FLAGS and not _is(k.value, True)]
        faults += [f"line {call.lineno}: {k.arg}=" for k in wrong]
        loaders = [
            k.value.id for k in call.keywords if k.arg == "Loader" and isinstance(k.value, ast.Name)
        ]
        if name == "yaml.load" and loaders != ["_Loader"]:
            faults.append(f"line {call.lineno}: another loader than the safe one's child")
    return faults


def _is(node: ast.expr, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def writing(source: Source) -> list[str]:
    if source.name == "automtl.files":
        return []
    open_streams = streams(source)
    return [
        f"line {call.lineno}: {name}"
        for name, call in calls(source)
        if _writes(name, call, open_streams)
    ]


def _writes(name: str, call: ast.Call, open_streams: set[str]) -> bool:
    if name.startswith("automtl.files.") or name in READING_CALLS:
        return False
    last = name.rpartition(".")[2]
    if last in {"open", "memmap", "open_memmap"}:
        return _writing_mode(call.args[name == "open" :], call)
    if last in SINKS and (name.startswith(SINK_OWNERS) or last.startswith(("to_", "savefig"))):
        targets = [*call.args[:1], *(k.value for k in call.keywords if k.arg in TARGETS)]
        return any(
            not (isinstance(target, ast.Name) and target.id in open_streams) for target in targets
        )
    if name in {"json.dump", "yaml.dump", "yaml.safe_dump"}:
        return len(call.args) > 1
    return name in WRITERS or name.startswith(WRITING_MODULES) or last in WRITING_METHODS


def _writing_mode(arguments: list[ast.expr], call: ast.Call) -> bool:
    given = [*arguments[:3], *(k.value for k in call.keywords if k.arg == "mode")]
    texts = [a.value for a in given if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return any(re.fullmatch(r"[rwaxbt+]{1,4}", text) and set(text) & set("wax+") for text in texts)


def dangling(source: Source) -> list[str]:
    """Names of the package's modules, or of what stands in one, that are written in backquotes and
    are not there.
    """
    modules = {known.name: known.tree for known in package_sources()}
    rooms = {name.split(".")[1] for name in package_folders() if name.count(".") == 1} - {"nn"}
    faults = []
    for name in re.findall(r"`([a-z_]+(?:\.\w+)+)", source.path.read_text(encoding="utf-8")):
        whole = name if name.startswith("automtl.") else f"automtl.{name}"
        home = whole
        while home not in modules:
            home = home.rpartition(".")[0]
        inside = whole[len(home) + 1 :].partition(".")[0]
        if whole.split(".")[1] in rooms and inside and inside not in _defined(modules[home]):
            faults.append(f"{name} is not there")
    return faults


def _defined(module: ast.Module) -> set[str]:
    """The names that a module has at its top."""
    names = set()
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom | ast.Import):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def sizes(source: Source) -> list[str]:
    """Lines of a file, and of a function's code below its signature and docstring."""
    lines = len(source.path.read_text(encoding="utf-8").splitlines())
    most = 350 if source.path.is_relative_to(ROOT / "automtl") else 420
    if source.path == ROOT / "automtl/exports/encode.py":
        most = 460  # goes into every export as one file that needs nothing of the package
    spans = [(f.name, (f.end_lineno or 0) - _code(f).lineno + 1) for f in functions(source)]
    long = [f"{name} has {span} lines, at most 60" for name, span in spans if span > 60]
    return long + ([f"{lines} lines, at most {most}"] if lines > most else [])


def _code(function: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.stmt:
    documented = ast.get_docstring(function) is not None and len(function.body) > 1
    return function.body[1 if documented else 0]
