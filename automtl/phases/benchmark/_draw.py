"""The architectures of a table: drawn evenly from a space, one third of each stratum sealed, and
hand-made models cut to their size.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from automtl.benchmarks.tables import CONSTANT, DRAWN, HAND_MADE
from automtl.data.store.schema import Schema
from automtl.models.derived import build_model
from automtl.models.like_size import like_size, row_flops
from automtl.phases.benchmark.settings import TableSettings
from automtl.phases.run.alone import one_stage_networks
from automtl.spaces.architecture import Architecture, Sharing
from automtl.spaces.equivalence import form
from automtl.spaces.space import SearchSpace
from automtl.spaces.templates import changed
from automtl.strategies.encoding import MOST_DRAWS, SpaceEncoding
from automtl.strict import Strict, build

SEALED_SHARE = 1 / 3


class Entry(Strict):
    """One architecture of a table.

    Attributes:
        id: hash of what it computes.
        kind: drawn, hand-made, or the constant of the base rates.
        name: for people.
        stratum: its first interaction; "" where nothing was drawn.
        number: inside the stratum, as drawn.
        sealed: no choice may look at what comes of it.
        pilot: seeds that the gate needs.
        seeds: all seeds of the table's first part, the pilot's among them.
        definition: the architecture; None for the constant.
    """

    id: str
    kind: Literal["drawn", "hand-made", "constant"]
    name: str
    stratum: str = ""
    number: int = 0
    sealed: bool = False
    pilot: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()
    definition: dict[str, Any] | None = None

    @property
    def architecture(self) -> Architecture:
        """The architecture; the constant has none."""
        return build(Architecture, self.definition, self.name)


def architecture_id(architecture: Architecture) -> str:
    """Twelve hexadecimal digits that name what an architecture computes."""
    return hashlib.sha256(architecture.identity().encode("utf-8")).hexdigest()[:12]


def draw_entries(
    space: SearchSpace, schema: Schema, settings: TableSettings, say: Callable[[str], None]
) -> list[Entry]:
    """The drawn architectures, stratum by stratum in turn; fewer than asked for where the space
    holds no more, which is said.
    """
    encoding = SpaceEncoding(space, schema, Sharing(kind="selected"))
    strata = (
        [str(o) for o in space.interaction_operations] if space.num_interaction_blocks else [""]
    )
    wanted, pilots = (
        _even(count, len(strata)) for count in (settings.architectures, settings.pilot)
    )
    entries: list[Entry] = []
    for s, stratum in enumerate(strata):
        drawn = _distinct(
            encoding, settings.draw_seed, s if space.num_interaction_blocks else None, wanted[s]
        )
        if len(drawn) < wanted[s]:
            say(
                f"only {len(drawn)} distinct architectures with {stratum or 'no interaction'} "
                f"were found, not {wanted[s]}"
            )
        entries += _stratum(stratum, drawn, pilots[s])
    ordered = sorted(entries, key=lambda e: (e.number, strata.index(e.stratum)))
    return ordered if settings.sample is None else _sample(ordered, settings.sample)


def _even(count: int, parts: int) -> list[int]:
    return [count // parts + (i < count % parts) for i in range(parts)]


def _distinct(
    encoding: SpaceEncoding, seed: int, stratum: int | None, count: int
) -> list[Architecture]:
    """At most `count` architectures of a stratum, no two of which are equal up to the order of
    experts and to experts that no task uses.
    """
    known: dict[object, Architecture] = {}
    for attempt in range(MOST_DRAWS + count):
        if len(known) >= count:
            break
        genome = encoding.draw(np.random.default_rng([seed, stratum or 0, attempt]))
        if stratum is not None:
            genome = replace(genome, picks=(stratum, *genome.picks[1:]))
        architecture = encoding.architecture(genome).evolve(ranking=None, choices={})
        known.setdefault(form(architecture), architecture)
    return list(known.values())


def _stratum(stratum: str, drawn: Sequence[Architecture], pilot: int) -> list[Entry]:
    """The entries of a stratum: the third with the least hashes sealed, the first of the others the
    pilot, half of each with two seeds.
    """
    ids = [architecture_id(architecture) for architecture in drawn]
    closed = set(sorted(ids, key=lambda i: hash_of("sealed", i))[: round(len(ids) * SEALED_SHARE)])
    sides = ([i for i in ids if i not in closed], [i for i in ids if i in closed])
    first = sides[0][:pilot]
    twice = {*first, *(i for side in sides for i in side[: (len(side) + 1) // 2])}
    return [
        Entry(
            id=name,
            kind=DRAWN,
            name=f"{stratum or 'drawn'} {number}",
            stratum=stratum,
            number=number,
            sealed=name in closed,
            pilot=(0, 1) if name in first else (),
            seeds=(0, 1) if name in twice else (0,),
            definition=architecture.model_dump(mode="json"),
        )
        for number, (name, architecture) in enumerate(zip(ids, drawn, strict=True))
    ]


def hash_of(purpose: str, name: str) -> str:
    """A hash that orders names independently for each purpose."""
    return hashlib.sha256(f"{purpose}:{name}".encode()).hexdigest()


def _sample(entries: Sequence[Entry], count: int) -> list[Entry]:
    """The first of each stratum that are not sealed, with one seed."""
    order = list(dict.fromkeys(entry.stratum for entry in entries))
    open_ = [entry for entry in entries if not entry.sealed]
    places = {
        e.id: sum(o.stratum == e.stratum and o.number < e.number for o in open_) for e in open_
    }
    picked = sorted(open_, key=lambda e: (places[e.id], order.index(e.stratum)))[:count]
    return [entry.model_copy(update={"pilot": (), "seeds": (0,)}) for entry in picked]


def other_entries(
    entries: Sequence[Entry], schema: Schema, names: Sequence[str], changes: Mapping[str, Any]
) -> list[Entry]:
    """Hand-made models of about the drawn architectures' median FLOPs, with two seeds each, and the
    constant.

    Args:
        entries: the drawn ones.
        schema: the data set.
        names: of the hand-made models.
        changes: to their templates, as `architecture` says.
    """
    target = float(np.median([row_flops(entry.architecture, schema) for entry in entries]))
    hand_made = []
    for name in names:
        whole = changed(Architecture.load(name), changes).bind(schema)
        # refuses what cannot be trained, before anything is
        one_stage_networks(build_model(whole, schema), len(schema.tasks))
        architecture = like_size(whole, target, schema)
        plain = architecture.model_dump(mode="json")
        hand_made.append(
            Entry(
                id=architecture_id(architecture),
                kind=HAND_MADE,
                name=name,
                seeds=(0, 1),
                definition=plain,
            )
        )
    return [*hand_made, Entry(id=CONSTANT, kind=CONSTANT, name=CONSTANT, seeds=(0,))]
