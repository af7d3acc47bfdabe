"""The trained network as one plain PyTorch file: `model.py`, which needs torch and
`weights.safetensors`.
"""

import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from textwrap import wrap
from typing import Any

import torch
from torch import Tensor, nn

from automtl.data.store.schema import Schema, Task
from automtl.exports._expressions import Lines, identifier, wrapped
from automtl.exports._part_names import part_names
from automtl.exports._reading import read_safetensors
from automtl.exports._recorder import LAYERS, Record, record
from automtl.exports.network import Served, example, inputs_of, output_name
from automtl.layers.operations import Chain
from automtl.sharing.base import mix
from automtl.strict import printable

RENAMED: dict[type[nn.Module], str] = {Chain: "Expert"}
_STEP = "    "


def plain_model(served: Served, title: str) -> tuple[str, dict[str, Tensor]]:
    """The file's text, and the weights by the names that it gives them."""
    net, schema = served.net, served.schema
    root, records = record(net, inputs_of(example(schema), schema))
    writer = _Writer(net, records, part_names(net, schema))
    model = writer.model(root, schema)
    classes = [*writer.classes.values(), model]
    helpers = [
        inspect.getsource(read_safetensors),
        *([inspect.getsource(mix)] if any("mix(" in text for text in classes) else []),
    ]
    return "\n\n".join(
        [HEAD.format(title=title.replace("\\", "/").replace('"', "'")), *helpers, *classes, LOAD]
    ), writer.weights


HEAD = '''\
"""{title}

Written by `automtl export --format python`. It needs torch, and the file of weights beside it:

    from encode import Encoder
    from model import load

    model = load("weights.safetensors")
    answers = model({{name: torch.from_numpy(array) for name, array in Encoder()([row]).items()}})

Legend: B rows, F fields, d embedding width, D width of the experts' input, L longest list.
"""

import json
import struct
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
'''

LOAD = '''\
def load(path: str | Path) -> Model:
    """The model with its weights, ready to answer."""
    model = Model()
    model.load_state_dict(read_safetensors(path))
    return model.eval().requires_grad_(False)
'''


@dataclass
class _Class:
    """A class being written: its members by name, as code and as the tensors they hold; their names
    by path.
    """

    members: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    state: dict[str, Tensor] = field(default_factory=dict)
    buffers: list[str] = field(default_factory=list)


class _Writer:
    """Writes the classes of a model's modules.

    Args:
        net: the network.
        records: of its modules that are classes of their own.
        names: what the parts of the whole are called in it, by path.
    """

    def __init__(
        self, net: nn.Module, records: Mapping[nn.Module, Record], names: Mapping[str, str]
    ) -> None:
        self._records, self._part_names = records, names
        self._paths: dict[Any, str] = {module: path for path, module in net.named_modules()}
        tensors = [
            *net.named_parameters(remove_duplicate=False),
            *net.named_buffers(remove_duplicate=False),
        ]
        self._tensors = {id(tensor): path for path, tensor in reversed(tensors)}
        self._referenced = [tensor for _, tensor in tensors]  # so that no id is given twice
        self.classes: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self.weights: dict[str, Tensor] = {}

    def model(self, root: Record, schema: Schema) -> str:
        """The class of the whole model."""
        owner = _Class()
        lines = Lines(
            root,
            lambda thing: self._member(owner, root, thing),
            lambda module: self._called(root, module),
        )
        arguments = lines.arguments()
        body = lines.body()
        self.weights = owner.state
        kinds = ", ".join(f"{identifier(task.name)} ({task.kind})" for task in schema.tasks)
        said = "\n".join(
            wrap(f'"""From features to answers: {kinds}."""', 120, subsequent_indent=_STEP)
        )
        forward = [
            "",
            *_method(
                "forward",
                ["features: dict[str, Tensor]"],
                "dict[str, Tensor]",
                list(_forward(schema, arguments)),
            ),
        ]
        inner = _method("logits", [f"{name}: Tensor" for name in arguments], "list[Tensor]", body)
        return (
            "\n".join(
                ["class Model(nn.Module):", _STEP + said, "", *_init(owner), *forward, "", *inner]
            )
            + "\n"
        )

    def _class(self, module: nn.Module) -> tuple[str, dict[str, Tensor]]:
        """The class of a module, written once per text, and the module's tensors by that class's
        names.
        """
        record, owner = self._records[module], _Class()
        lines = Lines(record, lambda thing: self._member(owner, record, thing), lambda inner: "")
        arguments = [f"{name}: Tensor" for name in lines.arguments()]
        doc = (
            (inspect.getdoc(type(module)) or "")
            .partition("\n")[0]
            .replace('"""', "'''")
            .replace("\\", "/")
        )
        body = lines.body()
        text = "\n".join(
            [
                _STEP + f'"""{doc}"""',
                "",
                *_init(owner),
                "",
                *_method("forward", arguments, "Tensor", body),
            ]
        )
        if text not in self._names:
            wish = RENAMED.get(type(module), type(module).__name__)
            same = sum(name.rstrip("0123456789_") == wish for name in self.classes)
            self._names[text] = name = wish if not same else f"{wish}_{same + 1}"
            self.classes[name] = f"class {name}(nn.Module):\n{text}\n"
        return self._names[text], owner.state

    def _called(self, record: Record, module: nn.Module) -> str:
        return self._wish(record, self._paths[module])

    def _wish(self, record: Record, path: str) -> str:
        """What to call something inside a module."""
        return identifier(
            path.removeprefix(f"{record.path}.")
            if record.path
            else self._part_names.get(path, path.replace("sharing.", ""))
        )

    def _member(self, owner: _Class, record: Record, thing: Any) -> str:
        """The name of a parameter, buffer or submodule, declared at its first use."""
        if isinstance(thing, Tensor):
            path = self._tensors.setdefault(
                id(thing), f"{record.path}.constant_{len(owner.members)}".lstrip(".")
            )
            self._referenced.append(thing)
        else:
            path = self._paths[thing]
        if path in owner.names:
            return owner.names[path]
        wish = self._wish(record, path)
        name = owner.names[path] = (
            wish if wish not in owner.members else f"{wish}_{len(owner.members)}"
        )
        if isinstance(thing, Tensor):
            owner.members[name], owner.state[name] = _declared(owner, name, thing), thing
        else:
            code, state = (
                (_layer(thing), thing.state_dict())
                if isinstance(thing, LAYERS)
                else self._used(thing)
            )
            owner.members[name] = f"self.{name} = {code}"
            owner.state |= {f"{name}.{key}": value for key, value in state.items()}
        return name

    def _used(self, module: nn.Module) -> tuple[str, dict[str, Tensor]]:
        name, state = self._class(module)
        return f"{name}()", state


def _declared(owner: _Class, name: str, tensor: Tensor) -> str:
    size = ", ".join(map(str, tensor.shape)) if tensor.dim() else "()"
    if isinstance(tensor, nn.Parameter):
        return f"self.{name} = nn.Parameter(torch.empty({size}))"
    owner.buffers.append(name)
    return f'self.register_buffer("{name}", torch.empty({size}, dtype={tensor.dtype}))'


def _layer(module: nn.Module) -> str:
    """The constructor of one of torch's own layers."""
    match module:
        case nn.Linear():
            return (
                f"nn.Linear({module.in_features}, "
                f"{module.out_features}{'' if module.bias is not None else ', bias=False'})"
            )
        case nn.BatchNorm1d():
            return f"nn.BatchNorm1d({module.num_features}, eps={module.eps!r})"
        case nn.LayerNorm():
            return (
                f"nn.LayerNorm({', '.join(map(str, module.normalized_shape))}, eps={module.eps!r})"
            )
        case nn.Conv1d():
            bias = "" if module.bias is not None else ", bias=False"
            return (
                f"nn.Conv1d({module.in_channels}, {module.out_channels}, "
                f"{module.kernel_size[0]}, padding={module.padding[0]}{bias})"
            )
    raise AssertionError(f"no constructor is known for {type(module).__name__}")


def _init(owner: _Class) -> list[str]:
    hints = [f"{_STEP}{name}: Tensor" for name in owner.buffers]
    return [
        *hints,
        *([""] if hints else []),
        *_method("__init__", [], "None", ["super().__init__()", *owner.members.values()]),
    ]


def _method(name: str, arguments: list[str], returns: str, body: list[str]) -> list[str]:
    lines = [part for line in body for part in wrapped(line, 2 * _STEP)]
    head = wrapped(f"def {name}({', '.join(['self', *arguments])})", _STEP)
    return [*head[:-1], f"{head[-1]} -> {returns}:", *lines]


def _forward(schema: Schema, arguments: list[str]) -> Iterator[str]:
    """From named features to named answers."""
    first = _quoted(schema.fields[0].name)
    for name, fields, kind in (
        (arguments[0], schema.categorical, torch.int64),
        (arguments[1], schema.numeric, torch.float32),
    ):
        named = ", ".join(_quoted(one.name) for one in fields)
        empty = f"features[{first}].new_zeros((len(features[{first}]), 0), dtype={kind})"
        yield (
            f"{name} = "
            f"{f'torch.stack([features[name] for name in [{named}]], dim=1)' if fields else empty}"
        )
    lists = [f"features[{_quoted(one.name)}]" for one in schema.lists]
    yield f"logits = self.logits({', '.join([*arguments[:2], *lists])})"
    answers = [
        f"{_quoted(output_name(task))}: {_answer(task, f'logits[{t}]')}"
        for t, task in enumerate(schema.tasks)
    ]
    yield f"return {{{', '.join(answers)}}}"


def _quoted(name: str) -> str:
    """A name as a text of Python."""
    return printable(json.dumps(name, ensure_ascii=False))


def _answer(task: Task, name: str) -> str:
    """The expression of `network.answer`."""
    if task.kind != "regression":
        offset = f" + {task.logit_offset!r}" if task.logit_offset else ""
        return (
            f"torch.sigmoid({name}{offset})" if task.kind == "binary" else f"{name}.softmax(dim=1)"
        )
    value = f"{name}.double() * {task.std!r} + {task.mean!r}"
    return f"torch.expm1({value}).float()" if task.transform == "log1p" else f"({value}).float()"
