"""The errors of plugins, for test_errors.py: name -> (what is wrong, command, exit status, parts of
the message).
"""

import json
from pathlib import Path

from automtl.runs.manifest import Manifest

HEAD = (
    "import automtl, torch\nregister, share = automtl.register_operation, "
    "automtl.register_sharing\n"
)
SQUEEZE = (
    "register('squeeze', lambda width_in: torch.nn.Linear(width_in, width_in), place='expert')\n"
)
TWO = (
    "class Two(automtl.GatedNetwork):\n    kind = 'two'\n    def share(self, x):\n        "
    "return [x[:, 1:]] * 2\nshare(Two, like='mmoe')\n"
)


def plugin(text):
    return lambda: Path("own.py").write_text(HEAD + text)


def made_with(text):
    """A run whose architecture says that it needs `squeeze` of own.py as it was."""

    def act():
        plugin(text)()
        held = [{"path": "/there/own.py", "sha256": "0" * 64, "names": ["squeeze"]}]
        path = Path("run/search/architecture.json")
        changed = {**json.loads(path.read_text()), "provenance": {"plugins": held}}
        Manifest.read(path.parent / "manifest.json").replace_file(path, changed)

    return act


PLUGIN = [
    "search",
    "data/tiny.yaml",
    "--space",
    "automtl_small",
    "--out",
    "new",
    "--plugin",
    "own.py",
    "--fast-dev-run",
]

PLUGINS = {
    "plugin-absent": (lambda: None, PLUGIN, 2, ["own.py: must be a Python file, got no such file"]),
    "plugin-fails": (plugin("1 / 0\n"), PLUGIN, 2, ["own.py, line 3: must " "run without " "an error, " "got ZeroDivisionError: " "division by zero; " "mend the plugin"]),
    "plugin-empty": (plugin(""), PLUGIN, 2, ["own.py: must " "register an " "operation " "or a sharing " "module, got none"]),
    "plugin-name": (plugin(SQUEEZE.replace("squeeze", "mlp")), PLUGIN, 2, ["operation " "'mlp': must " "have a name of its " "own, got that of a " "built-in one; choose " "another name"]),
    "plugin-builder": (plugin("register('squeeze', " "5, place='expert')"), PLUGIN, 2, ["operation 'squeeze': " "must be callable " "with width_in by " "keyword, got a int"]),
    "plugin-argument": (plugin(SQUEEZE.replace("place", "argument='n', " "maximum=0, place")), PLUGIN, 2, ["operation 'squeeze': " "must have a " "legal argument", "got 0"]),
    "plugin-width": (plugin(SQUEEZE.replace("width_in)", "7)")), [*PLUGIN, "--set", "space.expert=[squeeze, " "skip]"], 2, ["operation 'squeeze': " "must answer (B, 64), " "checked with B = 2, " "got (2, 7); " "mend it in"]),
    "plugin-sharing-width": (plugin(TWO), [*PLUGIN, "--set", "search.sharing=two"], 2, ["sharing module Two: " "must answer for task " "'click' (B, 64), " "checked with " "B = 2, got " "(2, 63)"]),
}  # fmt: skip
PLUGINS_AFTER_SEARCH = {
    "plugin-needed": (made_with(SQUEEZE), ["retrain", "run"], 2, ["architecture.json: " "needs 'squeeze' from " "/there/own.py, " "got no " "such plugin " "loaded; add " "--plugin " "/there/own.py"]),
    "plugin-changed": (made_with(SQUEEZE), ["retrain", "run", "--plugin", "own.py"], 2, ["needs 'squeeze' " "from /there/own.py " "as it was (sha256 " "000000000000), got", "own.py, whose " "content is " "another; restore " "it, or start anew"]),
}  # fmt: skip
