"""Agreement over searches counted by hand, and the front's panel from the files of a run."""

from automtl.reports.agreement import agreement
from automtl.reports.load import load_runs
from automtl.reports.panels._trust import agreement_panel, front_panel
from automtl.reports.panels.page import report
from tests.reports.architectures import searched
from tests.reports.runs import write_front, write_run, write_search


def with_blocks(interaction, *experts):
    base = searched(2, len(experts), seed=0, blocks=2)
    made = [
        e.model_copy(update={"blocks": blocks})
        for e, blocks in zip(base.experts, experts, strict=True)
    ]
    return base.evolve(interaction=(interaction,), experts=tuple(made))


def test_counts_by_hand_and_what_the_order_of_experts_cannot_change():
    one = with_blocks("skip", ("gate", "skip"), ("mlp(16)", "gate"))
    other = with_blocks("skip", ("mlp(16)", "gate"), ("gate", "skip"))
    third = with_blocks("cross(1)", ("gate", "gate"), ("mlp(16)", "gate"))
    places = {place.name: place for place in agreement([one, other, third])}
    assert (
        places["interaction 0"].counts == {"skip": 2, "cross(1)": 1}
        and places["interaction 0"].words == "skip 2/3, cross(1) 1/3"
    )
    assert (
        places["block 0 of any expert"].counts == {"gate": 3, "mlp(16)": 3}
        and places["block 1 of any expert"].share == 4 / 6
    )
    assert places["expert 0, block 0"].counts == {"gate": 2, "mlp(16)": 1}
    assert agreement([one]) == []


def test_the_panel_groups_searches_of_one_method_and_data(tmp_path):
    for seed in range(3):
        write_search(tmp_path / f"run{seed}", seed=seed)
    write_search(
        tmp_path / "other", seed=9, data={"name": "clicks", "hash": "zz", "split_hash": "zz"}
    )
    runs = load_runs([tmp_path / f"run{seed}" for seed in range(3)] + [tmp_path / "other"])
    made = agreement_panel(runs)
    assert made.count("<h3>") == 1 and "/3" in made and "interaction 0" in made
    assert agreement_panel(runs[:1]) is None


def test_the_front_is_drawn_where_a_run_has_one(tmp_path):
    run = write_run(tmp_path / "run")
    assert front_panel(load_runs([run])) is None
    write_front(run)
    made = front_panel(load_runs([run]))
    assert (
        "flops-1200.json" in made
        and "3,400" in made
        and "gate → skip" in made
        and "<svg" in made
        and "<b>" not in made
    )
    page = report(load_runs([run]))
    assert 'id="front"' in page and "TypeError" not in page
    (run / "search/pareto/front.json").write_text('{"of": "flops", "points": [{}]}')
    assert "KeyError" in report(load_runs([run])), "a damaged front spoils its panel only"
