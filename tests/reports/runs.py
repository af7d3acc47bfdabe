"""Run folders made by hand in the layout of ``runs/``, with any names and in any state; no training
needed.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from automtl.spaces.architecture import Architecture
from tests.reports.architectures import searched, weights


def write_json(path: Path, value) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def manifest(phase: str, state: str, *, planned: int, **values) -> dict:
    return {
        "state": state,
        "start": "2026-11-20T10:00:00+00:00",
        "end": None if state == "running" else "2026-11-20T10:20:00+00:00",
        "command": f"automtl {phase} clicks.yaml --out runs/made",
        "versions": {"python": "3.11.7", "automtl": "0.1.0"},
        "git_revision": None,
        "hardware": {"machine": "x86_64", "system": "Linux", "cuda": False},
        "test_reads": 0,
        "phase": phase,
        "seed": 0,
        "data": {"name": "clicks", "source": "clicks.yaml", "hash": "aa", "split_hash": "bb"},
        "planned_epochs": planned,
        **values,
    }


def metrics(names, rng) -> dict:
    rest = {"rows": 900, "positives": 90, "logloss": 0.3, "ne": 0.9, "calibration": 1.01}
    return {n: {**rest, "auc": 0.7 + 0.1 * rng.random()} for n in names}


def epoch_line(epoch: int, names, rng, rows: str = "validation") -> dict:
    losses = {n: 0.6 / (1 + epoch) + 0.01 * rng.random() for n in names}
    total = float(np.mean(list(losses.values())))
    return {
        "epoch": epoch,
        "loss": {**losses, "total": total},
        rows: {"tasks": metrics(names, rng), "loss": total + 0.02},
    }


def reliability(rng) -> list[dict]:
    p = np.sort(rng.random(20))
    return [
        {"prediction": float(v), "label": float(np.clip(v + 0.05 * rng.normal(), 0, 1)), "rows": 45}
        for v in p
    ]


def renamed(architecture: Architecture, names) -> Architecture:
    tasks = tuple(
        t.model_copy(update={"name": n}) for t, n in zip(architecture.tasks, names, strict=True)
    )
    return architecture.evolve(tasks=tasks)


def undecided(block: str, weights: dict) -> dict:
    """A choice as `darts` tells it."""
    taken, other = sorted(weights, key=weights.__getitem__)[:-3:-1]
    evidence = f"one supernet's belief: softmax(alpha) {weights[taken]:.3f}"
    plain = {"choice": block, "taken": taken, "runner_up": other, "verdict": "not decided"}
    return {**plain, "evidence": evidence, "alpha": "moving", "difference": None}


def write_search(
    run: Path,
    *,
    names=("click", "buy"),
    experts=4,
    epochs=5,
    state="done",
    finished=None,
    seed=0,
    **values,
) -> Architecture:
    """A search of ``epochs`` planned and ``finished`` recorded epochs."""
    rng, folder = np.random.default_rng(seed), run / "search"
    finished = epochs if finished is None else finished
    architecture = renamed(searched(len(names), experts, seed=seed, blocks=2), names)
    told = [undecided(block, weights) for block, weights in architecture.choices.items()]
    architecture = architecture.evolve(provenance={"decisions": told})
    write_json(
        folder / "manifest.json",
        manifest("search", state, planned=epochs, finished_epochs=finished, **values),
    )
    (folder / "config.yaml").write_text("seed: 0\nsearch:\n  epochs: 5\n")
    lines, alphas, betas = [], [], []
    for epoch in range(finished):
        usage = {name: list(weights(rng, range(experts)).values()) for name in names}
        mixed = {b: _towards(w, (epoch + 1) / epochs) for b, w in architecture.choices.items()}
        entropies = {b: float(-sum(v * np.log(v) for v in w.values())) for b, w in mixed.items()}
        extra = {
            "entropy": float(np.mean(list(entropies.values()))),
            "block_entropy": entropies,
            "expert_usage": usage,
            "lr": 0.02,
        }
        lines.append({**epoch_line(epoch, names, rng, "b"), **extra, "sharing": {}})
        alphas += [
            {"epoch": epoch, "block": b, "operation": o, "weight": v}
            for b, w in mixed.items()
            for o, v in w.items()
        ]
        betas += [
            {"epoch": epoch, "task": n, "expert": e, "weight": v}
            for n, row in usage.items()
            for e, v in enumerate(row)
        ]
    if lines:
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        pd.DataFrame(alphas).to_parquet(folder / "alphas.parquet")
        pd.DataFrame(betas).to_parquet(folder / "betas.parquet")
    if state in ("done", "time_limited"):
        architecture.save(folder / "architecture.json")
        write_json(
            folder / "cost.json",
            {
                "seconds": 1200.0,
                "samples": 400000,
                "flops_spent": 4_560_000_000_000,
                "reference_seconds": 789.0,
                "supernet": _cost(500_000),
            },
        )
    return architecture


def write_front(run: Path) -> None:
    """What `automtl pareto` leaves in a search's folder."""
    parts = {"exact": True, "interaction": ["<b>"], "experts": [["gate", "skip"]]}
    costs = [{"flops": c, "parameters": 5 * c} for c in (1200, 3400)]
    points = [
        {"file": f"flops-{c['flops']}.json", "cost": c, "score": -9.0 + c["flops"] / 1e3, **parts}
        for c in costs
    ]
    write_json(run / "search/pareto/front.json", {"of": "flops", "points": points})


def write_study(run: Path) -> None:
    """What `automtl tune` leaves in a run's folder."""
    values = {"search.epochs": 3, "<b>": "x"}
    trials = [
        {
            "number": n,
            "state": state,
            "values": values,
            "loss": loss,
            "cost": cost,
            "facts": facts,
            "steps": {"0": 0.7},
        }
        for n, (state, loss, cost, facts) in enumerate(
            [
                ("complete", 0.5, 9e9, {}),
                ("complete", 0.4, 2e9, {}),
                ("pruned", None, None, {}),
                ("fail", None, None, {"error": "<i>"}),
            ]
        )
    ]
    told = {
        "objective": "loss",
        "over": "budget",
        "within": 0.005,
        "named": {"best": 1, "smallest": 1},
        "front": [1],
        "trials": trials,
    }
    write_json(run / "tune/results.json", told)
    write_json(run / "tune/manifest.json", {"state": "done", "phase": "tune", "planned_trials": 4})


def _towards(mixed: dict[str, float], share: float) -> dict[str, float]:
    return {o: share * w + (1 - share) / len(mixed) for o, w in mixed.items()}


def _cost(parameters: int) -> dict:
    return {
        "table_parameters": 20_000,
        "other_parameters": parameters,
        "flops_per_row": 2 * parameters,
        "megabytes": parameters / 2.5e5,
    }


def write_retrain(
    run: Path,
    architecture: Architecture,
    *,
    seed=0,
    label="selected",
    epochs=4,
    state="done",
    test=True,
    **values,
) -> Path:
    """A retrain of a made architecture."""
    rng, folder = np.random.default_rng([7, seed, len(label)]), run / "retrain" / f"{label}-s{seed}"
    names = [task.name for task in architecture.tasks]
    told = {"test_reads": int(test), "seed": seed, "sharing": label, **values}
    write_json(folder / "manifest.json", manifest("retrain", state, planned=50, **told))
    (folder / "config.yaml").write_text(f"seed: {seed}\nretrain:\n  epochs: 50\n")
    experts = [str(e) for e in range(len(architecture.experts))]
    gates = {
        "levels": [
            {
                "experts": experts,
                "weights": {n: list(weights(rng, experts).values()) for n in names},
            }
        ]
    }
    gates["masked"] = {"megabytes": 1.5, "live": 0.5, "histogram": [1 / 12] * 12}
    gates["field_masks"] = {
        n: list(rng.random(len(architecture.fields))) for n in [*names, "shared"]
    }
    weighed = {
        "method": "pcgrad",
        "weights": dict.fromkeys(names, 1.1),
        "conflicts": 0.2,
        "backward_passes": 2.0,
        "extra_bytes": 4096,
    }
    off = [
        {"cells_off": e / epochs, "cells_off_by_level": [e / epochs, e / epochs]}
        for e in range(epochs)
    ]
    lines = [
        {
            **epoch_line(e, names, rng),
            "part": names,
            "best": e == epochs - 2,
            "sharing": {**gates, **off[e]},
        }
        for e in range(epochs)
    ]
    lines = [{**line, "balancing": weighed} for line in lines]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    architecture.save(folder / "architecture.json")
    if state == "done":
        parts = ("validation", "test") if test else ("validation",)
        figures = {part: _judged(names, rng) for part in parts}
        write_json(folder / "results.json", {"best_epochs": [epochs - 2], **figures})
        write_json(
            folder / "cost.json", {"seconds": 60.0, "samples": 90_000, "model": _cost(50_000)}
        )
    return folder


def _judged(names, rng) -> dict:
    tables = {name: reliability(rng) for name in names}
    return {
        "tasks": metrics(names, rng),
        "loss": 0.3 + 0.01 * rng.random(),
        "losses": dict.fromkeys(names, 0.3),
        "reliability": tables,
    }


def write_run(folder: Path, *, names=("click", "buy"), seeds=(0, 1, 2), **search) -> Path:
    """A whole run: search and retrains, evaluated."""
    architecture = write_search(folder, names=names, **search)
    for seed in seeds:
        write_retrain(folder, architecture, seed=seed)
    return folder
