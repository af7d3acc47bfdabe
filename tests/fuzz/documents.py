"""Legal documents of any form: architectures, spaces, data sets. Drawn from the catalogue, so that
what is new there is drawn too.
"""

from typing import Any

from hypothesis import strategies as st

from automtl.spaces.catalogue import SHARING
from automtl.spaces.operations import OPERATIONS
from tests.fuzz.damage import TEXTS

BUILT_IN = sorted(SHARING)
KINDS = ["binary", "regression", "multiclass"]
SHARES = st.floats(0, 1, allow_nan=False)
WIDTHS = st.integers(1, 12)


def operations(place: str) -> st.SearchStrategy[str]:
    """An operation that may stand in a place, with a small argument."""
    return st.sampled_from(
        sorted(name for name, s in OPERATIONS.items() if place in s.places)
    ).flatmap(_operation)


def _operation(name: str) -> st.SearchStrategy[str]:
    signature = OPERATIONS[name]
    if not signature.argument:
        return st.just(name)
    words = (
        st.sampled_from(signature.choices)
        if signature.choices
        else st.integers(0, 6).map(lambda n: 2 * n + 1 if signature.odd else n + 1)
    )
    return words.map(lambda word: f"{name}({word})")


@st.composite
def sharings(
    draw: st.DrawFn,
    num_experts: int,
    tasks: list[dict[str, Any]] | None,
    kinds: list[str] = BUILT_IN,
) -> dict[str, Any]:
    """A sharing kind with some of its settings, fit for so many experts and these tasks."""
    kind = draw(st.sampled_from(kinds))
    given: dict[str, Any] = {}
    for name, setting in SHARING[kind].settings.items():
        if not draw(st.booleans()) and setting.of != "experts":
            continue
        if setting.of == "tasks":
            given[name] = draw(st.permutations([t["name"] for t in tasks])) if tasks else None
        elif setting.of == "binary":
            given[name] = (
                draw(SHARES) if tasks and all(t["kind"] == "binary" for t in tasks) else 0.0
            )
        elif setting.choices:
            given[name] = draw(st.sampled_from(setting.choices))
        elif isinstance(setting.default, bool):
            given[name] = draw(st.booleans())
        elif isinstance(setting.default, float):
            given[name] = draw(st.floats(setting.minimum, min(setting.maximum, 10)))
        else:
            most = num_experts if setting.of == "experts" else 4
            given[name] = draw(
                st.integers(max(int(setting.minimum), 0), max(most, int(setting.minimum)))
            )
    return {"kind": kind, "settings": given}


def _names(most: int) -> st.SearchStrategy[list[str]]:
    return st.lists(TEXTS, min_size=1, max_size=most, unique=True)


@st.composite
def architectures(draw: st.DrawFn) -> dict[str, Any]:
    """A legal architecture as JSON values: a template, or bound to tasks and fields."""
    bound = draw(st.booleans())
    tasks = (
        [
            {"name": name, "kind": draw(st.sampled_from(KINDS)), "classes": 3}
            for name in draw(_names(3))
        ]
        if bound
        else None
    )
    fields = (
        [
            {"name": name, "kind": draw(st.sampled_from(["categorical", "numeric", "multi"]))}
            for name in draw(_names(3))
        ]
        if bound
        else None
    )
    experts = draw(
        st.lists(
            st.lists(operations("expert"), min_size=1, max_size=3).map(lambda b: {"blocks": b}),
            min_size=1,
            max_size=4,
        )
    )
    everyone = list(range(len(experts)))
    made: dict[str, Any] = {
        "name": draw(TEXTS),
        "tasks": tasks,
        "fields": fields,
        "embedding_dim": draw(WIDTHS),
        "numeric": draw(st.sampled_from(["linear", "joint", "periodic"])),
        "interaction": draw(st.lists(operations("interaction"), max_size=2)),
        "projection": draw(st.none() | WIDTHS),
        "experts": experts,
        "towers": draw(st.lists(WIDTHS, max_size=2)),
        "dropout": draw(st.floats(0, 0.9)),
        "batch_norm": draw(st.booleans()),
        "provenance": draw(st.dictionaries(TEXTS, st.none() | st.integers() | TEXTS, max_size=2)),
        "choices": draw(
            st.dictionaries(TEXTS, st.dictionaries(TEXTS, SHARES, max_size=2), max_size=2)
        ),
    }
    pool = len(experts)
    if tasks and draw(st.booleans()):
        picks = [sorted(draw(st.sets(st.sampled_from(everyone), min_size=1))) for _ in tasks]
        made["chosen"], pool = picks, len({i for pick in picks for i in pick})
    if tasks and draw(st.booleans()):
        made["ranking"] = [
            [{"expert": i, "weight": draw(SHARES)} for i in draw(st.permutations(everyone))]
            for _ in tasks
        ]
    return {**made, "sharing": draw(sharings(pool, tasks))}


@st.composite
def spaces(draw: st.DrawFn) -> dict[str, Any]:
    """A legal search space as YAML values."""
    dim, experts = draw(st.sampled_from([4, 8, 12])), draw(st.integers(1, 5))
    fits = operations("interaction").filter(
        lambda o: not o.startswith("self_attention") or dim % int(o[15:-1]) == 0
    )
    expert = operations("expert").filter(lambda o: not o.startswith("dense"))
    return {
        "name": draw(TEXTS),
        "source": draw(TEXTS),
        "embedding_dim": dim,
        "interaction": draw(st.lists(fits, min_size=1, max_size=3, unique=True)),
        "num_interaction_blocks": draw(st.integers(0, 2)),
        "expert": draw(st.lists(expert, min_size=1, max_size=3, unique=True)),
        "num_experts": experts,
        "num_blocks": draw(st.integers(1, 3)),
        "expert_dim": draw(WIDTHS),
        "widths": draw(st.sampled_from(["full", "nested"])),
        "chosen_experts": draw(st.none() | st.integers(1, experts)),
        "tie_alphas": draw(st.sampled_from(["none", "levels", "all"])),
        "towers": draw(st.lists(WIDTHS, max_size=2)),
        "dropout": draw(st.floats(0, 0.9)),
        "batch_norm": draw(st.booleans()),
        "recommended": draw(st.sampled_from([{}, {"search": {"epochs": 3, "warmup_epochs": 1}}])),
    }


COLUMN = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@st.composite
def datasets(draw: st.DrawFn) -> dict[str, Any]:
    """A legal data set as YAML values, its file rows.csv."""
    names = draw(st.lists(COLUMN, min_size=4, max_size=7, unique=True))
    label, other, column, *features = names
    split = draw(st.sampled_from(["random", "time", "by_user"]))
    kind = draw(st.sampled_from(KINDS))
    made: dict[str, Any] = {
        "name": draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True)),
        "source": draw(TEXTS),
        "files": {"train": draw(st.sampled_from(["rows.csv", ["rows.csv"]]))},
        "csv": {"delimiter": draw(st.sampled_from([",", "\t", ";", "|"]))},
        "features": [draw(_feature(name)) for name in features],
        "tasks": [
            {"name": draw(COLUMN), "label": label, "kind": kind, "weight": draw(st.floats(0.1, 10))}
            | ({"transform": "log1p"} if kind == "regression" and draw(st.booleans()) else {})
            | ({"where": 'a == 1 and b != "x"'} if draw(st.booleans()) else {})
            | ({"sample_weight": other} if draw(st.booleans()) else {})
        ],
        "split": {
            "kind": split,
            "seed": draw(st.integers(0, 2**40)),
            "column": column if split != "random" or draw(st.booleans()) else None,
        },
    }
    return made | ({"keep": [other], "group": column} if draw(st.booleans()) else {})


@st.composite
def _feature(draw: st.DrawFn, name: str) -> dict[str, Any]:
    kind = draw(st.sampled_from(["categorical", "multi", "sequence", "numeric"]))
    made: dict[str, Any] = {"name": name, "kind": kind}
    if kind == "numeric":
        return made | {
            "transform": draw(st.sampled_from(["none", "log1p", "quantile"])),
            "missing": draw(st.sampled_from(["mean", "indicator"])),
        }
    if kind != "categorical":
        made |= {
            "max_length": draw(st.integers(1, 50)),
            "separator": draw(st.sampled_from([",", " ", "||"])),
        }
    return made | draw(
        st.sampled_from([{}, {"min_count": 2}, {"hash_buckets": 10}, {"embedding_dim": 4}])
    )
