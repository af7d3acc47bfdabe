"""A user's own operation and sharing module, from files outside the package: those of
docs/own_operation.md, and wrong ones.
"""

import json
import re
import sys
from pathlib import Path

import pytest
import torch

import automtl
from automtl import plugins
from automtl.cli.main import main
from automtl.errors import ArtifactError, ConfigError
from automtl.models.cost import cost
from automtl.models.derived import build_model
from automtl.models.parts import part_costs
from automtl.models.supernet import build_supernet
from automtl.spaces.architecture import Architecture
from automtl.spaces.graph import to_graph
from automtl.spaces.operations import OPERATIONS, Operation
from automtl.strict import build
from tests.house import ROOT
from tests.support import random_batch, small_schema, small_space, without_plugins, write_dataset

FILES = dict(
    re.findall(
        r"```python file=(\w+\.py)\n(.*?)```",
        (ROOT / "docs/own_operation.md").read_text(encoding="utf-8"),
        re.DOTALL,
    )
)
SEARCH = ["search", "data/tiny.yaml", "--space", "automtl_small", "--fast-dev-run", "--out", "run"]
OWN = [
    "--plugin",
    "my_ops.py",
    "--set",
    "space.expert=[squeeze(4), squeeze(16)]",
    "--set",
    "space.interaction=[skip]",
]
SHARP = ["--plugin", "my_sharing.py", "--set", "search.sharing=sharp_mmoe"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOMTL_DATA_DIR", str(tmp_path / "cache"))
    write_dataset(tmp_path / "data")
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    with without_plugins():
        yield tmp_path


def run(argv):
    sys.argv = ["automtl", *argv]
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def error(capfd):
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, lines
    return lines[0]


def test_an_own_operation_goes_through_search_retrain_evaluate_predict_show_and_export(here, capfd):
    assert run([*SEARCH, *OWN]) == 0
    assert run(["retrain", "run", "--fast-dev-run", "--plugin", "my_ops.py"]) == 0
    assert run(["evaluate", "run", "--plugin", "my_ops.py"]) == 0
    assert run(["predict", "run", "data/rows.csv", "-o", "x.parquet", "--plugin", "my_ops.py"]) == 0
    assert (
        run(["show", "run", "--data", "data/tiny.yaml", "-o", "x.svg", "--plugin", "my_ops.py"])
        == 0
    )
    assert run(["report", "run", "-o", "x.html", "--plugin", "my_ops.py"]) == 0
    assert run(["export", "run", "--format", "python", "-o", "plain", "--plugin", "my_ops.py"]) == 0
    assert "squeeze(" in Path("x.svg").read_text() and "squeeze(" in Path("x.html").read_text()
    held = json.loads(Path("run/search/manifest.json").read_text())["plugins"]
    assert [(Path(p["path"]).name, p["names"], len(p["sha256"])) for p in held] == [
        ("my_ops.py", ["squeeze"], 64)
    ]
    architecture = json.loads(Path("run/search/architecture.json").read_text())
    assert architecture["provenance"]["plugins"] == held
    with without_plugins():  # another process, which does not name the file
        for command in (
            ["retrain", "run"],
            ["evaluate", "run"],
            ["predict", "run", "data/rows.csv", "-o", "y.parquet"],
            ["show", "run"],
        ):
            capfd.readouterr()
            assert run(command) == 2
            assert (
                f"needs 'squeeze' from {here / 'my_ops.py'}, got no such plugin loaded; add "
                "--plugin" in error(capfd)
            )
        assert run([*SEARCH, *OWN[2:], "--resume"]) == 2
        assert "run/search/manifest.json: needs 'squeeze' from" in error(capfd)
        Path("my_ops.py").write_text(FILES["my_ops.py"] + "\n# another\n")
        assert run(["retrain", "run", "--plugin", "my_ops.py"]) == 2
        assert "as it was (sha256" in error(capfd)


def test_an_own_sharing_module_stands_in_the_supernet_and_in_a_retrain(here):
    assert run([*SEARCH, *SHARP, "--set", "sharing.sharpness=3.0"]) == 0
    found = Architecture.load("run/search/architecture.json")
    assert found.sharing.kind == "sharp_mmoe" and found.sharing.all_settings == {"sharpness": 3.0}
    assert run(["retrain", "run", "--fast-dev-run", "--plugin", "my_sharing.py"]) == 0
    assert (here / "run/retrain/sharp_mmoe-s0/checkpoint/best.safetensors").exists()


def test_own_modules_have_costs_and_pictures(here):
    automtl.load_plugin("my_ops.py")
    automtl.load_plugin("my_sharing.py")
    values = {
        "experts": [{"blocks": ["squeeze(4)"]}],
        "projection": 8,
        "towers": [4],
        "sharing": {"kind": "sharp_mmoe"},
    }
    schema = small_schema()
    own = build(Architecture, values, "own").bind(schema)
    plain = own.evolve(experts=({"blocks": ("skip",)},), sharing={"kind": "mmoe"})
    net, without = build_model(own, schema), build_model(plain, schema)
    # two linear maps, 8 -> 2 -> 8, and the closing BatchNorm
    squeeze = 8 * 2 + 2 + 2 * 8 + 8 + 2 * 8
    assert cost(net, schema).other_parameters - cost(without, schema).other_parameters == squeeze
    assert cost(net, schema).flops_per_row - cost(without, schema).flops_per_row == 2 * (
        8 * 2 + 2 * 8
    )
    assert part_costs(own, schema)["expert.level0.pool.0"].parameters == squeeze
    assert [data["blocks"] for _, data in to_graph(own).nodes(data=True) if "blocks" in data] == [
        ("squeeze(4)",)
    ]
    with pytest.raises(
        ConfigError, match=r"squeeze\(reduction\) must be a whole number from 1 to 64, got '65'"
    ):
        Operation.parse("squeeze(65)")
    with pytest.raises(ConfigError, match="did you mean 'squeeze'"):
        Operation.parse("sqeeze(4)", "expert")


def test_what_an_own_module_computes_is_what_it_says(here):
    automtl.load_plugin("my_sharing.py")
    schema = small_schema()
    experts = [{"blocks": [f"mlp({h})"]} for h in (4, 8, 16)]
    values = {
        "experts": experts,
        "projection": 8,
        "towers": [4],
        "sharing": {"kind": "sharp_mmoe", "settings": {"sharpness": 1.0}},
    }
    sharp = build(Architecture, values, "own").bind(schema)
    x = random_batch(schema).inputs
    plain = build_model(sharp.evolve(sharing={"kind": "mmoe"}), schema, seed=3).eval()
    assert torch.allclose(build_model(sharp, schema, seed=3).eval()(x)[0], plain(x)[0], atol=1e-6)
    sharper = sharp.evolve(sharing={"kind": "sharp_mmoe", "settings": {"sharpness": 4.0}})
    assert not torch.allclose(
        build_model(sharper, schema, seed=3).eval()(x)[0], plain(x)[0], atol=1e-6
    )


def test_checking_a_module_leaves_the_runs_randomness_alone(here):
    automtl.load_plugin("my_ops.py")
    space = small_space(expert=("squeeze(2)", "skip"), dropout=0.2)
    automtl.load_plugin("my_sharing.py")
    generator = torch.Generator().manual_seed(1)
    before = generator.get_state()
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    build_supernet(space, small_schema(), sharing="sharp_mmoe", generator=generator)
    assert torch.equal(generator.get_state(), before) and torch.equal(torch.rand(1), wanted)


HEAD = "import torch\nfrom torch import nn\nimport automtl\n"
NARROW = (
    "class Narrow(nn.Module):\n    def __init__(self, *, width_in):\n        "
    "super().__init__()\n    def forward(self, x):\n        return x[:, 1:]\n"
)
OPERATION = "automtl.register_operation('{0}', {1}, place='{2}')\n"
SHARING = (
    "class Wrong(automtl.GatedNetwork):\n    kind = 'wrong'\n    def share(self, shared):\n     "
    "   return {0}\n"
    "automtl.register_sharing(Wrong, like='{1}')\n"
)
AT_LOAD = {
    "not-callable": (OPERATION.format("five", "5", "expert"), "operation 'five': " "must be callable " "with width_in by " "keyword, got a int"),
    "other-arguments": ("def build(width): " "pass\n" + OPERATION.format("five", "build", "expert"), "must be callable " "with width_in by " "keyword, got the " "arguments (width)"),
    "name-taken": (NARROW + OPERATION.format("mlp", "Narrow", "expert"), "operation 'mlp': " "must have a name of " "its own, got that " "of a built-in one"),
    "name-form": (NARROW + OPERATION.format("My-Op", "Narrow", "expert"), "must have a name of " "lower case letters"),
    "place": (NARROW + OPERATION.format("five", "Narrow", "tower"), "place must " "be expert or " "interaction, " "got 'tower'"),
    "no-argument": (NARROW + "automtl.register_operation('five', " "lambda " "width_in, " "n: Narrow(), " "place='expert', " "argument='n', " "maximum=0)\n", "must have a " "legal argument"),
    "argument-words": (NARROW + "automtl.register_operation('five', " "lambda " "width_in, " "n: Narrow(), " "place='expert', " "argument='n', " "choices=('A b',))\n", "must have a " "legal argument"),
    "choices-alone": (NARROW + "automtl.register_operation('five', " "Narrow, place='expert', " "choices=('a',))\n", "choices need the " "argument's name"),
    "no-sharing": ("automtl.register_sharing(nn.Linear, " "like='mmoe')\n", "must be given " "a subclass " "of automtl.SharingModule"),
    "no-kind": ("class Mine(automtl.GatedNetwork): " "pass\nautomtl.register_sharing(Mine, " "like='mmoe')\n", "must have " "an attribute " "`kind` of its own"),
    "kind-taken": ("class Mine(automtl.GatedNetwork): " "kind " "= 'ple'\nautomtl.register_sharing(Mine, " "like='mmoe')\n", "sharing kind " "'ple': must " "have a name " "of its own"),
    "like": (SHARING.format("0", "mome"), "like must be one of moe, mmoe"),
    "setting": ("class Mine(automtl.GatedNetwork): " "kind " "= 'mine'\nautomtl.register_sharing(Mine, " "like='mmoe', " "settings={'a': " "[1]})\n", "must have a default " "that is a number"),
    "fails": ("x = 1 / 0\n", "bad.py, line 4: must " "run without " "an error, " "got ZeroDivisionError: " "division by zero"),
    "no-python": ("class\n", "got SyntaxError"),
    "nothing": ("x = 1\n", "bad.py: must register an operation or a sharing module, got none"),
}  # fmt: skip
WIDTH = {
    "expert": (NARROW + OPERATION.format("five", "Narrow", "expert"), ["space.expert=[five, " "skip]"], "operation 'five': " "must answer (B, 64), " "checked with B = 2, " "got (2, 63); " "mend it in"),
    "interaction": ("class Flat(nn.Module):\n " "   def " "__init__(self, *, " "num_fields, " "dim):\n        " "super().__init__()\n " "   def " "forward(self, x):\n " "       return x\n" + OPERATION.format("five", "Flat", "interaction"), ["space.interaction=[five]"], "operation 'five': " "must answer (B, " "48), checked with " "B = 2, got (2, 3, 16)"),
    "no-module": (OPERATION.format("five", "lambda width_in: 3", "expert"), ["space.expert=[five, " "skip]"], "operation " "'five': must build " "a torch module, " "got a int"),
    "forward-fails": (OPERATION.format("five", "lambda width_in: " "nn.Linear(3, 3)", "expert"), ["space.expert=[five, " "skip]"], "must answer " "rows of shape " "(2, 64), got " "RuntimeError: "),
    "sharing": (SHARING.format("[torch.zeros(len(shared), " "3)] * 2", "mmoe"), ["search.sharing=wrong"], "sharing module " "Wrong: " "must answer for task " "'click' (B, 64), " "checked with " "B = 2, got " "(2, 3)"),
    "tasks": (SHARING.format("[shared]", "mmoe"), ["search.sharing=wrong"], "must give one " "representation " "for each of the " "2 tasks, got 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", AT_LOAD)
def test_a_wrong_registration_is_one_error_and_registers_nothing(name, here, capfd):
    text, message = AT_LOAD[name]
    Path("bad.py").write_text(HEAD + text)
    known = dict(OPERATIONS)
    assert run(["space", "automtl", "--plugin", "bad.py"]) == 2
    assert message in error(capfd)
    assert known == OPERATIONS and not plugins.REGISTERED


@pytest.mark.parametrize("name", WIDTH)
def test_a_wrong_width_is_one_error_and_leaves_nothing(name, here, capfd):
    text, settings, message = WIDTH[name]
    Path("bad.py").write_text(HEAD + text)
    assert (
        run(
            [
                *SEARCH,
                "--plugin",
                "bad.py",
                *(word for setting in settings for word in ("--set", setting)),
            ]
        )
        == 2
    )
    assert message in error(capfd)
    assert not Path("run").exists()


def test_a_plugin_that_is_not_there_is_one_error(here, capfd):
    assert run(["space", "automtl", "--plugin", "my_opps.py"]) == 2
    assert "my_opps.py: must be a Python file, got no such file" in error(capfd)


def test_a_file_may_register_anew_and_another_may_not_take_its_name(here):
    automtl.load_plugin("my_ops.py")
    assert automtl.load_plugin("my_ops.py").sha256
    Path("my_ops.py").write_text(FILES["my_ops.py"].replace("maximum=64", "maximum=32"))
    automtl.load_plugin("my_ops.py")
    assert OPERATIONS["squeeze"].maximum == 32
    Path("theirs.py").write_text(FILES["my_ops.py"])
    with pytest.raises(ConfigError, match=f"got that of {here / 'my_ops.py'}; choose another name"):
        automtl.load_plugin("theirs.py")


def test_what_was_registered_without_a_file_is_said_so(here):
    automtl.register_operation(
        "own", lambda width_in: torch.nn.Linear(width_in, width_in), place="expert"
    )
    build(Architecture, {"experts": [{"blocks": ["own"]}]}, "own").save(here / "a.json")
    assert Architecture.load(here / "a.json").experts[0].blocks == ("own",)
    with (
        without_plugins(),
        pytest.raises(
            ArtifactError,
            match="needs 'own' from Python code that is no file, .*; register it first",
        ),
    ):
        Architecture.load(here / "a.json")
