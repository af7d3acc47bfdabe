"""Judge search strategies on a table of trained architectures, by a rule that is set here before
any table exists.

    python scripts/judge_strategies.py TABLE --scores scores.jsonl --derived derived.jsonl
    python scripts/judge_strategies.py TABLE --scores scores.jsonl --sealed     # once, when a method is finished

TABLE is a shipped table's name or a Parquet file of `automtl benchmark`. A line of the scores is
{"strategy": NAME, "seed": N, "scores": {ARCHITECTURE: LOSS, ...}}: what one supernet, trained with
that seed, says of every architecture of the table, less being better. A line of the derived is
{"strategy": NAME, "seed": N, "losses": {"2": LOSS, "3": LOSS}}: validation losses of what the search
of that seed derived, by training seed: two of those of the table's groups, which no choice has seen.

The rule:
  1. gate: ICC of at least .3 without the worst interaction (`automtl.benchmarks.gate`), or the
     table judges no order and no G: it is for cost and ties.
  2. order: of at least 3 supernet seeds, Kendall's tau with the mean validation losses, over all
     architectures AND in the mean within interactions, must be above that of log FLOPs, log
     parameters and "interaction only": for each of the six, the lower 95% limit of the difference
     above 0 (2,000 resamples of architectures within interactions x supernets). Told beside: the
     tau attainable with two seeds, (2 / pi) asin sqrt(2 r / (1 + r)).
  3. G = (M - L) / (M - T) with T, M the means on fresh seeds of the table's 8 best and of its 8
     random architectures, L what was derived, all less what their seeds add to every architecture
     (added when tables had shown that they do): over 10 search seeds a mean of at least .7 and a
     one-sided 95% lower limit (t over searches) of at least .5. A strategy whose lower limit is not
     above the G of the best interaction alone has found one choice and is reported so.
  4. cost: strategies that train architectures alone (random, successive halving by 3, TPE) are
     replayed, 1,000 resamples, at 8, 16, 32 draws and all; with --budget at the most draws whose
     mean cost is within it. Their mean loss is given as G too, with the limit of 3 to expect of ten
     searches; costs are FLOPs by the ledger's rule, a training row three passes and a scored row
     one.

Sealed architectures are left out unless --sealed is given; with it they alone are judged, and the
replays and G, which choose among architectures, are left out.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from automtl.benchmarks import load
from automtl.benchmarks.gain import Marks, gain, marks
from automtl.benchmarks.gate import gate
from automtl.benchmarks.order import judge_order
from automtl.benchmarks.replay import RESAMPLES, Replayer
from automtl.bounds import parse_json
from automtl.errors import AutoMTLError, ConfigError, DataError

DRAWS = (8, 16, 32)
REPLAYED = ("random", "halving", "tpe")
FORMS: dict[str, Callable[[Any], Any]] = {
    "scores": dict,
    "losses": lambda losses: {int(seed): float(loss) for seed, loss in losses.items()},
}


def read(path: Path, key: str) -> dict[str, dict[int, Any]]:
    """By strategy and seed what the lines of a file say under a key."""
    found: dict[str, dict[int, Any]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            held = parse_json(line.encode())
            strategy, seed, value = str(held["strategy"]), int(held["seed"]), FORMS[key](held[key])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            rule = f"must be JSON with strategy, seed and {key}"
            raise DataError(f"{path}, line {number}", rule, error) from error
        if seed in found.setdefault(strategy, {}):
            raise DataError(f"{path}, line {number}", "must hold each seed once", f"{seed} again")
        found[strategy][seed] = value
    return found


def orders(path: Path, table: pd.DataFrame, resamples: int) -> list[dict[str, Any]]:
    """The verdicts on orders, printed."""
    rows = []
    for strategy, by_seed in read(path, "scores").items():
        verdict = judge_order(list(by_seed.values()), table, resamples=resamples)
        judged = "passed" if verdict.passed else "NOT passed"
        print(f"order: {strategy}: {judged}: {verdict.words}")
        for name, beside in verdict.baselines.items():
            print(f"    {name}: tau {beside.tau:+.2f}, within {beside.within:+.2f}")
        rows.append(
            {
                "strategy": strategy,
                "tau": verdict.tau,
                "within": verdict.within,
                "passed": verdict.passed,
            }
        )
    return rows


def gains(path: Path, table: pd.DataFrame) -> list[dict[str, Any]]:
    """The verdicts on derived models, printed."""
    rows = []
    for strategy, by_seed in read(path, "losses").items():
        verdict = gain(by_seed, table)
        print(f"G: {strategy}: {'passed' if verdict.passed else 'NOT passed'}: {verdict.words}")
        rows.append({"strategy": strategy, "G": verdict.mean, "passed": verdict.passed})
    return rows


def replays(
    table: pd.DataFrame, held: Marks | None, budget: float | None, resamples: int
) -> list[dict[str, Any]]:
    """What strategies without a supernet come to, printed."""
    replayer, rows = Replayer(table), []
    count = len(replayer.names)
    for name in REPLAYED:
        if budget is None:
            draws = sorted({d for d in DRAWS if d < count} | {count})
        else:
            draws = [d for d in [replayer.draws_within(name, budget)] if d]
        if not draws:
            print(f"replay: {name}: not one draw is within the budget")
        for number in draws:
            found = replayer.replay(name, number, resamples=resamples)
            worth, limit = (None, None) if held is None else held.of_searches(found.losses)
            told = "" if worth is None else f", G {worth:.2f}, limit {limit:.2f}"
            print(
                f"replay: {name}, {number} draws: {found.cost:.3g} FLOPs, loss {found.loss:.5f} "
                f"(single searches {found.middle[0]:.5f} to {found.middle[1]:.5f}){told}"
            )
            rows.append(
                {
                    "strategy": name,
                    "draws": number,
                    "cost": found.cost,
                    "loss": found.loss,
                    "G": worth,
                    "limit": limit,
                }
            )
    return rows


def judge(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that was asked for."""
    table, told = load(args.table, sealed=args.sealed), {}
    verdict = gate(table)
    print(f"gate: {verdict.words}")
    told["gate"] = verdict.passed
    if not verdict.passed:
        print("by the rule nothing else is judged on this table")
        return told
    if args.sealed:
        table = table[table["sealed"].astype(bool)].reset_index(drop=True)
        print("judged on the sealed architectures alone; neither G nor replays")
    if args.scores is not None:
        told["order"] = orders(args.scores, table, args.order_resamples)
    if not args.sealed:
        held = None
        try:
            held = marks(table)
        except DataError as error:
            print(f"G is not told: {error}")
        if args.derived is not None and held is not None:
            told["gain"] = gains(args.derived, table)
        told["replay"] = replays(table, held, args.budget, args.resamples)
    return told


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", help="a shipped table's name or a Parquet file")
    parser.add_argument("--scores", type=Path, help="what supernets say of the architectures")
    parser.add_argument("--derived", type=Path, help="losses of what searches derived")
    parser.add_argument("--sealed", action="store_true", help="judge the sealed third, once")
    parser.add_argument("--budget", type=float, help="FLOPs of a replay")
    parser.add_argument("--resamples", type=int, default=RESAMPLES, help="of a replay")
    parser.add_argument("--order-resamples", type=int, default=2000, help="of the bootstrap")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args(arguments)
    if args.sealed and args.derived is not None:
        raise ConfigError("--derived", "must not be given with --sealed", args.derived)
    told = judge(args)
    if args.json is not None:
        args.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except AutoMTLError as error:
        raise SystemExit(str(error)) from error
