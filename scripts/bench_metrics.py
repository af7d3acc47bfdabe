"""AUC against scikit-learn: paired and interleaved, medians of the ratios; a table, and JSON with
--json FILE.

    python scripts/bench_metrics.py [--rows 10000000] [--pairs 5] [--json FILE]

In each round every contender runs once on the same arrays, so a busy machine slows all of them.
Needs the test extra.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from automtl.files import write_json
from automtl.training.metrics.auc import auc
from automtl.training.metrics.gauc import gauc

BATCH = 2048


@dataclass(frozen=True)
class Case:
    """What is timed: `reference` and ours by name, all giving the same number; the ratio that must
    be reached.
    """

    name: str
    reference: Callable[[], float | None]
    ours: dict[str, Callable[[], float | None]]
    at_least: float | None = None


def predictions(rows: int, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels and float32 logits, the positives' one unit higher."""
    rng = np.random.default_rng(0)
    labels = (rng.random(rows) < rate).astype(np.float32)
    return labels, (rng.standard_normal(rows, dtype=np.float32) + labels).astype(np.float32)


def one_auc(rows: int, rate: float, at_least: float) -> Case:
    labels, scores = predictions(rows, rate)
    ours = {
        f"{n} thread{'s' * (n > 1)}": lambda n=n: auc(labels, scores, threads=n) for n in (1, 2)
    }
    return Case(
        f"AUC, {rows:,} rows, {rate:.0%} positives",
        lambda: roc_auc_score(labels, scores),
        ours,
        at_least,
    )


def weighted_auc(rows: int) -> Case:
    labels, scores = predictions(rows, 0.02)
    weights = np.random.default_rng(1).random(rows)
    ours = {"1 thread": lambda: auc(labels, scores, weights)}
    return Case(
        f"AUC with weights, {rows:,} rows, 2% positives",
        lambda: roc_auc_score(labels, scores, sample_weight=weights),
        ours,
    )


def from_batches(rows: int) -> Case:
    """The peers' way: predictions gathered batch by batch in Python lists."""
    labels, scores = predictions(rows, 0.02)
    batches = [(labels[i : i + BATCH], scores[i : i + BATCH]) for i in range(0, rows, BATCH)]

    def lists() -> float:
        truth: list[float] = []
        predicted: list[float] = []
        for y, z in batches:
            truth.extend(y.tolist())
            predicted.extend(z.tolist())
        return float(roc_auc_score(truth, predicted))

    def arrays() -> float | None:
        return auc(*(np.concatenate(column) for column in zip(*batches, strict=True)))

    return Case(f"AUC from batches, {rows:,} rows, lists", lists, {"1 thread": arrays})


def grouped(rows: int) -> Case:
    labels, scores = predictions(rows, 0.1)
    groups = np.random.default_rng(2).integers(0, max(rows // 100, 1), rows)

    def loop() -> float:
        order = np.argsort(groups, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
        kept = [
            (roc_auc_score(labels[part], scores[part]), part.size)
            for part in parts
            if 0 < labels[part].sum() < part.size
        ]
        return sum(value * size for value, size in kept) / sum(size for _, size in kept)

    return Case(
        f"grouped AUC, {rows:,} rows, {rows // 100:,} groups, loop",
        loop,
        {"1 thread": lambda: gauc(labels, scores, groups)},
    )


def timed(function: Callable[[], float | None]) -> tuple[float, float | None]:
    start = time.perf_counter()
    value = function()
    return time.perf_counter() - start, value


def measure(case: Case, pairs: int) -> list[dict[str, Any]]:
    rounds = [
        {name: timed(way) for name, way in {"": case.reference, **case.ours}.items()}
        for _ in range(pairs)
    ]
    found = []
    for name in case.ours:
        ratios = [one[""][0] / one[name][0] for one in rounds]
        found.append(
            {
                "case": case.name,
                "ours": name,
                "reference_s": statistics.median(one[""][0] for one in rounds),
                "ours_s": statistics.median(one[name][0] for one in rounds),
                "ratio": statistics.median(ratios),
                "ratios": ratios,
                "at_least": case.at_least,
                "difference": max(abs((one[""][1] or 0) - (one[name][1] or 0)) for one in rounds),
            }
        )
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rows",
        type=int,
        default=10_000_000,
        help="of the large cases; the small ones take a tenth and a fiftieth",
    )
    parser.add_argument("--pairs", type=int, default=5, help="rounds; medians are over these")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args(arguments)
    rows = options.rows
    makers = [
        lambda: one_auc(rows, 0.02, 15),
        lambda: one_auc(rows, 0.5, 5),
        lambda: weighted_auc(rows),
        lambda: from_batches(rows // 10),
        lambda: grouped(rows // 50),
    ]
    results: list[dict[str, Any]] = []
    print(
        f"{'case':58} {'ours':>10} {'reference s':>12} {'ours s':>8} {'ratio':>7} {'range':>13} "
        f"{'needed':>7} {'difference':>11}"
    )
    for make in makers:  # one after the other: the arrays of one case at a time
        for r in measure(make(), options.pairs):
            needed = "" if r["at_least"] is None else f"{r['at_least']:.0f}"
            spread = f"{min(r['ratios']):.1f}-{max(r['ratios']):.1f}"
            print(
                f"{r['case']:58} {r['ours']:>10} {r['reference_s']:12.3f} {r['ours_s']:8.3f} "
                f"{r['ratio']:7.1f} {spread:>13} "
                f"{needed:>7} {r['difference']:11.1e}",
                flush=True,
            )
            results.append(r)
    if options.json:
        write_json(
            options.json,
            {"rows": rows, "pairs": options.pairs, "numpy": np.__version__, "results": results},
        )


if __name__ == "__main__":
    main()
