"""MSSM against numpy by hand and scipy, in float64."""

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from automtl.layers.masks import HardConcrete
from automtl.layers.normalization import BatchNorm
from automtl.models.cost import cost
from automtl.models.derived import build_model
from automtl.models.parts import part_costs
from automtl.spaces.architecture import Architecture, Expert, Sharing
from tests.sharing.modules import FIELDS, HEIGHT, WIDTHS, affine, assert_equal, inputs, make, run
from tests.support import random_batch, small_schema

BETA, GAMMA, ZETA = 2 / 3, -0.1, 1.1
VARIANTS = [(fields, cells) for fields in (True, False) for cells in (True, False)]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numbers(tensor):
    return tensor.detach().double().numpy()


def spread(module, scale=2.0):
    """Log alphas far enough apart that some masks are 0, some 1 and some between."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for mask in module.connections:
            mask.log_alpha.normal_(0, scale, generator=generator)
    return module


def by_hand(module, h, uniform=None, vector=False):
    """The paper's Algorithm 1, connection by connection; `uniform(shape)` draws u, None for
    evaluation.
    """
    tasks, levels = len(module.tasks), module.fusions[-1].level + 1
    units = [*range(tasks), "shared"]
    x = h.numpy().reshape(len(h), *FIELDS)
    if module.field_masks is None:
        vectors = [h.numpy()] * len(units)
    else:
        g = numbers(module.field_masks.g)
        vectors = []
        for j in range(len(units)):
            inner = x * g[j] if vector else (x * g[j]).sum(2, keepdims=True)
            vectors.append((np.maximum(np.tanh(inner), 0) * x).reshape(len(h), -1))
    experts, unit = iter(module.experts), 0
    for level in range(levels):
        out = [affine(next(experts), v) for v in vectors]
        vectors = []
        for i in units if level + 1 < levels else units[:-1]:
            read = [
                j
                for j, other in enumerate(units)
                if not module.cells or i == "shared" or other in (i, "shared")
            ]
            log_alpha, w = (
                numbers(module.connections[unit].log_alpha),
                numbers(module.transforms[unit]),
            )
            noise = (
                0
                if uniform is None
                else (lambda u: np.log(u) - np.log(1 - u))(uniform(log_alpha.shape))
            )
            m = np.clip(
                sigmoid((log_alpha + noise) / (1 if uniform is None else BETA)) * (ZETA - GAMMA)
                + GAMMA,
                0,
                1,
            )
            v = sum(m[place] * (out[j] @ w[:, place, :].T) for place, j in enumerate(read))
            vectors.append(np.maximum(v, 0) if module.cells and level + 1 < levels else v)
            unit += 1
    assert unit == len(module.fusions) and next(experts, None) is None
    return vectors


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("fields", "cells"), VARIANTS)
@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("field_mask", ["vector", "scalar"])
def test_the_forward_pass_of_every_variant(field_mask, fields, cells, levels, training):
    module = spread(
        make("mssm", 2, fields=fields, cells=cells, levels=levels, field_mask=field_mask)
    ).train(training)
    h = inputs()
    noise = torch.Generator().manual_seed(7)
    uniform = (
        (lambda shape: torch.rand(shape, generator=noise).double().numpy()) if training else None
    )
    expected = by_hand(module, h, uniform, vector=field_mask == "vector")
    assert_equal(run(module, h), expected)
    assert all(np.abs(v).max() > 0.01 for v in expected)


def test_three_tasks_have_a_mask_per_number_unless_told_otherwise():
    module, h = spread(make("mssm", 3)).eval(), inputs()
    assert_equal(run(module, h), by_hand(module, h, vector=True))


def test_without_both_it_is_snr_trans():
    """Table 2's MSSM-Basic: the same numbers as `snr_trans` with T + 1 sub-networks, the same
    weights, and the same noise.
    """
    mine, theirs, h = (
        spread(make("mssm", 2, fields=False, cells=False)),
        make("snr_trans", 2, 3),
        inputs(),
    )
    with torch.no_grad():
        for a, b in zip(mine.experts, theirs.experts, strict=True):
            b.load_state_dict(a.state_dict())
        for level, units in ((0, (0, 1, 2)), (1, (3, 4))):
            theirs.transforms[level].copy_(torch.stack([mine.transforms[unit] for unit in units]))
            theirs.connections[level].log_alpha.copy_(
                torch.stack([mine.connections[unit].log_alpha[:, 0] for unit in units])
            )
    for training in (True, False):
        assert_equal(
            run(mine.train(training), h), [numbers(out) for out in run(theirs.train(training), h)]
        )


def test_masks_settle_before_an_epoch_is_judged_where_there_is_a_penalty():
    settle, train = make("mssm", settle_steps=120).stages()
    assert (settle.steps, settle.judged, train.judged, train.begins) == (120, False, True, "on")
    assert [
        len(make("mssm", **off).stages()) for off in ({"lambda_m": 0.0}, {"settle_steps": 0})
    ] == [1, 1]


@pytest.mark.parametrize(("penalty", "lambda_m"), [("mean", 0.3), ("sum", 0.01)])
def test_the_loss_counts_masks_and_squares_of_dense_weights_only(penalty, lambda_m):
    module = spread(make("mssm", 2, penalty=penalty, lambda_m=lambda_m, l2=0.5))
    on = np.concatenate(
        [
            stats.logistic.cdf(numbers(m.log_alpha).ravel() - BETA * np.log(-GAMMA / ZETA))
            for m in module.connections
        ]
    )
    assert len(on) == HEIGHT * (2 + 2 + 3) + WIDTHS[1] * (2 + 2), "no mask between two tasks"
    dense = np.concatenate(
        [numbers(w).ravel() for w in [*(e.weight for e in module.experts), *module.transforms]]
    )
    expected = lambda_m * getattr(on, penalty)() + 0.5 * (dense**2).mean()
    assert module.auxiliary_loss([], torch.zeros(0)).item() == pytest.approx(expected, rel=1e-12)
    [group] = module.parameter_groups()
    assert (group.lr, group.weight_decay) == (1e-2, 0.0), (
        "at the weights' 1e-3 no mask gets to 0 in a training"
    )
    assert {id(p) for p in group.parameters} == {id(m.log_alpha) for m in module.connections} | {
        id(module.field_masks.g)
    }


def test_hard_concrete_gates_and_their_expected_number_by_scipy():
    """A logistic variable, stretched and clamped: values by quantiles, the chance of 0 by
    quadrature over u.
    """
    mask = HardConcrete((9,), generator=torch.Generator().manual_seed(3)).double()
    log_alpha = np.linspace(-6, 6, 9)
    with torch.no_grad():
        mask.log_alpha.copy_(torch.from_numpy(log_alpha))

    def gate(u, centre):
        return np.clip(
            (ZETA - GAMMA) * stats.logistic.cdf(stats.logistic.ppf(u, loc=centre) / BETA) + GAMMA,
            0,
            1,
        )

    u = torch.rand(9, generator=torch.Generator().manual_seed(3)).double().numpy()
    np.testing.assert_allclose(numbers(mask.train()()), gate(u, log_alpha), atol=1e-6)
    np.testing.assert_allclose(
        numbers(mask.eval()()), np.clip(1.2 * stats.logistic.cdf(log_alpha) - 0.1, 0, 1), atol=1e-6
    )
    edges = [
        stats.logistic.cdf(BETA * stats.logistic.ppf(-GAMMA / (ZETA - GAMMA)) - centre)
        for centre in log_alpha
    ]
    areas = [
        integrate.quad(
            lambda u, centre=centre: float(gate(u, centre) > 0), 0, 1, points=[edge], epsabs=1e-9
        )[0]
        for centre, edge in zip(log_alpha, edges, strict=True)
    ]
    np.testing.assert_allclose(numbers(mask.expected_on()), areas, atol=1e-6)


def test_records_tell_the_share_of_cells_off_and_mean_masks():
    module, h = spread(make("mssm", 2)).eval(), inputs(rows=24)
    for part in (h[:10], h[10:]):
        run(module, part)
    told = module.record()
    log_alphas = [
        np.concatenate([numbers(m.log_alpha).ravel() for m in part])
        for part in (module.connections[:3], module.connections[3:])
    ]
    off = [level <= np.log(0.1 / 1.1) for level in log_alphas]
    assert told["cells_off_by_level"] == pytest.approx([level.mean() for level in off])
    assert (
        told["cells_off"] == pytest.approx(np.concatenate(off).mean()) and 0 < told["cells_off"] < 1
    )
    x, g = h.numpy().reshape(24, 1, *FIELDS), numbers(module.field_masks.g)
    masks = np.maximum(np.tanh(x * g), 0).mean((0, 3))
    assert list(told["field_masks"]) == ["task0", "task1", "shared"]
    np.testing.assert_allclose(list(told["field_masks"].values()), masks, atol=1e-9)
    assert "field_masks" not in make("mssm", fields=False).record()


SCHEMA = small_schema()


def built(interaction=("product(inner)", "mlp(8)"), **settings):
    kind = Sharing(kind="mssm", settings=settings)
    experts = (Expert(blocks=("dense(5)",)),)
    template = Architecture(
        embedding_dim=4,
        interaction=interaction,
        projection=8,
        experts=experts,
        sharing=kind,
        towers=(6,),
    )
    return template, build_model(template, SCHEMA, generator=torch.Generator().manual_seed(0))


def test_each_statistic_of_a_batch_is_updated_once_per_step():
    _, net = built()
    net.train()(random_batch(SCHEMA).inputs)
    norms = [m for m in net.modules() if isinstance(m, BatchNorm)]
    assert len(norms) == 3 + (3 + 3) + 2 and {int(m.num_batches_tracked) for m in norms} == {1}


def test_sub_networks_read_their_own_masked_fields_through_one_interaction():
    """Against one pass of the interaction per copy, in evaluation."""
    _, net = built()
    batch = random_batch(SCHEMA, rows=5).inputs
    net.eval()
    fields, module = net.input(batch), net.sharing
    firsts = {
        slot.owner: expert
        for slot, expert in zip(module.slots, module.experts, strict=True)
        if slot.level == 0
    }
    seen = {}
    for owner, expert in firsts.items():
        expert.register_forward_hook(
            lambda _, args, out, owner=owner: seen.update({owner: args[0]})
        )
    net(batch)
    for j, owner in enumerate((0, 1, "shared")):
        masks = torch.tanh(fields * module.field_masks.g[j]).relu()
        torch.testing.assert_close(seen[owner], net.encode(masks * fields))


def test_costs_count_every_copy_and_name_the_masks():
    (masked, net), (_, plain) = built(field_mask="scalar"), built(fields=False)
    copies, shape = 3, (4, 4)
    flops = cost(net, SCHEMA).flops_per_row - cost(plain, SCHEMA).flops_per_row
    parts, without = (
        part_costs(masked, SCHEMA),
        part_costs(masked.evolve(sharing=Sharing(kind="mssm", settings={"fields": False})), SCHEMA),
    )
    trunk = [f"interaction.{i}" for i in range(2)] + ["projection"]
    assert all(parts[name].flops == copies * without[name].flops for name in trunk)
    assert parts["masks"].parameters == copies * shape[0] * shape[1]
    assert parts["masks"].flops == 2 * copies * shape[0] * shape[1] and "masks" not in without
    assert flops == parts["masks"].flops + (copies - 1) * sum(without[name].flops for name in trunk)
    assert sum(p.parameters for p in parts.values()) == sum(p.numel() for p in net.parameters())
    assert parts["sharing"].parameters == (5 * 5 + 5) * (2 + 2 + 3 + 2 + 2), (
        "W and log_alpha of each connection"
    )
