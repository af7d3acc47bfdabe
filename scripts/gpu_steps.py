"""The steps that `scripts/check_gpu.py` checks and times: searches and MMoE, ours and others'."""

import argparse
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from automtl.data.store.batches import Batch, Inputs
from automtl.data.store.schema import Field, Schema, Task
from automtl.layers.choice_block import ChoiceBlock
from automtl.layers.interaction import SelfAttention
from automtl.models.derived import build_model
from automtl.models.skeleton import MultiTaskNet
from automtl.models.supernet import build_supernet
from automtl.phases.run.device import autocast, compile_net
from automtl.spaces.architecture import Architecture
from automtl.spaces.space import SearchSpace
from automtl.strategies.darts import Darts
from automtl.strategies.darts_settings import DartsSettings
from automtl.training.balancing import make_balancer
from automtl.training.balancing.balancer import BalancingSettings
from automtl.training.optim.optimizers import OptimizerSettings, make_optimizer
from automtl.training.step import train_step
from automtl.training.step.guard import Guard

FIELDS, TASKS = 16, 2
Step = Callable[[Batch, Batch], Any]


class Sizes(argparse.Namespace):
    """What is made how large, and where."""

    device: torch.device
    space: str
    ids: int
    batches: tuple[int, ...]
    rounds: int


def schema_of(sizes: Sizes) -> Schema:
    fields = (
        Field(name=f"f{i}", kind="categorical", vocabulary_size=sizes.ids) for i in range(FIELDS)
    )
    tasks = (Task(name=f"t{i}", kind="binary") for i in range(TASKS))
    return Schema(name="bench", fields=tuple(fields), tasks=tuple(tasks))


def batch_of(sizes: Sizes, rows: int, seed: int, device: torch.device | None = None) -> Batch:
    """Drawn rows, the same on every device."""
    rng = torch.Generator().manual_seed(seed)
    ids = torch.randint(sizes.ids, (rows, FIELDS), generator=rng, dtype=torch.int32)
    labels = torch.randint(2, (rows, TASKS), generator=rng).float()
    made = Batch(Inputs(ids, torch.empty(rows, 0)), labels, None, torch.arange(rows))
    return made.to(device or sizes.device)


def darts_of(
    sizes: Sizes,
    *,
    device: torch.device | None = None,
    precision: str = "float32",
    fused: bool = True,
    compiled: str = "",
) -> Darts:
    """A search after its warm-up, of the same weights on every device."""
    device = device or sizes.device
    net = build_supernet(SearchSpace.load(sizes.space), schema_of(sizes)).train()
    for module in net.modules():
        if isinstance(module, ChoiceBlock | SelfAttention):
            module.fused = fused
    net = net.to(device)
    if compiled:
        compile_how(net, compiled)
    settings = DartsSettings()
    guard = Guard(look_every=10_000)  # a look waits for the device
    where = autocast(precision, device)
    darts = Darts(net, schema_of(sizes), settings, autocast=where, guard=guard)
    darts.begin_epoch(settings.warmup_epochs)
    return darts


def compile_how(net: nn.Module, how: str) -> None:
    """Compile in place, as the program does, or with CUDA graphs."""
    if how == "graphs":
        net.compile(mode="reduce-overhead")
    else:
        compile_net(net)


def mmoe_net(sizes: Sizes) -> MultiTaskNet:
    made = build_model(Architecture.load("mmoe").bind(schema_of(sizes)), schema_of(sizes))
    assert isinstance(made, MultiTaskNet)
    return made.to(sizes.device).train()


def mmoe_step(sizes: Sizes, precision: str = "float32", compiled: str = "") -> Step:
    """Our training step of MMoE."""
    net, tasks = mmoe_net(sizes), schema_of(sizes).tasks
    if compiled:
        compile_how(net, compiled)
    common = {
        "optimizer": make_optimizer(net, OptimizerSettings()),
        "balancer": make_balancer(BalancingSettings(), tasks, net),
        "guard": Guard(look_every=10_000),
        "autocast": autocast(precision, sizes.device),
        "clip_norm": 5.0,
    }
    return lambda _, batch: train_step(net, batch, tasks, **common)


def expert_widths(made: Architecture) -> list[int]:
    """Of the layers of each expert."""
    return [int(block[len("dense(") : -1]) for block in made.experts[0].blocks]


class PlainMMoE(nn.Module):
    """MMoE as its formulas read, of the sizes of our baseline.

    Shape: (B, F) ids -> (B, T) logits.
    """

    def __init__(self, sizes: Sizes, like: MultiTaskNet) -> None:
        super().__init__()
        made = Architecture.load("mmoe")
        dim, width = made.embedding_dim, made.embedding_dim * FIELDS
        widths = expert_widths(made)
        self.table = nn.Embedding(sizes.ids * FIELDS, dim)
        self.experts = nn.ModuleList(_mlp([width, *widths]) for _ in made.experts)
        self.gates = nn.ModuleList(nn.Linear(width, len(self.experts)) for _ in range(TASKS))
        towers = [widths[-1], *made.towers]
        self.towers = nn.ModuleList(
            nn.Sequential(_mlp(towers), nn.Linear(towers[-1], 1)) for _ in range(TASKS)
        )
        self.register_buffer("starts", torch.arange(FIELDS) * sizes.ids)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.table(ids.long() + self.starts).flatten(1)
        outputs = torch.stack([expert(x) for expert in self.experts], 1)  # (B, N, D)
        logits = []
        for gate, tower in zip(self.gates, self.towers, strict=True):
            weights = gate(x).softmax(1).unsqueeze(2)
            logits.append(tower((weights * outputs).sum(1)))
        return torch.cat(logits, 1)


def _mlp(widths: list[int]) -> nn.Sequential:
    layers = [(nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU()) for a, b in pairwise(widths)]
    return nn.Sequential(*(layer for group in layers for layer in group))


def plain_step(sizes: Sizes) -> Step:
    """A training step as it is often written: Adam, binary cross-entropy, gradients clipped."""
    net = PlainMMoE(sizes, mmoe_net(sizes)).to(sizes.device).train()
    return _usual(net, lambda batch: net(batch.inputs.ids))


def rechub_step(sizes: Sizes) -> Step:
    """torch-rechub's MMOE, in the same loop."""
    from torch_rechub.basic.features import SparseFeature
    from torch_rechub.models.multi_task import MMOE

    made = Architecture.load("mmoe")
    widths = expert_widths(made)
    names = [f"f{i}" for i in range(FIELDS)]
    fields = [SparseFeature(n, vocab_size=sizes.ids, embed_dim=made.embedding_dim) for n in names]
    net = MMOE(
        fields,
        ["classification"] * TASKS,
        n_expert=len(made.experts),
        expert_params={"dims": widths, "activation": "relu"},
        tower_params_list=[{"dims": list(made.towers), "activation": "relu"}] * TASKS,
    )
    net = net.to(sizes.device).train()

    def answers(batch: Batch) -> Tensor:
        ids = batch.inputs.ids.long()
        return torch.logit(net({n: ids[:, i] for i, n in enumerate(names)}), 1e-6)

    return _usual(net, answers)


def _usual(net: nn.Module, answers: Callable[[Batch], Tensor]) -> Step:
    adam = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)

    def step(_: Batch, batch: Batch) -> None:
        adam.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(answers(batch), batch.labels)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        adam.step()

    return step
