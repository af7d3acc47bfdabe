"""Checkpoints: nested state as one safetensors file, with the plain values as JSON in its header.
Nothing is unpickled.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from automtl import tensor_file
from automtl.bounds import need_file
from automtl.errors import ArtifactError, AutoMTLError

_TENSOR = "$tensor"


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write nested dicts and lists of tensors and JSON values, atomically, with a checksum over all
    of it. The tensors are not copied: they must not change meanwhile.

    Raises:
        EnvironmentFault: the file cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    tree = json.dumps(_pack(state, "", tensors), allow_nan=True)
    tensor_file.write(path, tensors, {"tree": tree, "sha256": _digest(tree, tensors)})


def load(path: Path) -> dict[str, Any]:
    """Read what ``save`` wrote.

    Raises:
        ArtifactError: the file is absent, torn, altered, or no checkpoint.
    """
    need_file(path)
    try:
        metadata, tensors = tensor_file.read(path)
        tree = metadata["tree"]
        intact = metadata["sha256"] == _digest(tree, tensors)
        state = _unpack(json.loads(tree), tensors)
    except (
        OSError,
        KeyError,
        TypeError,
        ValueError,
        RecursionError,
        safetensors.SafetensorError,
    ) as error:
        raise ArtifactError(
            path, "must be a whole checkpoint", error, "go back to an older one or start anew"
        ) from error
    if not intact:
        raise ArtifactError(
            path,
            "must match its own checksum",
            "altered content",
            "go back to an older one or start anew",
        )
    if not isinstance(state, dict):
        raise ArtifactError(path, "must hold a mapping", type(state).__name__)
    return state


@contextlib.contextmanager
def applying(
    path: Path,
    rule: str = "must hold the state of this phase",
    fix: str = "restore it, or start anew",
) -> Iterator[None]:
    """Turn any failure to load a checkpoint's state into an error of its file.

    A checkpoint that is whole may be a stranger's, of another version or of other settings: its
    sums say nothing of that.

    Raises:
        ArtifactError: what it holds does not fit.
        AutoMTLError: another file is at fault.
    """
    try:
        yield
    except AutoMTLError as error:
        if error.of_file:  # another one, such as the lines that the checkpoint knows of
            raise
        raise ArtifactError(path, rule, str(error)[:300], fix) from error
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        message = (str(error).strip() or type(error).__name__).splitlines()[-1].strip()
        raise ArtifactError(path, rule, message[:300], fix) from error


def _digest(tree: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(tree.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        for piece in tensor_file.pieces(tensors[name]):
            digest.update(piece)
    return digest.hexdigest()


def _pack(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """The JSON tree of a state; its tensors move to `tensors` under their paths."""
    if isinstance(value, torch.Tensor):
        name = path or "value"
        bits = value.dtype == torch.bfloat16
        tensors[name] = value.detach().view(torch.int16) if bits else value.detach()
        return {_TENSOR: name, "bfloat16": True} if bits else {_TENSOR: name}
    if isinstance(value, Mapping):
        return {
            "$map": [
                [_key(k), _pack(v, f"{path}.{k}" if path else str(k), tensors)]
                for k, v in value.items()
            ]
        }
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_pack(v, f"{path}.{i}", tensors) for i, v in enumerate(value)]
    return value


def _key(key: Any) -> str | int:
    assert isinstance(key, str | int), f"state keys are words or whole numbers, got {key!r}"
    return key


def _unpack(tree: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(tree, list):
        return [_unpack(item, tensors) for item in tree]
    if isinstance(tree, dict) and _TENSOR in tree:
        # once each: a tree that names one a million times is no state
        tensor = tensors.pop(tree[_TENSOR])
        return tensor.view(torch.bfloat16) if tree.get("bfloat16") else tensor
    if isinstance(tree, dict):
        return {key: _unpack(item, tensors) for key, item in tree["$map"]}
    return tree
