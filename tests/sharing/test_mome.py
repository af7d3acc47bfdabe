"""MoME: masks, penalty, folding, pruning and packing against numpy; phases and ablations."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from automtl.errors import ConfigError
from automtl.layers.masked import MaskedLinear
from automtl.layers.masks import SIGMA, GaussianMask
from automtl.models.cost import cost, flops_per_row
from automtl.models.derived import build_model
from automtl.models.storage import packed_state, stored_megabytes, unpacked
from automtl.sharing.mome import FINE, NEURONS, WEIGHTS
from automtl.spaces.architecture import Architecture, Expert, Ranked, Sharing
from automtl.spaces.placement import plugged
from tests.sharing.modules import assert_equal, gate, inputs, make, mixed
from tests.support import random_batch, small_schema

SCHEMA = small_schema()
BLOCKS = [
    ("dense(9)", "dense(7)"),
    ("mlp(5)", "gate", "mlp(6)"),
    ("skip", "mlp(5)", "skip", "dense(4)", "conv1d(3)"),
    ("gate", "dense(6)"),
]


def numpy(tensor):
    return tensor.detach().numpy()


def scatter(module, seed=1, low=-0.4, high=1.4):
    """Every mask in training somewhere between fully off and fully on."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for mask in getattr(module, "sharing", module)._learnt():
            mask.mu.uniform_(low, high, generator=g)


def net_of(blocks, seed=0, **settings):
    template = Architecture(
        embedding_dim=4,
        projection=8,
        towers=(6,),
        experts=(Expert(blocks=blocks),),
        sharing=Sharing(kind="mome", settings={"masks": 3, **settings}),
    )
    return build_model(template, SCHEMA, seed=seed, generator=torch.Generator().manual_seed(5))


def used(net, steps=3):
    """The net after some steps of training mode, so that running statistics and BatchNorms are no
    defaults.
    """
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if "norm" in name:
                parameter.add_(
                    0.3
                    * torch.randn(
                        parameter.shape, generator=torch.Generator().manual_seed(len(name))
                    )
                )
    net.train()
    for step in range(steps):
        net(random_batch(SCHEMA, seed=step).inputs)
    return net.eval()


def test_masks_and_their_gradient_by_hand():
    mask = GaussianMask((40, 3), generator=torch.Generator().manual_seed(4)).double().train()
    with torch.no_grad():
        mask.mu.uniform_(-1, 2, generator=torch.Generator().manual_seed(1))
    eps = torch.randn(40, 3, generator=torch.Generator().manual_seed(4)).double().numpy()
    noisy = numpy(mask.mu) + 0.5 * eps
    drawn, pull = mask(), torch.randn(40, 3, dtype=torch.float64)
    np.testing.assert_allclose(numpy(drawn), np.clip(noisy, 0, 1), atol=1e-12)
    (drawn * pull).sum().backward()
    np.testing.assert_allclose(
        mask.mu.grad.numpy(), np.where((noisy > 0) & (noisy < 1), pull.numpy(), 0), atol=1e-12
    )
    np.testing.assert_allclose(numpy(mask.eval()()), np.clip(numpy(mask.mu), 0, 1), atol=1e-12)
    assert SIGMA == 0.5 and (GaussianMask((2,), generator=None).mu == 0.5).all()


@pytest.mark.parametrize("penalty", ["sum", "mean"])
@pytest.mark.parametrize("phase", [NEURONS, WEIGHTS])
def test_penalty_and_its_gradient_by_hand(penalty, phase):
    module = make("mome", masks=3, lambda_neuron=0.2, lambda_weight=0.2, penalty=penalty)
    module.begin(phase)
    scatter(module)
    masks = (
        [module.base[0].neurons] if phase == NEURONS else [expert.mask for expert in module.experts]
    )
    mu = np.concatenate([numpy(mask.mu).ravel() for mask in masks])
    share = 0.2 / (len(mu) if penalty == "mean" else 1)
    loss = module.auxiliary_loss([], torch.zeros(0))
    assert loss.item() == pytest.approx(
        share * sum(0.5 * (1 + math.erf(m / 0.5 / math.sqrt(2))) for m in mu), rel=1e-12
    )
    loss.backward()
    slope = share * np.exp(-((mu / 0.5) ** 2) / 2) / math.sqrt(2 * math.pi) / 0.5
    np.testing.assert_allclose(
        np.concatenate([mask.mu.grad.numpy().ravel() for mask in masks]), slope, rtol=1e-10
    )


@pytest.mark.parametrize("training", [False, True])
def test_masked_experts_under_gates_by_hand(training):
    module, h = make("mome", 2, masks=3, noise=11).train(training), inputs()
    scatter(module)
    weight, bias = numpy(module.base[0].weight), numpy(module.base[0].bias)
    g = torch.Generator().manual_seed(11)
    masks = []
    for expert in module.experts:
        eps = torch.randn(weight.shape, generator=g).double().numpy() if training else 0.0
        masks.append(np.clip(numpy(expert.mask.mu) + 0.5 * eps, 0, 1))
    outputs = [h.numpy() @ (weight * z).T + bias for z in masks]
    vectors = module.share(h)
    assert_equal(vectors, [mixed(gate(module.gates[t], h.numpy()), outputs) for t in range(2)])
    vectors[0].sum().backward()
    weights = gate(module.gates[0], h.numpy())
    # d sum / d Z_e = (sum_b q_be h_b) W, through the clamp
    for e, expert in enumerate(module.experts):
        inside = (
            (masks[e] > 0) & (masks[e] < 1)
            if training
            else (numpy(expert.mask.mu) >= 0) & (numpy(expert.mask.mu) <= 1)
        )
        by_hand = (weights[:, e] @ h.numpy())[None, :] * weight * inside
        np.testing.assert_allclose(expert.mask.mu.grad.numpy(), by_hand, atol=1e-10)


def test_the_neuron_phase_is_the_base_alone_for_every_task():
    module, h = make("mome", 2, masks=3), inputs()
    module.begin(NEURONS)
    scatter(module)
    base = module.base[0]
    by_hand = (h.numpy() * np.clip(numpy(base.neurons.mu), 0, 1)) @ numpy(base.weight).T + numpy(
        base.bias
    )
    assert_equal(module.eval().share(h), [by_hand] * 2)
    module.train().share(h)[0].sum().backward()
    assert (
        all(expert.mask.mu.grad is None for expert in module.experts) and base.neurons.mu.grad.any()
    )
    (group,) = module.parameter_groups()
    assert (
        list(group.parameters) == [base.neurons.mu]
        and group.lr == 1e-2
        and group.weight_decay == 0.0
    )


@pytest.mark.parametrize("norms", ["own", "shared"])
@pytest.mark.parametrize("blocks", BLOCKS)
def test_folded_and_pruned_is_what_was_trained(blocks, norms):
    """Without weight masks the phases' outputs are equal; rows and, where one layer alone reads
    them, columns are gone.
    """
    net = net_of(blocks, masks=0, norms=norms).double()
    net.sharing.begin(NEURONS)
    scatter(net)
    used(net)
    inputs_ = random_batch(SCHEMA, rows=64, seed=9).inputs
    batch = type(inputs_)(inputs_.ids, inputs_.dense.double())
    before, flops, size = net(batch), flops_per_row(net, SCHEMA), cost(net, SCHEMA).other_parameters
    alive = {path: numpy(layer.neurons.mu) > 0 for path, layer, _ in net.sharing._layers()}
    shapes = {path: tuple(layer.weight.shape) for path, layer, _ in net.sharing._layers()}
    net.sharing.begin(FINE)
    for one, other in zip(before, net(batch), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    readers = {link.producer: link.reader for link in net.sharing.links}
    for path, layer, _ in net.sharing._layers():
        rows = alive[readers[path]].sum() if path in readers else shapes[path][0]
        assert tuple(layer.weight.shape) == (rows, alive[path].sum()) and len(layer.bias) == rows
        assert layer.inputs.tolist() == np.flatnonzero(alive[path]).tolist()
    assert flops_per_row(net, SCHEMA) < flops and cost(net, SCHEMA).other_parameters < size


def test_links_are_where_one_layer_alone_reads():
    found = {
        blocks: [(link.producer, link.reader) for link in net_of(blocks).sharing.links]
        for blocks in BLOCKS
    }
    assert found[BLOCKS[0]] == [("operations.0.linear", "operations.1.linear")]
    assert found[BLOCKS[1]] == [
        (f"operations.{i}.inner", f"operations.{i}.outer") for i in (0, 2)
    ], "a gate reads its input twice"
    assert found[BLOCKS[2]] == [
        ("operations.1.inner", "operations.1.outer"),
        ("operations.1.outer", "operations.3.linear"),
    ]
    assert found[BLOCKS[3]] == []


@pytest.mark.parametrize("blocks", BLOCKS)
def test_experts_start_from_the_pruned_base_and_its_norms(blocks):
    """With all masks on, every expert is the folded base."""
    net = net_of(blocks)
    net.sharing.begin(NEURONS)
    scatter(net)
    used(net)
    batch = random_batch(SCHEMA, rows=64, seed=9).inputs
    before = net(batch)
    net.sharing.begin(WEIGHTS)
    assert all((m.mu == 0.5).all() for m in net.modules() if isinstance(m, GaussianMask))
    scatter(net, low=1.0, high=2.0)
    for one, other in zip(before, net(batch), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_rounding_is_at_a_half_and_for_good():
    module = make("mome", masks=3)
    scatter(module)
    expected = [numpy(expert.mask.mu) >= 0.5 for expert in module.experts]
    module.begin(FINE)
    assert all(
        np.array_equal(numpy(e.mask.on), on) for e, on in zip(module.experts, expected, strict=True)
    )
    assert (
        module.auxiliary_loss([], torch.zeros(0)) is None
        and not module.parameter_groups()[0].parameters
    )
    module.train().share(inputs())[0].sum().backward()
    assert not any("mu" in name for name, _ in module.named_parameters())
    dead = ~np.any(expected, axis=0)
    assert dead.any() and not module.base[0].weight.grad.numpy()[dead].any()


def through(net, phases, seed=1):
    for phase in phases:
        net.sharing.begin(phase)
        scatter(net, seed)
        used(net)
    return net


STAGES = [(), (NEURONS,), (NEURONS, WEIGHTS), (NEURONS, WEIGHTS, FINE), (WEIGHTS, FINE)]


@pytest.mark.parametrize("norms", ["own", "shared"])
@pytest.mark.parametrize("phases", STAGES)
def test_state_goes_into_a_fresh_and_into_a_used_module(phases, norms):
    net = through(net_of(BLOCKS[0], norms=norms), phases).eval()
    batch = random_batch(SCHEMA, rows=64, seed=9).inputs
    for before in (STAGES[0], STAGES[1], STAGES[3]):
        other = through(net_of(BLOCKS[0], seed=4, norms=norms), before, 7)
        other.load_state_dict(net.state_dict())
        assert (
            other.sharing.stage_name == net.sharing.stage_name
            and other.sharing.record() == net.sharing.record()
        )
        assert all(torch.equal(a, b) for a, b in zip(net(batch), other.eval()(batch), strict=True))
    copied = copy.deepcopy(other)
    assert all(torch.equal(a, b) for a, b in zip(net(batch), copied(batch), strict=True))


@pytest.mark.parametrize(
    ("blocks", "phases", "masks"),
    [
        *((BLOCKS[0], phases, 3) for phases in STAGES),
        (BLOCKS[0], (NEURONS, FINE), 0),
        *((blocks, STAGES[3], 3) for blocks in BLOCKS[1:]),
    ],
)
def test_packed_and_read_back_is_bit_equal(blocks, phases, masks):
    net = through(net_of(blocks, masks=masks), phases).eval()
    batch = random_batch(SCHEMA, rows=64, seed=9).inputs
    before = net(batch)
    packed = packed_state(net)
    other = net_of(blocks, seed=3, masks=masks)
    other.load_state_dict(unpacked(other, packed))
    assert all(torch.equal(a, b) for a, b in zip(before, other.eval()(batch), strict=True))
    assert all(torch.equal(tensor, packed_state(other)[name]) for name, tensor in packed.items())


def test_stored_size_by_hand():
    net = through(net_of(BLOCKS[0]), (NEURONS, WEIGHTS, FINE))
    bits = 0
    for _, layer, views in net.sharing._layers():
        live = np.any([numpy(view.mask.on) for view in views], axis=0)
        bits += 8 * (
            -(-live.size // 8) + 4 * live.sum() + -(-3 * live.sum() // 8) + -(-layer.made_with // 8)
        )
        bits += 8 * (4 * len(layer.bias) + 3 * 8)  # the bias, and the three sizes
        width = len(layer.bias)
        # per expert gamma, beta, two statistics and the count of batches
        bits += 3 * 8 * (4 * 4 * width + 8)
    bits += 8 * (2 * 8 * 3 * 4 + 2 * (3 * 4 + 8) + 8)  # gates, their meters, the stage
    stored = stored_megabytes(net)
    assert stored["experts"] * 2**20 == bits / 8
    assert stored["tables"] * 2**20 == 4 * 4 * (7 + 8 + 9)
    state = packed_state(net)
    assert sum(stored.values()) * 2**20 == sum(t.numel() * t.element_size() for t in state.values())
    assert net.sharing.record()["masked"]["megabytes"] == stored["experts"]


def test_records_tell_shares_by_hand():
    net = net_of(BLOCKS[0])
    scatter(net)
    mu = [
        np.stack([numpy(view.mask.mu) for view in views]) for _, _, views in net.sharing._layers()
    ]
    entries = np.clip(np.concatenate([m.ravel() for m in mu]), 0, 1)
    inner = np.histogram(entries[(entries > 0) & (entries < 1)], bins=10, range=(0, 1))[0]
    record = net.sharing.record()["masked"]
    np.testing.assert_allclose(
        record["histogram"],
        np.array([(entries == 0).sum(), *inner, (entries == 1).sum()]) / len(entries),
    )
    assert record["live"] == sum((m > 0).any(0).sum() for m in mu) / sum(m[0].size for m in mu)
    net.sharing.begin(NEURONS)
    assert (
        "histogram" not in net.sharing.record()["masked"]
        and sum(net.sharing.record()["masked"]["neurons_histogram"]) == 1
    )


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, [NEURONS, WEIGHTS, FINE]),
        ({"masks": 0}, [NEURONS, FINE]),
        ({"neuron_epochs": 0}, [WEIGHTS, FINE]),
        ({"masks": 0, "neuron_epochs": 0}, [FINE]),
    ],
)
def test_phases_and_ablations(settings, names):
    module = make("mome", **settings)
    assert [stage.name for stage in module.stages()] == names
    assert [stage.judged for stage in module.stages()] == [False] * (len(names) - 1) + [True]
    for phase in module.stages():
        module.begin(phase.name)
        assert len(module.train().share(inputs())) == 2
        assert (module.auxiliary_loss([], torch.zeros(0)) is None) == (phase.name == FINE)
    assert len(module.experts) == (8 if module.masks else 1)
    assert isinstance(module.gates[0], nn.Identity) == (not module.masks)


def test_the_plugged_base_is_the_best_expert_that_can_be_masked():
    blocks = [("skip",), ("mlp(5)",), ("gate", "mlp(4)"), ("conv1d(3)",)]
    plain = Architecture(
        embedding_dim=4, projection=8, towers=(6,), experts=tuple(Expert(blocks=b) for b in blocks)
    ).bind(SCHEMA)
    weights = ((0.4, 0.2, 0.1, 0.3), (0.3, 0.0, 0.4, 0.3))
    ranking = tuple(tuple(Ranked(expert=e, weight=w) for e, w in enumerate(row)) for row in weights)
    net = build_model(plugged(plain.evolve(ranking=ranking), "mome", {"masks": 2}), SCHEMA)
    assert [
        m.base.weight.shape[0]
        for m in net.sharing.experts[0].modules()
        if isinstance(m, MaskedLinear)
    ] == [8, 4, 8], "gate -> mlp(4)"
    assert (
        build_model(plugged(plain, "mome", {}), SCHEMA).sharing.paths[0] == "operations.0.inner"
    ), "the first listed without a ranking"
    with pytest.raises(
        ConfigError,
        match=r"sharing.kind mome: needs an expert that holds mlp or dense, to mask its weights, "
        r"got skip",
    ):
        plugged(
            plain.evolve(experts=(Expert(blocks=("skip",)), Expert(blocks=("gate",)))), "mome", {}
        )
