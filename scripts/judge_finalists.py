"""Is the best model that a search found at least not worse than the best hand-made one? Settings,
margins, seeds and the rule, fixed here before any of these runs.

    python scripts/judge_finalists.py --data movielens_100k --out finalists
    python scripts/judge_finalists.py --data movielens_100k --out finalists --resume

One default search of `automtl_small` (evenly drawn architectures and a race, `--seed 0`) with the
default hand-made models beside. Its best finalist that is not hand-made (where a hand-made one wins,
the winner of the same search without them) and its best hand-made model are trained with SEEDS,
which no choice has seen, by the settings of `automtl retrain`, alike for both; then each model's test
rows are read, once.

Rule, for each data set: of the mean test MTL-Loss, finalist less hand-made, the upper one-sided 95%
limit (Welch, over retrain seeds) is below the data set's margin in MARGINS: 1.5 times the deviation
between seeds that was measured before (docs/results/architecture_table.md; the first trainings on
Census-Income and KuaiRand-Pure). Where the difference is shown to be above 0, the hand-made model is
better and that is the answer.

What has ended is not run again: --resume goes on.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import automtl
from automtl.errors import AutoMTLError
from automtl.statistics import noninferior, welch

SEEDS = tuple(range(100, 110))
MARGINS = {"movielens_100k": 0.0063, "census_income": 0.0012, "kuairand_pure": 0.0019}
SPACE = "automtl_small"


def searched(data: str, out: Path, resume: bool, given: dict[str, Any]) -> tuple[Path, str]:
    """The run whose winner is the best searched finalist, and the best hand-made model's name."""
    run = out / "search"
    _search(data, run, resume, given)
    race = json.loads((run / "search" / "architecture.json").read_text(encoding="utf-8"))
    outcome = race["provenance"]["race"]
    if outcome["kind"] != "rival":
        return run, str(outcome["rival"]["name"])
    print(f"hand-made {outcome['winner']} won the race; the same search without hand-made models")
    alone = out / "search_alone"
    _search(data, alone, resume, given | {"search": {**given.get("search", {}), "rivals": []}})
    return alone, str(outcome["winner"])


def _search(data: str, run: Path, resume: bool, given: dict[str, Any]) -> None:
    if not (run / "search" / "architecture.json").exists():
        automtl.search(data, space=SPACE, out=run, seed=0, resume=resume and run.exists(), **given)


def trained(
    source: Path | str, data: str | None, out: Path | None, resume: bool, given: dict[str, Any]
) -> automtl.Models:
    """The models of all seeds, by one trainer: what a hand-made model's file recommends is left
    out.
    """
    folder = (out or Path(source)) / "retrain"
    alike: dict[str, Any] = {**given, "retrain": {**given.get("retrain", {}), "recommended": False}}
    return automtl.retrain(
        source, data, out=out, seeds=SEEDS, resume=resume and folder.exists(), **alike
    )


def judge(data: str, rival: str, models: automtl.Models, plain: automtl.Models) -> dict[str, Any]:
    """Read the test rows and apply the rule."""
    own, other = (_losses(of_all_seeds) for of_all_seeds in (models, plain))
    test, margin = welch(own, other), MARGINS[data]
    assert test is not None, "two seeds or more of each"
    held = noninferior(test, margin)
    worse = test.low > 0
    print(
        f"{data}: finalist less {rival}: {test.difference:+.5f} (95% {test.low:+.5f} to "
        f"{test.high:+.5f}), margin {margin}: {'holds' if held else 'NOT shown'}"
        f"{'; the hand-made model is better' if worse else ''}"
    )
    return {
        "data": data,
        "finalist": own,
        "hand_made": rival,
        "losses": other,
        "difference": test.difference,
        "interval": [test.low, test.high],
        "margin": margin,
        "holds": held,
        "worse": worse,
    }


def _losses(models: automtl.Models) -> list[float]:
    frame = automtl.evaluate(models, verbose=False).details["seeds"]
    return [float(loss) for loss in frame["MTL-Loss"]]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", choices=sorted(MARGINS), required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--resume", action="store_true", help="go on with what was begun there")
    parser.add_argument("--threads", type=int, default=1, help="of each training")
    args = parser.parse_args(arguments)
    verdict = args.out / args.data / "judged.json"
    if verdict.exists():
        print(verdict.read_text(encoding="utf-8"))
        return
    given: dict[str, Any] = {"runtime": {"threads": args.threads}}
    run, rival = searched(args.data, verdict.parent, args.resume, given)
    models = trained(run, None, None, args.resume, given)
    plain = trained(rival, args.data, verdict.parent / "hand_made", args.resume, given)
    told = judge(args.data, rival, models, plain)
    verdict.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except AutoMTLError as error:
        raise SystemExit(str(error)) from error
