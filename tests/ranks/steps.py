"""Training steps in float64 without BatchNorm that one process and several ranks must make alike.

A case is a function of `Ranks` that trains something for a few steps on its own rows of each batch,
and hands back all that was trained. Rows lack labels: of the second task 90%, and in the second
step all labels of the first task that the last of two ranks has.
"""

import contextlib
from dataclasses import replace

import torch
import torch.distributed as dist
import torch.multiprocessing

from automtl.data.store.batches import Batch, Inputs
from automtl.models.derived import IndependentNets, build_model
from automtl.models.supernet import build_supernet
from automtl.ranks import ALONE, Group
from automtl.runs import checkpoint
from automtl.spaces.architecture import Architecture, Sharing
from automtl.spaces.placement import plugged
from automtl.strategies._evolution import SinglePath
from automtl.strategies._sampled import Sampled
from automtl.strategies._unrolled import Unrolled
from automtl.strategies.darts import Darts
from automtl.strategies.darts_settings import DartsSettings
from automtl.strategies.encoding import SpaceEncoding
from automtl.training.balancing import make_balancer
from automtl.training.balancing.balancer import BalancingSettings
from automtl.training.optim.optimizers import OptimizerSettings, make_optimizer
from automtl.training.step import train_step
from automtl.training.step.guard import BadBatch, Guard
from tests.support import random_batch, small_schema, small_space

SCHEMA = small_schema(3)
ROWS = 24
KINDS = """shared_bottom moe mmoe cgc ple ml_mmoe adatt adatt_sp aitm cross_stitch dselect_k gumbel
mome mssm snr_aver snr_trans top_k single_task""".split()
BALANCERS = ["equal", "uncertainty", "gradnorm", "pcgrad", "cagrad", "mgda", "aligned_mtl"]


def batch_of(step, ranks, rows=ROWS):
    """This rank's rows of a step."""
    whole = random_batch(SCHEMA, rows=rows, seed=step)
    g = torch.Generator().manual_seed(100 + step)
    labels, weights = whole.labels.clone(), torch.rand(whole.labels.shape, generator=g).double()
    labels[torch.rand(rows, generator=g) < 0.9, 1] = torch.nan
    if step == 1:
        labels[1::2, 0] = torch.nan
    mine = slice(ranks.rank, None, ranks.size)
    inputs = Inputs(whole.inputs.ids[mine], whole.inputs.dense[mine].double())
    alone = ranks.size == 1
    return Batch(
        inputs, labels[mine], weights[mine], whole.rows[mine], None if alone else whole.rows
    )


def everything(net, **more):
    """All that was trained, copied; of gates' meters the mean, which is what they tell: weights
    that are alike for all rows are seen once by each rank.
    """
    held = {name: value.clone().double() for name, value in net.state_dict().items()}
    for name in [name for name in held if name.endswith(".total")]:
        held[name] /= held.pop(name.removesuffix("total") + "rows")
    return held | {name: value.clone() for name, value in more.items()}


# -- the search


def stepper(kind, ranks, **settings):
    space = small_space(batch_norm=False, dropout=settings.pop("dropout", 0.0))
    generator = torch.Generator().manual_seed(7)
    net = build_supernet(space, SCHEMA, seed=3, generator=generator).double()
    given = {"epochs": 3, "warmup_epochs": 1, "weight_lr": 0.05, "alpha_lr": 0.05, **settings}
    plain = {"guard": Guard(), "ranks": ranks}
    made = DartsSettings(**given)
    if kind in ("exact", "finite"):
        return Unrolled(net, SCHEMA, made, hvp=kind, **plain)
    if kind in ("snas", "gdas"):
        heat = {"temperature": 2.0, "final_temperature": 0.5, "generator": generator}
        return Sampled(net, SCHEMA, made, hard=kind == "gdas", **heat, **plain)
    if kind == "evolution":
        encoding = SpaceEncoding(space, SCHEMA, Sharing(kind="mmoe"))
        return SinglePath(net, SCHEMA, made, encoding=encoding, generator=generator, **plain)
    return Darts(net, SCHEMA, made, **plain)


def search(kind, **settings):
    def run(ranks):
        made = stepper(kind, ranks, **settings)
        losses = []
        for epoch in range(2):
            made.begin_epoch(epoch)
            for step in range(2):
                found = made.step(batch_of(2 + step, ranks), batch_of(step, ranks))
                losses.append(torch.cat([found.sums, found.weights, found.total.reshape(1)]))
            made.end_epoch()
        return everything(made.net, losses=torch.stack(losses).detach().double())

    return run


# -- discrete networks


def retrain(kind, *, tables=None, balancing=None, optimizer="adam", extra=None, nan=None):
    def run(ranks):
        template = Architecture.load(kind).evolve(
            embedding_dim=4, towers=(4,), batch_norm=False, dropout=0.0
        )
        if extra:
            template = plugged(template, kind, {**template.sharing.settings, **extra})
        settings = OptimizerSettings(optimizer=optimizer, lr=0.01, embedding_optimizer=tables)
        generator = torch.Generator().manual_seed(7)
        net = build_model(
            template.bind(SCHEMA), SCHEMA, seed=3, sparse=settings.sparse, generator=generator
        )
        net = net.double()
        parts = list(net.nets) if isinstance(net, IndependentNets) else [net]
        for number, part in enumerate(parts):
            columns = [number] if len(parts) > 1 else list(range(len(SCHEMA.tasks)))
            seen = train(part, columns, ranks, settings, balancing, nan)
            if "bad" in seen:  # what a step that stopped leaves is not gone on with
                return seen
        return everything(net, **seen)

    return run


def train(net, columns, ranks, settings, balancing, nan):
    """Three steps in each stage of its sharing module; with `nan`, a number of the second one's last
    row is infinite, and what the guard made of it is handed back.
    """
    guard = Guard(nan or "stop")
    tasks = [SCHEMA.tasks[c] for c in columns]
    balancer = make_balancer(BalancingSettings(balancing or "fixed"), tasks, net, ranks=ranks)
    for stage in net.sharing.stages():
        net.sharing.begin(stage.name)
        optimizer = make_optimizer(net, settings)
        for step in range(3):
            net.sharing.advance(step / 3)
            batch = batch_of(step, ranks)
            if nan and step == 1 and ranks.rank == ranks.size - 1:
                batch.inputs.dense[-1] = torch.inf
            batch = replace(
                batch, labels=batch.labels[:, columns], weights=batch.weights[:, columns]
            )
            given = {"optimizer": optimizer, "balancer": balancer, "guard": guard}
            try:
                train_step(
                    net, batch, tasks, **given, autocast=contextlib.nullcontext, clip_norm=0.5
                )
            except BadBatch as bad:
                return {"bad": torch.tensor(bad.rows)}
        optimizer.flush()
    return {"skipped": torch.tensor(guard.skipped)}


CASES = {
    "darts": search("darts"),
    "darts lazy_adam": search("darts", embedding_optimizer="lazy_adam"),
    "darts gradnorm": search("darts", balancing=BalancingSettings("gradnorm")),
    "darts pcgrad": search("darts", balancing=BalancingSettings("pcgrad")),
    "darts cost": search("darts", cost_weight=0.3),
    **{kind: search(kind) for kind in ("exact", "finite", "snas", "gdas", "evolution")},
    **{f"retrain {kind}": retrain(kind) for kind in KINDS},
    "retrain dselect_k per example": retrain("dselect_k", extra={"per_example": True}),
    "retrain aitm calibration": retrain("aitm", extra={"calibration": 0.5}),
    "tables sgd": retrain("mmoe", tables="sgd"),
    "tables lazy_adam": retrain("mmoe", tables="lazy_adam", optimizer="sgd"),
    **{f"balancing {method}": retrain("mmoe", balancing=method) for method in BALANCERS},
    "balancing pcgrad, sparse tables": retrain("mssm", balancing="pcgrad", tables="sgd"),
    "balancing gradnorm, sparse tables": retrain("mome", balancing="gradnorm", tables="sgd"),
    "nan skipped": retrain("mmoe", nan="skip", tables="sgd"),
    "nan stops": retrain("mmoe", nan="stop"),
}
# with noise for rows: no one process makes the same
NOISY = {"dropout darts": search("darts", dropout=0.3), "dropout gdas": search("gdas", dropout=0.3)}
SHORT = [
    "darts",
    "retrain dselect_k per example",
    "balancing gradnorm, sparse tables",
    "nan skipped",
    "nan stops",
]


def _work(rank, size, folder, names):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size)
    group = Group(60)
    for number, name in enumerate(names):
        before = group.calls
        found = (CASES | NOISY)[name](group)
        found["calls"] = torch.tensor(group.calls - before)
        checkpoint.save(folder / f"{number}-{rank}.safetensors", found)
    dist.destroy_process_group()


def on_ranks(size, folder, names):
    """What each rank makes of the cases: by name, one mapping per rank."""
    torch.multiprocessing.spawn(_work, (size, folder, names), nprocs=size)
    return {
        name: [checkpoint.load(folder / f"{number}-{r}.safetensors") for r in range(size)]
        for number, name in enumerate(names)
    }


def alone(name):
    """What one process makes of a case."""
    return CASES[name](ALONE)


def apart(one, other):
    """The largest difference between two results."""
    return max(
        (float((one[n].double() - other[n].double()).abs().max()) if one[n].numel() else 0.0)
        for n in one
        if n != "calls"
    )
