"""The served network as a graph for other runtimes: ONNX, and torch's own exported programs."""

import importlib.util
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from automtl.data.store.schema import Schema
from automtl.errors import ArtifactError, ConfigError, EnvironmentFault
from automtl.exports.network import Served, encode_masks, example, names

MAX_BYTES = 2**31 - 2**24  # of weights: an ONNX file holds 2 GB
LIBRARIES = ("onnx", "onnxscript", "onnxruntime")
Runner = Callable[[Mapping[str, np.ndarray]], list[np.ndarray]]


def require_libraries(*libraries: str) -> None:
    """Refuse to go on without libraries of the extra `onnx`.

    Raises:
        EnvironmentFault: one is not installed.
    """
    absent = [name for name in libraries if importlib.util.find_spec(name) is None]
    if absent:
        raise EnvironmentFault(
            ", ".join(absent), "must be installed for ONNX", "none", "pip install 'automtl[onnx]'"
        )


def program(served: Served) -> torch.export.ExportedProgram:
    """The network traced with a free number of rows, and free lengths of lists."""
    encode_masks(served)
    batch = torch.export.Dim("batch")
    given = example(served.schema)
    sizes = [
        {0: batch} if part.dim() == 1 else {0: batch, 1: torch.export.Dim(f"length_{i}")}
        for i, part in enumerate(given)
    ]
    with torch.no_grad(), _quiet():
        traced = torch.export.export(served, given, dynamic_shapes=(tuple(sizes),))
    for node in traced.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine
    return traced


def pt2_bytes(traced: torch.export.ExportedProgram) -> bytes:
    """The file of an exported program."""
    stream = io.BytesIO()
    torch.export.save(f=stream, ep=traced)
    return stream.getvalue()


def onnx_bytes(traced: torch.export.ExportedProgram, schema: Schema) -> bytes:
    """The file of an ONNX model, without traces of where it was made.

    Raises:
        ConfigError: it is too large for one ONNX file.
    """
    inputs, outputs = names(schema)
    size = sum(part.numel() * part.element_size() for part in traced.state_dict.values())
    if size > MAX_BYTES:
        fix = "use --format pt2 or python, or a smaller embedding width"
        raise ConfigError(
            "--format onnx",
            "must make a model below 2 GB",
            f"{size / 2**30:.1f} GB of weights",
            fix,
        )
    with _quiet():
        program = torch.onnx.export(traced, (), dynamo=True, verbose=False)
    assert program is not None
    model: Any = program.model_proto
    _strip(model)
    _rename_values(model.graph, inputs, outputs)
    _name_sizes(model.graph)
    return bytes(model.SerializeToString())


def _strip(model: Any) -> None:
    """Drop stack traces, paths of this machine and shapes of inner values."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    graph.ClearField("value_info")


def _rename_values(graph: Any, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Name inputs and outputs; torch would let a feature have the name of an inner value, such as
    `linear`.
    """
    outer = dict(
        zip([v.name for v in (*graph.input, *graph.output)], [*inputs, *outputs], strict=True)
    )
    taken = set(outer.values())

    def renamed(name: str) -> str:
        return outer.get(name) or (f"inner.{name}" if name in taken else name)

    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = renamed(value.name)
    for node in graph.node:
        node.input[:] = map(renamed, node.input)
        node.output[:] = map(renamed, node.output)


def _name_sizes(graph: Any) -> None:
    """Call the free sizes batch and length_<feature>."""
    sizes: dict[str, str] = {}
    for value in graph.input:
        for axis, size in enumerate(value.type.tensor_type.shape.dim):
            sizes.setdefault(size.dim_param, "batch" if axis == 0 else f"length_{value.name}")
    for value in (*graph.input, *graph.output):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = sizes[size.dim_param]


def onnx_runner(source: bytes | Path, outputs: Sequence[str]) -> Runner:
    """What runs an ONNX model: features by name -> outputs in the order asked for.

    Raises:
        ArtifactError: it is no model that onnxruntime reads.
    """
    require_libraries("onnxruntime")
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(
            source if isinstance(source, bytes) else str(source), providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's own classes have no common base
        where = "model.onnx" if isinstance(source, bytes) else source
        raise ArtifactError(
            where, "must be a model that onnxruntime reads", " ".join(str(error).split())[:300]
        ) from error
    return lambda features: list(session.run(list(outputs), dict(features)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' remarks on their own working from the user."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(before)
