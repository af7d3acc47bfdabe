"""The Pareto sweep against brute force, its files, and through the command."""

import itertools
import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

from automtl.cli._app import app
from automtl.errors import ArtifactError
from automtl.phases.finished.pareto import pareto, sweep
from automtl.phases.search import search
from automtl.spaces.architecture import Architecture
from tests.phases.test_search_retrain import retrain_plan, train
from tests.phases.test_strategies import config, dataset  # noqa: F401 - a fixture
from tests.strategies.contexts import small_context
from tests.strategies.test_pricing import pricing_of, spread
from tests.support import small_space


def test_every_point_is_the_best_of_all_architectures_at_its_cost():
    one = {
        "interaction": ("cross(2)", "mlp(8)", "skip"),
        "expert": ("gate", "mlp(8)", "skip"),
        "num_experts": 2,
        "num_blocks": 1,
    }
    m = small_context(space=small_space(**one, chosen_experts=1))
    net = spread(m.make_supernet(), seed=4, scale=2.0)
    pricing = pricing_of(net, m.schema)
    found = sweep(pricing, "flops", 6)
    alphas = {name: a.detach().double().log_softmax(0).numpy() for name, a in net.alphas.items()}
    beta = net.beta_parameters()[0].detach().double().log_softmax(1).numpy()
    names, costs = list(alphas), pricing.table.candidates
    points = []
    for picks in itertools.product(range(3), repeat=3):
        for chosen in itertools.product(range(2), repeat=2):
            used = [names[0], *(names[1 + e] for e in sorted(set(chosen)))]
            cost = int(pricing.fixed[0]) + sum(
                int(costs[n][picks[names.index(n)], 0]) for n in used
            )
            score = sum(alphas[n][picks[names.index(n)]] for n in used) + sum(
                beta[t, e] for t, e in enumerate(chosen)
            )
            points.append((cost, score))
    assert 2 <= len(found) <= 6
    told = [made.provenance["within_limits"] for made in found]
    for point in told:
        reachable = max(score for cost, score in points if cost <= point["limits"]["flops"])
        assert point["score"] == pytest.approx(reachable)
    assert min(cost for cost, _ in points) == told[0]["limits"]["flops"] and math.isclose(
        told[-1]["score"], max(s for _, s in points)
    )
    assert np.all(np.diff([t["score"] for t in told]) > 0) and np.all(
        np.diff([t["cost"]["flops"] for t in told]) > 0
    )


def test_files_the_command_and_a_retrain_of_a_point(dataset, tmp_path):  # noqa: F811
    search(config(dataset), out=tmp_path / "run")
    shown = CliRunner().invoke(app, ["pareto", str(tmp_path / "run"), "--points", "3", "--json"])
    assert shown.exit_code == 0, shown.output
    told = json.loads(shown.stdout)
    front = json.loads((tmp_path / "run/search/pareto/front.json").read_text())
    assert front["of"] == "flops" and [p["cost"] for p in front["points"]] == [
        p["cost"] for p in told
    ]
    cheapest = Architecture.load(told[0]["file"])
    assert (
        cheapest.provenance["dataset"] == "tiny"
        and cheapest.provenance["within_limits"]["cost"] == told[0]["cost"]
    )
    plan = retrain_plan(
        told[0]["file"], data=str(dataset), sets=["retrain.epochs=1"], out=tmp_path / "again"
    )
    assert train(plan).validation.loss < 2
    timed = pareto(tmp_path / "run", points=2, of="latency")
    assert timed[0].cost["latency_us"] > 0 and timed[0].path.name.startswith("latency-")


def test_what_has_no_trained_alphas_is_refused(dataset, tmp_path):  # noqa: F811
    search(config(dataset, "search.strategy=random_sampling"), out=tmp_path / "run")
    with pytest.raises(
        ArtifactError, match="must be a search by one of darts, snas, gdas, got random_sampling"
    ):
        pareto(tmp_path / "run")
