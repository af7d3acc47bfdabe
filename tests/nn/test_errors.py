"""Mistakes with the public modules: a ValueError in the module's own terms."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from automtl import nn as mtl
from automtl.errors import ConfigError
from tests.nn.modules import torch_mlp


def linear(width_in: int = 16, width: int = 8) -> nn.Linear:
    return nn.Linear(width_in, width)


def four() -> list[nn.Module]:
    return [linear() for _ in range(4)]


base = {"width_in": 16, "tasks": 2}
SCHEMA = mtl.Schema(
    name="s",
    fields=(mtl.Field(name="price", kind="numeric"),),
    tasks=(mtl.Task(name="click", kind="binary"),),
)

MADE = {
    "k above the experts": (
        lambda: mtl.DSelectK(four(), k=5, **base),
        "DSelectK.k: must be at most the number of experts, 4, got 5",
    ),
    "k above the experts, top k": (
        lambda: mtl.TopK(8, num_experts=1, **base),
        "TopK.k: must be at most the number of experts, 1, got 2",
    ),
    "k of none": (
        lambda: mtl.DSelectK(four(), k=0, **base),
        "DSelectK.k: must be from 1 to 1024, got 0",
    ),
    "k that is no number": (lambda: mtl.TopK(four(), k="2", **base), "TopK.k: must be of type int"),
    "unequal widths": (
        lambda: mtl.MMoE([linear(), linear(16, 9)], **base),
        "experts of level 0: must have one output width, since their outputs are added, got [8, 9]",
    ),
    "unequal widths of a funnel": (
        lambda: mtl.AITM([linear(), linear(16, 9)], **base),
        "must have one output width, since tasks attend to each other, got [8, 9]",
    ),
    "wrong input width": (
        lambda: mtl.MMoE([linear(), linear(12)], **base),
        "expert level0.pool.1: must be a module (B, 16) -> (B, w), got RuntimeError",
    ),
    "wrong input width on the second level": (
        lambda: mtl.PLE([8, [linear(16, 4) for _ in range(6)]], **base),
        "expert level1.task0.0: must be a module (B, 8) -> (B, w), got RuntimeError",
    ),
    "an expert of three dimensions": (
        lambda: mtl.MMoE([nn.Sequential(linear(), nn.Unflatten(1, (2, 4)))], **base),
        "must be a module (B, 16) -> (B, w), got (2, 2, 4) for 2 rows",
    ),
    "an expert of two outputs": (
        lambda: mtl.MMoE(lambda width: nn.LSTM(width, 4), **base),
        "must be a module (B, 16) -> (B, w), got a tuple as its output",
    ),
    "a function that gives none": (
        lambda: mtl.MMoE(lambda width: 8, **base),
        "experts: must be made by a function that gives a module, got int",
    ),
    "no tasks": (
        lambda: mtl.MMoE(four(), width_in=16, tasks=0),
        "MMoE tasks: must be a number above 0, or names, each once, got 0",
    ),
    "a task twice": (
        lambda: mtl.MMoE(four(), width_in=16, tasks=["a", "a"]),
        "MMoE tasks: must be a number above 0, or names, each once, got ['a', 'a']",
    ),
    "a word for tasks": (
        lambda: mtl.MMoE(four(), width_in=16, tasks="click"),
        "MMoE tasks: must be",
    ),
    "true for tasks": (lambda: mtl.MMoE(four(), width_in=16, tasks=True), "MMoE tasks: must be"),
    "too few of a unit": (
        lambda: mtl.CGC(four(), **base),
        "CGC experts: must be 6 modules, in this order: 2 of task0, 2 of task1, 2 of shared, got 4",
    ),
    "one for each task": (
        lambda: mtl.AITM(four(), **base),
        "AITM experts: must be 2 modules, in this order: 1 of task0, 1 of task1, got 4",
    ),
    "too few on a level": (
        lambda: mtl.CrossStitch([[linear(), linear()], [linear(8)]], **base),
        "CrossStitch experts[1]: must be 2 modules",
    ),
    "levels of other sizes": (
        lambda: mtl.SNRAver([[linear(), linear()], [linear(8)]], **base),
        "SNRAver experts: must be 2 modules on each level, as the first has, got 2, 1",
    ),
    "a number beside modules": (
        lambda: mtl.MMoE(four(), num_experts=3, **base),
        "MMoE experts: must be 3 modules on each level, as num_experts says, got 4",
    ),
    "a flat list for levels": (
        lambda: mtl.PLE(four(), **base),
        "PLE experts: must have one entry for each level: a width, a list of widths or of modules,",
    ),
    "other levels": (
        lambda: mtl.PLE([8, 8], levels=3, **base),
        "PLE experts: must have one entry for each of 3 levels, got 2",
    ),
    "no levels": (
        lambda: mtl.PLE(8, levels=0, **base),
        "PLE experts levels: must be a whole number",
    ),
    "the same module": (
        lambda: mtl.MMoE([linear()] * 4, **base),
        "MMoE experts: must be different modules, got the same one twice; make a module for each",
    ),
    "one module": (
        lambda: mtl.MMoE(linear(), **base),
        "got one Linear; put it into a list, or pass a function that makes it",
    ),
    "two bottoms": (
        lambda: mtl.SharedBottom(four(), **base),
        "SharedBottom expert: must be one module, got 4",
    ),
    "no experts": (lambda: mtl.MMoE([], **base), "MMoE experts: must be the width of an MLP"),
    "a mixture": (lambda: mtl.MMoE([linear(), 8], **base), "got Linear, 8"),
    "a width of none": (lambda: mtl.MMoE(0, **base), "MMoE experts: must be the width of an MLP"),
    "a word": (lambda: mtl.MMoE("mlp", **base), "MMoE experts: must be the width of an MLP"),
    "no width": (
        lambda: mtl.MSSM(8, tasks=2),
        "MSSM width_in: must be the width of the rows it is given, a whole number above 0, got None",
    ),
    "a width that is none": (lambda: mtl.MMoE(8, width_in=-1, tasks=2), "MMoE width_in: must be"),
    "a wrong field shape": (
        lambda: mtl.MSSM(8, tasks=2, field_shape=(3,)),
        "MSSM field_shape: must be the number of fields and the width of their vectors, got (3,)",
    ),
    "a negative number of experts": (
        lambda: mtl.MMoE(8, num_experts=0, **base),
        "MMoE num_experts: must be",
    ),
    "an unknown word": (
        lambda: mtl.AITM(8, transfer="dence", **base),
        "AITM.transfer: must be a known choice, got 'dence'; did you mean 'dense'",
    ),
    "another funnel": (
        lambda: mtl.AITM(8, order=["task0", "task2"], **base),
        "AITM.order: must name every task once: task0, task1, got task0, task2",
    ),
    "experts of other tasks": (
        lambda: mtl.PLE(8, task_experts=[1, 2, 3], **base),
        "PLE.task_experts: must have a number for each task: task0, task1, got 3 numbers",
    ),
    "chosen of another number of tasks": (
        lambda: mtl.Selected(8, chosen=[[0], [1], [0]], **base),
        "Selected chosen: must have one list for each of 2 tasks, got 3",
    ),
    "chosen by nobody": (
        lambda: mtl.Selected(8, chosen=[[0], [2]], **base),
        "Selected chosen: must name experts from 0 on",
    ),
    "nothing chosen": (
        lambda: mtl.Selected(8, chosen=[[0], []], **base),
        "Selected chosen: must name",
    ),
    "modules beyond the chosen": (
        lambda: mtl.Selected(four(), chosen=[[0], [1]], **base),
        "Selected experts: must be 2 modules",
    ),
    "a layer used twice under masks": (
        lambda: mtl.MoME(twice(), **base),
        "expert: must use each layer in one place, to be masked there, got 0 at 2 too",
    ),
    "an unknown space": (
        lambda: mtl.Supernet("automtl_smal", SCHEMA),
        "did you mean 'automtl_small'",
    ),
    "an unknown setting of a search": (
        lambda: mtl.Darts(mtl.Supernet("automtl_small", SCHEMA), alpha_rate=1.0),
        "Darts alpha_rate: must be a setting of it, got 'alpha_rate'",
    ),
    "no steps": (
        lambda: mtl.Darts(mtl.Supernet("automtl_small", SCHEMA), steps=0),
        "Darts steps: must be a whole number above 0, got 0",
    ),
}


def twice() -> nn.Sequential:
    layer = nn.Linear(16, 16)
    return nn.Sequential(layer, nn.ReLU(), layer)


@pytest.mark.parametrize("case", MADE)
def test_a_module_that_cannot_be_made(case: str) -> None:
    make, message = MADE[case]
    with pytest.raises(ConfigError) as caught:
        make()
    assert message in str(caught.value) and isinstance(caught.value, ValueError)


CALLED = {
    "another width": (mtl.MMoE(8, **base), (4, 12), "MMoE: must be given (B, 16), got (4, 12)"),
    "fields for rows": (
        mtl.MMoE(8, **base),
        (4, 4, 4),
        "MMoE: must be given (B, 16), got (4, 4, 4)",
    ),
    "one row without a batch": (
        mtl.MMoE(8, **base),
        (16,),
        "MMoE: must be given (B, 16), got (16,)",
    ),
    "rows for fields": (
        mtl.MSSM(8, tasks=2, field_shape=(4, 4)),
        (4, 16),
        "MSSM: must be given (B, 4, 4): rows of fields, each a vector, since it masks them, got (4, 16)",
    ),
    "other fields": (
        mtl.MSSM(8, tasks=2, field_shape=(4, 4)),
        (4, 3, 4),
        "MSSM: must be given (B, 4, 4)",
    ),
    "fields where none are masked": (mtl.MSSM(8, **base), (4, 4, 4), "MSSM: must be given (B, 16)"),
}


@pytest.mark.parametrize("case", CALLED)
def test_an_input_that_does_not_fit(case: str) -> None:
    share, shape, message = CALLED[case]
    with pytest.raises(ConfigError) as caught:
        share(torch.zeros(shape))
    assert message in str(caught.value)


def test_what_does_not_fit_an_interaction_between() -> None:
    share = mtl.MSSM(8, tasks=2, field_shape=(4, 4))
    with pytest.raises(ConfigError, match=r"MSSM: must be given \(B, 4, 4\)"):
        share(torch.zeros(4, 16), lambda fields: fields.flatten(1))
    with pytest.raises(
        ConfigError, match=r"MSSM: must get \(B, 16\) from what stands before its exp"
    ):
        share(torch.zeros(4, 4, 4), lambda fields: fields.flatten(1)[:, :5])


def test_stages_losses_and_states() -> None:
    share = mtl.DSelectK(8, per_example=True, **base)
    with pytest.raises(
        ConfigError, match=r"DSelectK.begin: must be one of its stages: select, train"
    ):
        share.begin("selct")
    with pytest.raises(ConfigError, match="must follow a forward pass in training"):
        share.auxiliary_loss()
    share(torch.zeros(4, 16))
    assert share.auxiliary_loss().shape == ()
    funnel = mtl.AITM(8, calibration=0.5, **base)
    with pytest.raises(ConfigError, match="needs the logits of all 2 tasks"):
        funnel.auxiliary_loss()
    with pytest.raises(ConfigError, match="got 1;"):
        funnel.auxiliary_loss([torch.zeros(4)])
    assert mtl.AITM(8, **base).auxiliary_loss() == 0


def test_progress_is_a_share_and_numbers_may_be_numpys() -> None:
    share = mtl.DSelectK(8, num_experts=np.int64(4), width_in=np.int64(16), tasks=np.int64(2))
    with pytest.raises(ConfigError, match="DSelectK.advance: must be given the share .* got 1.5"):
        share.advance(1.5)
    share.advance(1.0)
    assert [out.shape for out in share(torch.randn(3, 16))] == [(3, 8), (3, 8)]


def test_every_number_may_be_numpys() -> None:
    two, eight = np.int64(2), np.int64(8)
    made: list[nn.Module] = [
        mtl.MMoE(eight, width_in=16, tasks=2),
        mtl.MMoE([eight, np.int32(4)], width_in=16, tasks=2),
        mtl.PLE(8, width_in=16, tasks=2, levels=two, task_experts=np.array([1, 2])),
        mtl.TopK(8, width_in=16, tasks=2, k=two),
        mtl.MoME(8, width_in=16, tasks=2, masks=two, lambda_neuron=np.float64(1e-4)),
        mtl.DSelectK(8, width_in=16, tasks=2, gamma=np.float32(0.5)),
    ]
    widths = [share(torch.randn(4, 16))[0].shape[1] for share in made]
    assert widths == [8, 4, 8, 8, 8, 8] and made[5].start == 0.5
    masked = mtl.MSSM(8, field_shape=np.array([4, 4]), tasks=2)  # type: ignore[arg-type]
    assert masked(torch.randn(4, 4, 4))[0].shape == (4, 8)


@pytest.mark.parametrize(
    ("make", "warned"),
    [
        (lambda: mtl.DSelectK(8, width_in=16, tasks=2), True),
        (lambda: mtl.MoME(8, width_in=16, tasks=2), True),
        (lambda: mtl.DSelectK(8, width_in=16, tasks=2, num_experts=1, k=1), False),
        (lambda: mtl.SNRAver(8, width_in=16, tasks=2), False),  # its stage is a length only
        (lambda: mtl.MMoE(8, width_in=16, tasks=2), False),
    ],
)
def test_a_training_that_begins_no_stage_is_told_once(
    make: Callable[[], mtl.DSelectK], warned: bool
) -> None:
    def evaluated(share: nn.Module) -> int:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            share.eval()
        assert all("trained in none of its stages" in str(w.message) for w in said)
        return len(said)

    share, rows = make(), torch.randn(4, 16)
    assert evaluated(share.train()) == 0  # nothing was trained
    share.train()(rows)
    assert evaluated(nn.Sequential(share)) == warned and evaluated(share.train()) == 0
    loaded = make()
    loaded.load_state_dict(share.state_dict())
    begun = make()
    begun.begin(begun.stages()[0])
    for other in (loaded, begun):
        other.train()(rows)
        assert evaluated(other) == 0


def test_an_expert_is_left_as_it_was_when_it_is_refused() -> None:
    expert = torch_mlp(12, 8)
    with pytest.raises(ConfigError):
        mtl.MMoE([expert], **base)
    assert expert.training and all(module.training for module in expert.modules())
    assert expert[1].num_batches_tracked == 0
