"""Each public module computes bit for bit what the network of its architecture computes from the
same weights.
"""

import inspect

import pytest
import torch

from automtl.models.derived import build_model
from automtl.models.skeleton import MultiTaskNet
from automtl.nn import SNRAver
from automtl.spaces.architecture import Architecture, Expert, Sharing
from automtl.spaces.catalogue import SHARING
from automtl.spaces.signatures import FieldSignature, TaskSignature
from tests.nn.modules import CHOSEN, CLASSES, WIDTHS, levels, masks_fields, plain
from tests.sharing.modules import VARIANTS
from tests.support import random_batch, small_schema


def network(name: str, schema, generator: torch.Generator) -> MultiTaskNet:
    """The network of the variant's architecture over MLPs of the same widths."""
    kind, settings = VARIANTS[name]
    count = settings.get("experts", 3) if SHARING[kind].slots == "pool" else 1
    deep = levels(name)
    blocks = (
        [[f"dense({w})"] for w in WIDTHS[:deep]] if deep else [[f"dense({w})" for w in WIDTHS[:2]]]
    )
    experts = tuple(
        Expert(blocks=tuple(block), level=level if deep else None)
        for level, block in enumerate(blocks)
        for _ in range(count)
    )
    own = {"masks": 3} if kind == "mome" else {}
    architecture = Architecture(
        embedding_dim=4,
        interaction=("product(inner)",),
        projection=8,
        experts=experts,
        tasks=tuple(
            TaskSignature(name=t.name, kind=t.kind, classes=t.classes) for t in schema.tasks
        ),
        fields=tuple(FieldSignature(name=f.name, kind=f.kind) for f in schema.fields),
        chosen=CHOSEN if kind == "selected" else None,
        sharing=Sharing(kind=kind, settings={**own, **settings}),
        towers=(),
    )
    net = build_model(architecture, schema, seed=4, generator=generator)
    assert isinstance(net, MultiTaskNet)
    return net


def steps(net: MultiTaskNet, batches) -> list[torch.Tensor]:
    """What a network gives and leaves over its stages, in training and in evaluation."""
    found = []
    for stage in net.sharing.stages():
        net.sharing.begin(stage.name)
        optimizer = torch.optim.Adam(net.parameter_groups(), lr=1e-2)
        for step, batch in enumerate(batches):
            net.train().sharing.advance(step / len(batches))
            outputs = net(batch.inputs)
            extra = net.sharing.auxiliary_loss(outputs, batch.labels)
            loss = sum(out.square().mean() for out in outputs)
            found += [*outputs, torch.zeros(()) if extra is None else extra]
            (loss if extra is None else loss + extra).backward()
            optimizer.step()
            optimizer.zero_grad()
        found += net.eval()(batches[0].inputs)
    return [value.detach().clone() for value in [*found, *net.state_dict().values()]]


def test_every_kind_has_a_public_class() -> None:
    absent = sorted(set(SHARING) - set(CLASSES) - {"single_task"})
    rule = "automtl.nn must have a class for every kind, and tests/nn/modules.py name it"
    assert not absent, f"{rule}; none for {absent}"
    assert set(CLASSES) <= set(SHARING)


@pytest.mark.parametrize("name", [name for name, (kind, _) in VARIANTS.items() if kind in CLASSES])
def test_a_public_module_is_the_one_of_the_network(name: str) -> None:
    schema = small_schema()
    tasks = [task.name for task in schema.tasks]
    first, second = (network(name, schema, torch.Generator().manual_seed(5)) for _ in range(2))
    fields = second.sharing.field_shape
    sizes = {"width_in": 8, **({"field_shape": fields} if masks_fields(name) else {})}
    spelled = inspect.signature(CLASSES[VARIANTS[name][0]].__init__).parameters
    noise = {"generator": second.sharing.generator} if "generator" in spelled else {}
    public = plain(name, tasks=tasks, **sizes, **noise)
    assert public.state_dict().keys() == second.sharing.state_dict().keys()
    public.load_state_dict(second.sharing.state_dict())
    second.sharing = public
    batches = [random_batch(schema, seed=seed) for seed in range(4)]
    a, b = steps(first, batches), steps(second, batches)
    assert len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("kind", CLASSES)
def test_the_defaults_are_those_of_the_catalogue(kind: str) -> None:
    spelled = inspect.signature(CLASSES[kind].__init__).parameters
    for name, setting in SHARING[kind].settings.items():
        if name == "levels":
            assert spelled[name].default is None and setting.default == 2
        elif name == "experts":
            assert spelled["num_experts"].default is None
        elif name != "fields":  # said by whether there is a field_shape
            assert spelled[name].default == setting.default, name
    assert SNRAver.usual_experts == 3
