"""What a person does with a public module beside training it: states, copies, types, compilation,
experts of every form.
"""

import copy
import io

import pytest
import torch
from torch import nn

from automtl import nn as mtl
from automtl.spaces.catalogue import SHARING
from tests.nn.modules import (
    CLASSES,
    TASKS,
    WIDTH,
    every_kind,
    factory,
    levels,
    plain,
    rows,
    torch_mlp,
)
from tests.sharing.modules import VARIANTS
from tests.support import compiles

each = pytest.mark.parametrize("name", every_kind)


def train(share, steps: int = 3, stages: int | None = None) -> None:
    """A few steps of the first stages."""
    for stage in share.stages()[:stages]:
        share.begin(stage)
        optimizer = torch.optim.Adam(mtl.parameter_groups(share, lr=1e-2))
        for step in range(steps):
            share.train().advance(step / steps)
            outputs = share(rows_of(share))
            logits = [out.sum(1) for out in outputs]
            (sum(o.square().mean() for o in logits) + share.auxiliary_loss(logits)).backward()
            optimizer.step()
            optimizer.zero_grad()


def rows_of(share, seed: int = 3) -> torch.Tensor:
    shape = share.field_shape or (share.width_in,)
    like = next(share.parameters())
    drawn = torch.randn(16, *shape, generator=torch.Generator().manual_seed(seed))
    return drawn.to(like.device, like.dtype)


def same(first, second) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@each
@pytest.mark.parametrize("stages", [1, None])
def test_a_state_goes_through_a_file_into_a_fresh_module(name: str, stages: int | None) -> None:
    share = plain(name)
    train(share, stages=stages)
    file = io.BytesIO()
    torch.save(share.state_dict(), file)
    file.seek(0)
    torch.manual_seed(9)
    other = plain(name)
    other.load_state_dict(torch.load(file, weights_only=True))
    x = rows_of(share)
    assert same(share.eval()(x), other.eval()(x))


@each
def test_a_copy_is_whole_and_its_own(name: str) -> None:
    share = plain(name)
    train(share)
    other, x = copy.deepcopy(share), rows_of(share)
    before = share.eval()(x)
    assert same(other.eval()(x), before)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    assert same(share(x), before)


@each
def test_it_trains_in_float64_over_a_persons_own_modules(name: str) -> None:
    width = 6
    if VARIANTS[name][0] in ("shared_bottom", "mome"):
        experts = torch_mlp(WIDTH, width)
    else:
        experts = factory(width)
    share = plain(name, experts, **({"levels": levels(name)} if levels(name) else {})).double()
    train(share)
    assert [out.dtype for out in share(rows_of(share))] == [torch.float64] * 2
    assert share.width_out == [width] * 2


@each
def test_it_moves_to_a_device(name: str) -> None:
    share = plain(name).to("meta")
    assert {t.device.type for t in [*share.parameters(), *share.buffers()]} == {"meta"}
    assert [out.device.type for out in share(rows_of(share))] == ["meta"] * 2


@each
def test_lists_of_modules_functions_and_widths_are_alike(name: str) -> None:
    kind = VARIANTS[name][0]
    torch.manual_seed(0)
    made = plain(name)
    share = plain(name, experts_of(kind, made))
    share.load_state_dict(made.state_dict())
    x = rows_of(made)
    assert same(share.eval()(x), made.eval()(x))


def experts_of(kind: str, made):
    """The experts of a module as a person gives them in lists; of MoME its base, fresh."""
    if kind == "mome":
        return mtl.SharedBottom([7, 5], width_in=WIDTH, tasks=1).experts[0]
    own = copy.deepcopy(list(made.experts))
    if "levels" not in SHARING[kind].settings:
        return own[0] if kind == "shared_bottom" else own
    tops = sorted({slot.level for slot in made.slots})
    return [[e for e, s in zip(own, made.slots, strict=True) if s.level == top] for top in tops]


def test_a_users_expert_is_the_one_that_is_trained() -> None:
    experts = [torch_mlp(WIDTH, 5) for _ in range(3)]
    share = mtl.MMoE(experts, width_in=WIDTH, tasks=TASKS)
    assert all(a is b for a, b in zip(share.experts, experts, strict=True))
    assert all(not hasattr(expert, "width_out") for expert in experts)
    assert all(expert.training and expert[1].num_batches_tracked == 0 for expert in experts)


def test_lazy_experts_are_made_and_are_not_alike() -> None:
    share = mtl.MMoE([nn.LazyLinear(5) for _ in range(3)], width_in=WIDTH, tasks=2)
    assert share.width_out == [5, 5]
    assert not torch.equal(share.experts[0].weight, share.experts[1].weight)


def test_noise_is_of_the_generator_that_was_passed() -> None:
    share = plain("snr_trans", generator=torch.Generator().manual_seed(3))
    x, state = rows("snr_trans"), torch.get_rng_state()
    first = share(x)
    share.generator.manual_seed(3)
    assert same(first, share(x)) and torch.equal(state, torch.get_rng_state())


def test_groups_of_a_network_with_two_sharing_modules() -> None:
    net = nn.ModuleDict(
        {
            "a": mtl.DSelectK(5, width_in=WIDTH, tasks=2),
            "b": nn.Sequential(mtl.SNRAver(5, width_in=WIDTH, tasks=2)),
            "head": nn.Linear(5, 1),
        }
    )
    groups = mtl.parameter_groups(net, lr=3e-4)
    assert [(g["name"], g["lr"]) for g in groups] == [
        ("a.selectors", 0.01),
        ("a.scores", 0.01),
        ("b.0.connections", 0.01),
        ("weights", 3e-4),
    ]
    held = [id(p) for g in groups for p in g["params"]]
    assert len(held) == len({*held}) and {*held} == {id(p) for p in net.parameters()}


def test_tables_of_the_package_are_not_decayed() -> None:
    price, user = (
        mtl.Field(name="price", kind="numeric"),
        mtl.Field(name="user", kind="categorical", vocabulary_size=9),
    )
    task = mtl.Task(name="click", kind="binary")
    net = mtl.Supernet(
        "automtl_small", mtl.Schema(name="s", fields=(user, price), tasks=(task,)), sparse=False
    )
    tables = next(g for g in mtl.parameter_groups(net, lr=1e-3) if g["name"] == "input.tables")
    assert tables["weight_decay"] == 0.0 and [id(p) for p in tables["params"]] == [
        id(p) for p in net.tables()
    ]


def test_mome_removes_whole_neurons_of_a_plain_sequence() -> None:
    """Against the same network by hand: dead hidden units have no part in what is left."""
    torch.manual_seed(0)
    base = nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 4)
    )
    share = mtl.MoME(base, width_in=6, tasks=2, masks=0)
    share.begin("neuron masks")
    first, last = share.base[0], share.base[-1]
    with torch.no_grad():
        first.neurons.mu.copy_(torch.tensor([1.0, -1, 1, 1, 1, 0.5]))
        last.neurons.mu.copy_(torch.tensor([1.0, -1, 0.5, 1, -1, 1, 1, 1]))
    x = torch.randn(16, 6)
    expected = share.eval()(x)
    share.begin("fine-tuning")
    assert same_to(share(x), expected)
    assert first.weight.shape == (6, 5) and last.weight.shape == (4, 6)
    norm = share.experts[0].get_submodule("1")
    assert norm.num_features == 6 and norm.running_mean.shape == (6,)


def same_to(first, second) -> bool:
    return all(torch.allclose(a, b, atol=1e-6) for a, b in zip(first, second, strict=True))


def test_mome_knows_no_neurons_behind_what_mixes_them() -> None:
    base = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 4))
    share = mtl.MoME(base, width_in=6, tasks=2, masks=2)
    assert share.links == []


@compiles
@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("training", [True, False])
def test_it_compiles_whole(name: str, training: bool) -> None:
    share = plain(name).train(training)
    x = rows_of(share)
    torch.manual_seed(1)
    expected = share(x)
    torch._dynamo.reset()
    torch.manual_seed(1)
    found = torch.compile(share, backend="aot_eager", fullgraph=True)(x)
    assert same_to(found, expected)
