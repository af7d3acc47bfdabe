"""Which architectures a table holds: drawn evenly, distinct, a third sealed; hand-made ones cut to
their size.
"""

import json

import numpy as np
import pytest

from automtl.errors import ConfigError
from automtl.models import like_size
from automtl.phases.benchmark import _draw
from automtl.phases.benchmark.settings import TableSettings
from automtl.phases.run.opening import open_session
from automtl.spaces.architecture import Architecture
from automtl.spaces.equivalence import form
from tests.phases.tables import benchmark, config
from tests.support import write_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), rows=600)


def test_draws_are_even_distinct_bound_sealed_by_a_third_and_the_same_again(dataset):
    session = open_session(config(dataset))
    settings = TableSettings(architectures=24, pilot=8)
    entries = _draw.draw_entries(session.config.space, session.schema, settings, print)
    assert entries == _draw.draw_entries(session.config.space, session.schema, settings, print)
    assert len({e.id for e in entries}) == len({form(e.architecture) for e in entries}) == 24
    for stratum in ("cross(1)", "skip"):
        own = [e for e in entries if e.stratum == stratum]
        assert (
            len(own) == 12
            and {e.architecture.interaction for e in own} == {(stratum,)}
            and sum(e.sealed for e in own) == 4
        )
        assert (
            sum(len(e.seeds) == 2 for e in own) == 6
            and sum(len(e.seeds) == 2 for e in own if e.sealed) == 2
        )
        pilot = [e for e in own if e.pilot]
        assert (
            len(pilot) == 4
            and not any(e.sealed for e in pilot)
            and {e.seeds for e in pilot} == {(0, 1)}
        )
    for entry in entries:
        made = entry.architecture
        assert (
            made.sharing.kind == "selected"
            and not made.is_template
            and {len(c) for c in made.chosen} == {3}
            and made.choices == {}
        )
    other = _draw.draw_entries(
        session.config.space,
        session.schema,
        TableSettings(architectures=24, pilot=8, draw_seed=1),
        print,
    )
    assert {e.id for e in other} != {e.id for e in entries}


def test_architectures_that_differ_by_the_order_of_experts_are_one():
    base = {"tasks": [{"name": "y", "kind": "binary"}], "fields": [], "projection": 8}
    one = Architecture.model_validate_json(
        json.dumps(
            {**base, "experts": [{"blocks": ["skip"]}, {"blocks": ["gate"]}], "chosen": [[0]]}
        )
    )
    two = one.evolve(experts=one.experts[::-1], chosen=((1,),))
    unused = one.evolve(experts=(one.experts[0], one.experts[0]))
    assert form(one) == form(two) == form(unused) != form(one.evolve(chosen=((1,),)))


def test_a_space_with_fewer_architectures_says_so(dataset):
    told = []
    session = open_session(config(dataset, "space.expert=[skip]", "space.num_experts=1"))
    entries = _draw.draw_entries(
        session.config.space, session.schema, TableSettings(architectures=8, pilot=2), told.append
    )
    assert len(entries) == 2 and told == [
        f"only 1 distinct architectures with {o} were found, not 4" for o in ("cross(1)", "skip")
    ]


def test_too_few_architectures_for_the_gate_are_refused_before_any_training(dataset, tmp_path):
    """All were trained, then the table failed."""
    made = benchmark(dataset, sets=["space.interaction=[skip]"], architectures=2)
    refusal = "must draw two architectures or more that are not sealed, .*, got 1 of 2; raise"
    with pytest.raises(ConfigError, match=refusal):
        made.forecast()
    with pytest.raises(ConfigError, match=refusal):
        made.run(tmp_path / "t", anyway=True)
    assert not (tmp_path / "t").exists()


def test_hand_made_models_are_cut_to_the_drawn_ones_size(dataset):
    session = open_session(
        config(dataset, "space.towers=[64]", "space.expert_dim=64", "space.embedding_dim=16")
    )
    schema = session.schema
    target = 60_000.0
    for name in ("shared_bottom", "mmoe", "ple", "adatt", "cgc", "single_task"):
        cut = like_size.like_size(Architecture.load(name).bind(schema), target, schema)
        whole = like_size.row_flops(Architecture.load(name).bind(schema), schema)
        assert (
            like_size.row_flops(cut, schema) < whole
            and abs(np.log(like_size.row_flops(cut, schema) / target)) < 0.5
        ), name
    with pytest.raises(ConfigError, match="must have experts of dense"):
        like_size.like_size(
            _draw.draw_entries(session.config.space, schema, TableSettings(), print)[
                0
            ].architecture,
            target,
            schema,
        )


def test_a_sample_is_the_first_of_the_same_draws_with_one_seed(dataset):
    session = open_session(config(dataset))
    two = (TableSettings(architectures=24, pilot=8, sample=s) for s in (None, 5))
    all_, some = (
        _draw.draw_entries(session.config.space, session.schema, settings, print)
        for settings in two
    )
    assert (
        len(some) == 5
        and {e.id for e in some} <= {e.id for e in all_ if not e.sealed}
        and {e.seeds for e in some} == {(0,)}
    )
    assert sorted(e.stratum for e in some) == ["cross(1)"] * 3 + ["skip"] * 2


def test_a_kind_that_trains_in_stages_has_no_place(dataset, tmp_path):
    made = benchmark(dataset, hand_made=("mmoe", "mome"))
    with pytest.raises(
        ConfigError, match="mome: must train in one stage to be compared at equal rows"
    ):
        made.run(tmp_path / "t")
    assert not (tmp_path / "t").exists()
