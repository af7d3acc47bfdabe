"""The plain PyTorch file: bit for bit the network, for every sharing kind, without the package, and
fit to be read.
"""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from automtl import files
from automtl.data.store.schema import Field, Schema, Task
from automtl.exports._expressions import identifier, wrapped
from automtl.exports._plain import plain_model
from automtl.exports._reading import read_safetensors
from automtl.exports.formats import FORMATS, PYTHON, WEIGHTS, imported
from automtl.exports.network import Served
from automtl.exports.parity import compare
from tests.exports.nets import KINDS, SCHEMA, architecture, features, trained

OPERATIONS = [
    ("product(inner)",),
    ("product(outer)", "cross(2)"),
    ("self_attention(2)", "skip"),
    ("mlp(4)",),
    (),
]


def check(served: Served, folder: Path) -> str:
    """Write, run on other rows than it was recorded with, and read; the text."""
    with files.StagedFolder(folder / "out") as staged:
        run = FORMATS["python"].write(staged, served)
    for count in (1, 2, 200):
        compare(run, served, features(served.schema, count, seed=count), exact=True)
    assert sorted(path.name for path in (folder / "out").iterdir()) == [PYTHON, WEIGHTS]
    text = (folder / "out" / PYTHON).read_text()
    imports = {
        n.module or "" if isinstance(n, ast.ImportFrom) else n.names[0].name
        for n in ast.walk(ast.parse(text))
        if is_import(n)
    }
    assert {name.partition(".")[0] for name in imports} == {
        "json",
        "struct",
        "collections",
        "pathlib",
        "torch",
    }
    assert max(map(len, text.splitlines())) <= 150
    return text


def is_import(node: ast.AST) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_the_network_bit_for_bit(name: str, tmp_path: Path) -> None:
    number = list(KINDS).index(name)
    numeric = ("linear", "joint", "periodic")[number % 3]
    text = check(
        trained(architecture(name, interaction=OPERATIONS[number % 5], numeric=numeric)), tmp_path
    )
    assert (
        "class Expert" in text and "class Tower" in text and "self.tower_click" in text
    ) or KINDS[name][0] == "single_task"


def test_the_parts_are_called_what_they_are(tmp_path: Path) -> None:
    text = check(trained(architecture("mmoe", interaction=("product(inner)",))), tmp_path)
    for line in (
        "class InnerProduct(nn.Module):",
        "gate_click = self.gate_click(projection)",
        "tower_click = self.tower_click(mix(gate_click, [expert_0, expert_1, expert_2, "
        "expert_3, expert_4]))",
        "return self.ending_norm(x * torch.sigmoid(self.linear(x)))",
    ):
        assert line in text
    levels = check(trained(architecture("ple")), tmp_path / "ple")
    assert "self.expert_click_level0_0 = Expert" in levels and "self.gate_shared_0 = Gate" in levels


def test_names_that_python_or_torch_use_already(tmp_path: Path) -> None:
    odd = ["class", "A b", "a_b", "1st", "é", "torch", "self", "mix", "train"]
    tasks = tuple(Task(name=name, kind="binary") for name in odd)
    fields = tuple(
        Field(name=name, kind="numeric")
        for name in ('quo"te', "back\\slash", "new\nline", "{brace}")
    )
    check(trained(architecture("mmoe"), Schema(name="odd", fields=fields, tasks=tasks)), tmp_path)
    assert identifier("forward") == "forward_" and identifier("2 x") == "x2_x"


class Odd(nn.Module):
    """Calls of every form: reflected, in place, several outputs, constants, a loop over a tensor's
    rows.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.3, -0.7]))
        self.unregistered = [torch.tensor([1.5])]

    def forward(self, inputs: object) -> list[torch.Tensor]:
        x = inputs.dense
        values, places = x.topk(2, dim=1)
        clone = x.clone()
        clone.mul_(2.0)
        total = sum(part * 2 for part in self.weight)
        first, *_ = x.split([1, x.shape[1] - 1], dim=1)
        nothing = torch.full_like(x, float("-inf"))
        out = 1 - x / 3 + 2 / (x.square() + 1) + 2 ** x.tanh() - clone + self.unregistered[0]
        out = out + (x.sigmoid() + 1) ** x + x.sigmoid() ** -0.5
        unused = x.exp()
        assert unused is not None
        kept = torch.where(x > float("inf"), nothing, out)
        rest = (
            torch.cat([x, x]).view(2, x.shape[0], -1).mean(dim=(0, 2))
            + x[..., 1:3].mean(dim=1, keepdim=True)[:, 0]
        )
        return [
            kept.sum(dim=1) + values[:, 0] + places.sum(dim=1) * total + first.squeeze(1) + rest
        ]


def test_calls_of_every_form(tmp_path: Path) -> None:
    schema = Schema(
        name="odd",
        fields=tuple(Field(name=n, kind="numeric") for n in "abcd"),
        tasks=(Task(name="t", kind="regression", std=2.0),),
    )
    served = Served(Odd().eval().requires_grad_(False), schema)
    text, weights = plain_model(served, "odd")
    assert "exp()" not in text and "mul_(2.0)" in text and 'float("' not in text
    assert sorted(weights) == ["x.constant_1", "x.weight"]
    files.write_text(tmp_path / PYTHON, text)
    model = imported(tmp_path / PYTHON).Model()
    model.load_state_dict(weights)
    given = features(schema, 20)
    found = model({name: torch.from_numpy(array) for name, array in given.items()})
    with torch.no_grad():
        assert torch.equal(
            found["value_t"], served(*(torch.from_numpy(given[n]) for n in "abcd"))[0]
        )


def test_weights_are_read_as_the_library_wrote_them(tmp_path: Path) -> None:
    kinds = (torch.float32, torch.float64, torch.int64, torch.int32, torch.bool)
    tensors = {str(kind): (torch.arange(6) % 2).reshape(2, 3).to(kind) for kind in kinds}
    tensors |= {"one": torch.tensor(3.5), "none": torch.zeros(0, 4)}
    save_file(tensors, tmp_path / "w.safetensors", metadata={"a": "b"})
    found = read_safetensors(tmp_path / "w.safetensors")
    assert found.keys() == tensors.keys() and all(
        torch.equal(found[k], v) and found[k].dtype == v.dtype for k, v in tensors.items()
    )


def test_it_answers_where_the_package_cannot_be_imported(tmp_path: Path) -> None:
    served = trained(architecture("dselect_k, per example"))
    check(served, tmp_path)
    given = features(count=3)
    np.savez(tmp_path / "rows.npz", **{str(i): array for i, array in enumerate(given.values())})
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['automtl', 'safetensors', 'pyarrow']))\n"
        "import numpy as np, torch; from model import load\n"
        f"rows = np.load('../rows.npz'); names = {list(given)!r}\n"
        "answers = load('weights.safetensors')({n: torch.from_numpy(rows[str(i)]) for i, n in "
        "enumerate(names)})\n"
        "print([v.double().numpy().tolist() for v in answers.values()])"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=tmp_path / "out",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    with torch.inference_mode():
        expected = served(*(torch.from_numpy(given[field.name]) for field in SCHEMA.fields))
    assert ast.literal_eval(done.stdout) == [value.double().numpy().tolist() for value in expected]


def test_long_statements_are_broken_at_their_commas() -> None:
    line = f"joined = torch.cat([{', '.join(f'part_{i}' for i in range(30))}], dim=1)"
    lines = wrapped(line, "    ")
    assert len(lines) > 3 and ast.dump(
        ast.parse("\n".join(lines).replace("    joined", "joined", 1))
    ) == ast.dump(ast.parse(line))
    assert wrapped('x = f("a, (b")', "") == ['x = f("a, (b")']
