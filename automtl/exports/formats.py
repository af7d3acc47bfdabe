"""The formats that a model can be handed over in; one table from name to writer."""

import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from automtl import files, tensor_file
from automtl.exports._plain import plain_model
from automtl.exports.graph import (
    LIBRARIES,
    Runner,
    onnx_bytes,
    onnx_runner,
    program,
    pt2_bytes,
    require_libraries,
)
from automtl.exports.network import Served, names, tensors

ONNX = "model.onnx"
PT2 = "model.pt2"
PYTHON = "model.py"
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Format:
    """A format of exports.

    Args:
        title: for people.
        write: writes the model's files into a folder and returns what runs them.
        needs: libraries without which it cannot be written.
        exact: it must answer bit for bit as the network does.
        example: Python lines that score `row` in the folder.
        runs_with: what those lines need beside numpy.
        limits: what else its reader must know.
    """

    title: str
    write: Callable[[files.StagedFolder, Served], Runner]
    example: str
    runs_with: str
    needs: tuple[str, ...] = ()
    exact: bool = False
    limits: tuple[str, ...] = ()

    def check(self) -> None:
        """Refuse to go on where a library is not installed."""
        require_libraries(*self.needs)


def _write_onnx(folder: files.StagedFolder, served: Served) -> Runner:
    files.write_bytes(folder / ONNX, onnx_bytes(program(served), served.schema))
    return onnx_runner(folder / ONNX, names(served.schema)[1])


def _write_pt2(folder: files.StagedFolder, served: Served) -> Runner:
    traced = program(served)
    files.write_bytes(folder / PT2, pt2_bytes(traced))
    module = traced.module()

    def run(features: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return [output.detach().numpy() for output in module(*tensors(features, served.schema))]

    return run


def _write_python(folder: files.StagedFolder, served: Served) -> Runner:
    text, weights = plain_model(
        served, f"{served.schema.name}: the trained model as plain PyTorch."
    )
    files.write_text(folder / PYTHON, text)
    tensor_file.write(folder / WEIGHTS, weights)
    model = imported(folder / PYTHON).load(folder / WEIGHTS)

    def run(features: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        answers = model({name: torch.from_numpy(array) for name, array in features.items()})
        return [answers[name].numpy() for name in names(served.schema)[1]]

    return run


def imported(path: Path) -> Any:
    """The module of a file that was just written; nothing is left beside it."""
    spec = importlib.util.spec_from_file_location("exported_model", path)
    assert spec is not None and spec.loader is not None
    module, before = importlib.util.module_from_spec(spec), sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


_ONNX_EXAMPLE = """\
import onnxruntime
from encode import Encoder

session = onnxruntime.InferenceSession("model.onnx")
answers = session.run(None, Encoder()([row]))
for output, values in zip(session.get_outputs(), answers):
    print(output.name, values[0])
"""
_PT2_EXAMPLE = """\
import torch
from encode import Encoder

model = torch.export.load("model.pt2").module()  # this unpickles: load only what you trust
arrays = Encoder()([row])
for values in model(*(torch.from_numpy(array) for array in arrays.values())):
    print(values[0])
"""

_PYTHON_EXAMPLE = """\
import torch
from encode import Encoder
from model import load

model = load("weights.safetensors")
answers = model({name: torch.from_numpy(array) for name, array in Encoder()([row]).items()})
for name, values in answers.items():
    print(name, values[0])
"""
_PT2_LIMITS = (
    "`torch.export.load` unpickles parts of `model.pt2`, which can run code: never load such a "
    "file from a stranger (automtl itself never "
    "does); compare `manifest.json` first. Other versions of torch than the one named below may "
    "not read it.",
)

FORMATS: dict[str, Format] = {
    "onnx": Format("ONNX", _write_onnx, _ONNX_EXAMPLE, "onnxruntime", needs=LIBRARIES),
    "pt2": Format("torch.export program", _write_pt2, _PT2_EXAMPLE, "torch", limits=_PT2_LIMITS),
    "python": Format("plain PyTorch", _write_python, _PYTHON_EXAMPLE, "torch", exact=True),
}
