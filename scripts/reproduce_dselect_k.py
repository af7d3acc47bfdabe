"""DSelect-k against top-k: do static gates find the experts that made the data (Hazimeh et al.
2021, Figure 2)?

Data: x ~ N(0, I) of 10 numbers; 8 experts, each a random network 10 -> 16 -> 1 with ReLU, its
output standardised; each of 4 tasks is a convex combination of 2 of them plus noise. Given: the
gates see the true experts, frozen, and learn only whom to take; a seed counts where every task's
set is exact. Learnt: experts are trained along and defined up to their order only, so that what is
reported is which tasks share how many. Generator and sizes were committed before any run; the
paper's appendix C.2 is not at hand. Rate, momentum and entropy were then tuned for both kinds
alike, by the error on OTHER data seeds (--tune), as the paper tunes them.

    python scripts/reproduce_dselect_k.py            # 10 data seeds, some minutes on one core
    python scripts/reproduce_dselect_k.py --tune     # 10 other data seeds, the error of every combination
"""

import argparse
import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from automtl.models.skeleton import seeded
from automtl.sharing import SHARING_MODULES
from automtl.sharing.base import SharingModule
from automtl.sharing.dselect_k import SELECT
from automtl.spaces.catalogue import module_settings, sharing_settings
from automtl.spaces.kinds import layout

INPUTS, HIDDEN, EXPERTS, TASKS, CHOSEN = 10, 16, 8, 4, 2
# rows of training data; sd of the noise; bounds of the first expert's weight
ROWS, NOISE, SHARE = 10_000, 0.1, (0.3, 0.7)
STEPS, BATCH = 2_000, 256
TUNING_SEEDS = range(100, 110)


@dataclass(frozen=True)
class Recipe:
    """How a kind is trained: Adam's rate, its beta1, the entropy's weight (DSelect-k only)."""

    rate: float
    momentum: float
    entropy: float | None = None

    def settings(self) -> dict[str, Any]:
        """Of the sharing module."""
        return {
            "k": CHOSEN,
            "per_example": False,
            **({} if self.entropy is None else {"entropy": self.entropy}),
        }


# Of the grid below, the smallest error on the tuning seeds.
RECIPES = {"dselect_k": Recipe(0.01, 0.0, 1e-4), "top_k": Recipe(0.03, 0.0)}
_RATES, _MOMENTA = (0.01, 0.03), (0.9, 0.0)
GRID = {
    "dselect_k": [Recipe(*values) for values in itertools.product(_RATES, _MOMENTA, (1e-4, 1e-3))],
    "top_k": [Recipe(*values) for values in itertools.product(_RATES, _MOMENTA)],
}


class Expert(nn.Module):
    """10 -> 16 -> 1 with ReLU; (B, INPUTS) -> (B, 1)."""

    width_out = 1

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(INPUTS, HIDDEN), nn.Linear(HIDDEN, 1)
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("std", torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return (self.second(torch.relu(self.first(x))) - self.mean) / self.std

    @torch.no_grad()
    def randomise(self, x: Tensor) -> "Expert":
        """Random weights, and an output of mean 0 and variance 1 over x; frozen."""
        for weight in self.parameters():
            weight.normal_()
        out = self(x)
        self.mean.copy_(out.mean())
        self.std.copy_(out.std())
        return self.requires_grad_(False)


class Column(nn.Module):
    """A given, frozen expert: its outputs are known, column `index` of what the module reads."""

    width_out = 1

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index

    def forward(self, outputs: Tensor) -> Tensor:
        return outputs[:, self.index : self.index + 1]


@dataclass(frozen=True)
class Data:
    """One data seed: x (ROWS, INPUTS), y (ROWS, TASKS), the true experts' outputs (ROWS, EXPERTS),
    and per task the set of those in y.
    """

    x: Tensor
    y: Tensor
    outputs: Tensor
    sets: list[frozenset[int]]


def generate(seed: int) -> Data:
    """The data of one seed."""
    with seeded(1_000 + seed):
        x = torch.randn(ROWS, INPUTS)
        experts = [Expert().randomise(x) for _ in range(EXPERTS)]
        outputs = torch.cat([expert(x) for expert in experts], dim=1)  # (ROWS, EXPERTS)
        sets, columns = [], []
        for _ in range(TASKS):
            first, second = torch.randperm(EXPERTS)[:CHOSEN].tolist()
            share = torch.empty(()).uniform_(*SHARE)
            columns.append(
                share * outputs[:, first]
                + (1 - share) * outputs[:, second]
                + NOISE * torch.randn(ROWS)
            )
            sets.append(frozenset((first, second)))
    return Data(x, torch.stack(columns, dim=1), outputs, sets)


def train(kind: str, recipe: Recipe, data: Data, *, given: bool, seed: int) -> SharingModule:
    """Fit gates (and experts, where they are not given) by Adam on the mean square error."""
    settings, x = sharing_settings(kind, recipe.settings()), data.outputs if given else data.x
    slots = layout(kind, num_tasks=TASKS, num_experts=EXPERTS, settings=settings)
    with seeded(2_000 + seed):
        module = SHARING_MODULES[kind](
            build=lambda slot, width: Column(slot.index) if given else Expert(),
            tasks=[f"task {t}" for t in range(TASKS)],
            width_in=x.shape[1],
            slots=slots,
            **module_settings(kind, settings),
        ).train()
        module.begin(SELECT)
        optimizer = torch.optim.Adam(
            module.parameters(), lr=recipe.rate, betas=(recipe.momentum, 0.999)
        )
        for step in range(STEPS):
            module.advance(step / STEPS)
            rows = torch.randint(ROWS, (BATCH,))
            predicted = torch.cat(module.share(x[rows]), dim=1)
            loss = (predicted - data.y[rows]).square().mean()
            extra = module.auxiliary_loss([], data.y[rows])
            (loss if extra is None else loss + extra).backward()
            optimizer.step()
            optimizer.zero_grad()
    return module.eval()


@torch.no_grad()
def found_sets(
    module: SharingModule, data: Data, *, given: bool
) -> tuple[list[frozenset[int]], float]:
    """Per task the experts of weight above 1e-5, and the mean square error over all rows."""
    predicted = torch.cat(module.share(data.outputs if given else data.x), dim=1)
    sets = [
        frozenset((weights > 1e-5).nonzero().flatten().tolist())
        for weights in module.gate_weights().values()
    ]
    return sets, float((predicted - data.y).square().mean())


def overlaps(sets: list[frozenset[int]]) -> list[int]:
    """How many experts each pair of tasks shares."""
    return [len(a & b) for a, b in itertools.combinations(sets, 2)]


def report(seeds: range, *, given: bool) -> None:
    """One line per seed and kind, and how many seeds (given) or pairs of tasks (learnt) came out
    right.
    """
    right = dict.fromkeys(RECIPES, 0)
    print(f"\n{'true experts given' if given else 'experts learnt'}: 8 experts, k = 2, 4 tasks")
    print(
        "seed  kind       "
        + ("tasks exact" if given else "pairs right")
        + "  mean square error  binary at step  sets found"
    )
    for seed in seeds:
        data = generate(seed)
        for kind, recipe in RECIPES.items():
            module = train(kind, recipe, data, given=given, seed=seed)
            sets, error = found_sets(module, data, given=given)
            good = sum(
                a == b
                for a, b in zip(
                    *((sets, data.sets) if given else (overlaps(sets), overlaps(data.sets))),
                    strict=True,
                )
            )
            right[kind] += good == TASKS if given else good
            said = " ".join("+".join(map(str, sorted(s))) for s in sets)
            print(
                f"{seed:4}  {kind:9}  {good:11}  {error:17.4f}  "
                f"{module.record().get('binary_step', '')!s:>14}  {said}"
            )
        if given:
            print(f"      truth{'':50}{' '.join('+'.join(map(str, sorted(s))) for s in data.sets)}")
    total = len(seeds) * (1 if given else TASKS * (TASKS - 1) // 2)
    what = (
        "seeds with every task's set exact"
        if given
        else "pairs of tasks with the right number of shared experts"
    )
    for kind, count in right.items():
        print(f"{kind}: {count} of {total} {what}")


def tune() -> None:
    """The error of every recipe over the tuning seeds, experts given."""
    sets = [generate(seed) for seed in TUNING_SEEDS]
    for kind, recipes in GRID.items():
        for recipe in recipes:
            errors = []
            for seed, data in zip(TUNING_SEEDS, sets, strict=True):
                module = train(kind, recipe, data, given=True, seed=seed)
                errors.append(found_sets(module, data, given=True)[1])
            print(
                f"{kind:9}  {recipe}: mean square error {sum(errors) / len(errors):.4f}", flush=True
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="data seeds 0, 1, ...")
    parser.add_argument(
        "--tune", action="store_true", help="compare recipes on other data seeds instead"
    )
    options = parser.parse_args()
    seeds = range(options.seeds)
    torch.set_num_threads(1)
    if options.tune:
        tune()
        return
    report(seeds, given=True)
    report(seeds, given=False)


if __name__ == "__main__":
    main()
