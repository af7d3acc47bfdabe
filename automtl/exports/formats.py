"""The formats that a model can be handed over in; one table from name to writer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from automtl import files
from automtl.exports.graph import LIBRARIES, Runner, need, onnx_bytes, onnx_runner, program, pt2_bytes
from automtl.exports.network import Served, names, tensors

ONNX, PT2 = "model.onnx", "model.pt2"


@dataclass(frozen=True)
class Format:
    """One format.

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
        need(*self.needs)


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

model = torch.export.load("model.pt2").module()  # this unpickles: load only files that you or people you trust have written
arrays = Encoder()([row])
for values in model(*(torch.from_numpy(array) for array in arrays.values())):
    print(values[0])
"""

_PT2_LIMITS = (
    "`torch.export.load` unpickles parts of `model.pt2`, which can run code: never load such a file from a stranger (automtl itself never "
    "does); compare `manifest.json` first. Other versions of torch than the one named below may not read it.",
)

FORMATS: dict[str, Format] = {
    "onnx": Format("ONNX", _write_onnx, _ONNX_EXAMPLE, "onnxruntime", needs=LIBRARIES),
    "pt2": Format("torch.export program", _write_pt2, _PT2_EXAMPLE, "torch", limits=_PT2_LIMITS),
}
