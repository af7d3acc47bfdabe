"""Supernet and derived model are one network seen twice: held against each other and against
numpy.
"""

import numpy as np
import pytest
import torch

from automtl.data.store.batches import Inputs
from automtl.errors import ConfigError
from automtl.layers.nested import NestedMLP
from automtl.layers.operations import MLP
from automtl.models.cost import cost
from automtl.models.derived import build_model
from automtl.models.supernet import build_supernet
from automtl.spaces.architecture import Architecture, Expert, Sharing
from tests.support import random_batch, small_schema, small_space


def one_hot(net, picks):
    """Set every alpha so that softmax is exactly one-hot at `picks[block]`."""
    with torch.no_grad():
        for block, alpha in net.alphas.items():
            alpha.zero_()
            alpha[picks[block]] = 1000.0


def copy_weights(net, model, picks, used):
    """Copy the supernet's weights of the picked candidates into a derived model whose pool holds
    experts `used`.
    """
    model.input.load_state_dict(net.input.state_dict())
    model.projection.load_state_dict(net.projection.state_dict())
    model.towers.load_state_dict(net.towers.state_dict())
    for i, block in enumerate(model.interaction):
        block.load_state_dict(net.interaction[i].candidates[picks[f"interaction.{i}"]].state_dict())
    for position, expert in enumerate(used):
        for j, operation in enumerate(model.sharing.experts[position].operations):
            block = net.sharing.experts[expert].operations[j]
            operation.load_state_dict(
                candidate_state(block.candidates[picks[f"level0.pool.{expert}.block.{j}"]])
            )


def candidate_state(candidate):
    """A candidate's weights as a derived model owns them: a nested MLP's are the first h hidden
    units of its block's widest.
    """
    if not isinstance(candidate, NestedMLP):
        return candidate.state_dict()
    h, wide = candidate.hidden, candidate.wide.state_dict()
    units = {
        name: value[:h] if value.dim() else value
        for name, value in wide.items()
        if name.startswith("inner")
    }
    ending = {
        name: value for name, value in candidate.state_dict().items() if name.startswith("ending")
    }
    return (
        units | ending | {"outer.weight": wide["outer.weight"][:, :h], "outer.bias": candidate.bias}
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("seed", "widths"),
    [*((seed, "full") for seed in range(6)), *((seed, "nested") for seed in range(6))],
)
def test_a_one_hot_supernet_is_the_derived_model(seed, widths, training):
    schema, space = small_schema(), small_space(num_interaction_blocks=2, widths=widths)
    net = build_supernet(space, schema, seed=seed)
    rng = np.random.default_rng(seed)
    picks = {b: int(rng.integers(len(a))) for b, a in net.alphas.items()}
    one_hot(net, picks)
    net.set_auxiliary_skip(0.0)
    chosen = [int(rng.integers(3)) for _ in schema.tasks]
    with torch.no_grad():
        net.sharing.beta.zero_()
        for t, expert in enumerate(chosen):
            net.sharing.beta[t, expert] = 1000.0
    candidates = {
        b: space.interaction if b.startswith("interaction") else space.expert for b in picks
    }
    bound = Architecture(
        embedding_dim=4,
        projection=8,
        towers=(6,),
        interaction=tuple(candidates[b][picks[b]] for b in ("interaction.0", "interaction.1")),
        experts=tuple(
            Expert(
                blocks=tuple(space.expert[picks[f"level0.pool.{i}.block.{j}"]] for j in range(2))
            )
            for i in range(3)
        ),
    ).bind(schema)
    model = build_model(bound.evolve(chosen=tuple((e,) for e in chosen)), schema)
    copy_weights(net, model, picks, sorted(set(chosen)))
    inputs = random_batch(schema, seed=seed).inputs
    for mine, theirs in zip(
        model.train(training)(inputs), net.train(training)(inputs), strict=True
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_retrain_gates_against_numpy():
    schema = small_schema()
    bound = Architecture(
        embedding_dim=4,
        projection=8,
        towers=(),
        experts=tuple(Expert(blocks=("mlp(4)",)) for _ in range(4)),
    ).bind(schema)
    model = build_model(bound.evolve(chosen=((1, 3), (3,))), schema, seed=1).eval()
    inputs = random_batch(schema).inputs
    fields = model.input(inputs)
    h = model.encode(fields)
    # only experts 1 and 3 are built
    first, third = (expert(h).detach().numpy() for expert in model.sharing.experts)
    logits = h.detach().numpy() @ model.sharing.gates[0].linear.weight.detach().numpy().T
    gate = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    mine = model.sharing(fields, model.encode)
    np.testing.assert_allclose(
        mine[0].detach().numpy(), gate[:, :1] * first + gate[:, 1:] * third, atol=1e-5
    )
    np.testing.assert_allclose(mine[1].detach().numpy(), third, atol=1e-6)
    assert not list(model.sharing.gates[1].parameters()), "one chosen expert has no gate"


def test_expert_selection_against_numpy():
    schema = small_schema(num_tasks=3)
    net = build_supernet(small_space(), schema).eval()
    with torch.no_grad():
        net.sharing.beta.copy_(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))
    fields = net.input(random_batch(schema).inputs)
    experts = np.stack(
        [expert(net.encode(fields)).detach().numpy() for expert in net.sharing.experts]
    )
    p = np.exp(net.sharing.beta.detach().numpy())
    p /= p.sum(1, keepdims=True)
    for t, mine in enumerate(net.sharing(fields, net.encode)):
        np.testing.assert_allclose(
            mine.detach().numpy(), np.einsum("n,nbd->bd", p[t], experts), atol=1e-5
        )


@pytest.mark.parametrize("num_tasks", [1, 2, 7])
def test_each_expert_is_computed_once_whatever_the_number_of_tasks(num_tasks):
    schema = small_schema(num_tasks=num_tasks)
    net = build_supernet(small_space(), schema)
    calls = []
    for expert in net.sharing.experts:
        expert.register_forward_hook(lambda *_: calls.append(1))
    assert len(net.eval()(random_batch(schema).inputs)) == num_tasks
    assert len(calls) == 3
    # experts in step, which no hook of one expert sees
    assert len(net.train()(random_batch(schema).inputs)) == num_tasks
    counts = [
        int(buffer)
        for name, buffer in net.sharing.experts.named_buffers()
        if name.endswith("num_batches_tracked")
    ]
    assert counts
    assert set(counts) == {1}


@pytest.mark.parametrize("widths", ["full", "nested"])
def test_parameters_are_told_apart_by_object_and_all_of_them(widths):
    net = build_supernet(
        small_space(widths=widths), small_schema(field_names=("alpha", "beta", "table"))
    )
    groups = [net.alpha_parameters(), net.beta_parameters(), net.tables(), net.weights()]
    assert sorted(id(p) for g in groups for p in g) == sorted(id(p) for p in net.parameters())
    assert [len(groups[0]), len(groups[1]), len(groups[2])] == [1 + 3 * 2, 1, 1]


@pytest.mark.parametrize(("tie", "count"), [("none", 1 + 6), ("all", 1 + 2)])
def test_tied_alphas_share_one_object(tie, count):
    net = build_supernet(small_space(tie_alphas=tie), small_schema())
    assert len(net.alpha_parameters()) == count and len(net.alphas) == 7


def test_same_seed_same_bits_and_torchs_own_generator_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second = (
        build_supernet(small_space(), small_schema(), seed=3).state_dict() for _ in range(2)
    )
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert torch.equal(torch.rand(1), expected)
    other = build_supernet(small_space(), small_schema(), seed=4).state_dict()
    assert not torch.equal(first["sharing.beta"], other["sharing.beta"])


def test_alpha_and_beta_start_near_zero():
    net = build_supernet(small_space(num_experts=40), small_schema())
    values = torch.cat(
        [p.detach().flatten() for p in [*net.alpha_parameters(), *net.beta_parameters()]]
    )
    assert 0.0008 < values.std() < 0.0012 and abs(values.mean()) < 2e-4


def test_hand_made_models_build_from_their_templates_and_count_as_by_hand():
    schema = small_schema()
    flat = 4 * 16
    hand = {
        "shared_bottom": (flat + 1) * 512 + 2 * 512 + (512 + 1) * 256 + 2 * 256,
        "mmoe": 8 * ((flat + 1) * 512 + 2 * 512 + (512 + 1) * 256 + 2 * 256) + 2 * flat * 8,
    }
    towers = 2 * ((256 + 1) * 128 + 2 * 128 + (128 + 1) * 64 + 2 * 64 + 64 + 1)
    for name, parameters in hand.items():
        counted = cost(build_model(Architecture.load(name), schema), schema)
        assert counted.table_parameters == (7 + 8 + 9) * 16
        # and the number's own w and b
        assert counted.other_parameters == parameters + towers + 2 * 16
    flops = cost(build_model(Architecture.load("shared_bottom"), schema), schema).flops_per_row
    assert flops == 2 * (flat * 512 + 512 * 256 + 2 * (256 * 128 + 128 * 64 + 64))


def test_single_task_is_whole_models_with_tables_of_their_own():
    schema = small_schema()
    model = build_model(Architecture.load("single_task"), schema)
    assert len(model.nets) == 2
    outputs = model(random_batch(schema).inputs)
    outputs[0].sum().backward()
    assert all(p.grad is None for p in model.nets[1].parameters())
    assert model.nets[0].tables()[0] is not model.nets[1].tables()[0]


def test_a_multiclass_task_has_one_logit_per_class():
    schema = small_schema()
    classes = schema.tasks[1].model_copy(update={"kind": "multiclass", "classes": 5})
    schema = schema.model_copy(update={"tasks": (schema.tasks[0], classes)})
    outputs = build_model(Architecture.load("mmoe"), schema)(random_batch(schema).inputs)
    assert [tuple(o.shape) for o in outputs] == [(32,), (32, 5)]


def test_binding_to_other_data_is_refused():
    bound = Architecture.load("mmoe").bind(small_schema())
    with pytest.raises(ConfigError, match="'task2' unknown to the architecture"):
        build_model(bound, small_schema(num_tasks=3))


def test_dropout_of_an_architecture_really_acts():
    schema = small_schema()
    template = Architecture.load("mmoe").evolve(dropout=0.5, sharing=Sharing(kind="mmoe"))
    model = build_model(template, schema, generator=torch.Generator().manual_seed(0))
    inputs = random_batch(schema).inputs
    assert not torch.equal(model(inputs)[0], model(inputs)[0])
    model.eval()
    assert torch.equal(model(inputs)[0], model(inputs)[0])


def test_inputs_of_unknown_ids_only_run():
    schema = small_schema()
    model = build_model(Architecture.load("mmoe"), schema).eval()
    outputs = model(Inputs(torch.zeros(3, 3, dtype=torch.int32), torch.zeros(3, 1)))
    assert all(torch.isfinite(o).all() for o in outputs)
    assert any(isinstance(m, MLP) for m in build_supernet(small_space(), schema).modules())


def test_nested_widths_save_the_narrower_hidden_layers_of_experts_alone():
    full, nested = (
        build_supernet(small_space(widths=widths), small_schema()) for widths in ("full", "nested")
    )
    saved = [sum(p.numel() for p in net.parameters()) for net in (full, nested)]
    # mlp(4) of width 8: inner, its BatchNorm, outer weight
    assert saved[0] - saved[1] == 3 * 2 * (8 * 4 + 4 + 2 * 4 + 4 * 8)
    assert not any(
        isinstance(module, NestedMLP) for block in nested.interaction for module in block.modules()
    )
    assert nested.state_dict().keys() < full.state_dict().keys() | {
        name for name in nested.state_dict() if name.endswith(".bias")
    }


@pytest.mark.parametrize("kind", ["mmoe", "single_task", "mome"])
def test_groups_for_an_optimiser_hold_every_parameter_once(kind):
    schema = small_schema()
    experts = (Expert(blocks=("dense(8)",)),)
    net = build_model(
        Architecture(embedding_dim=4, experts=experts, sharing=Sharing(kind=kind), towers=()),
        schema,
    )
    groups = net.parameter_groups()
    assert sorted(id(p) for group in groups for p in group["params"]) == sorted(
        id(p) for p in net.parameters()
    )
    optimizer = torch.optim.Adam(groups, lr=1e-3, weight_decay=1e-4)
    settings = {
        group["name"]: (group["lr"], group["weight_decay"]) for group in optimizer.param_groups
    }
    own = {"masks": (1e-2, 0.0)} if kind == "mome" else {}
    assert settings == {"weights": (1e-3, 1e-4), "tables": (1e-3, 0.0), **own}
