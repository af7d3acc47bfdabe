"""Balancing through the real phases: it trains, is recorded and charged, resumes to the bit, and
leaves the plain losses plain.
"""

import json

import pytest
import torch

from automtl.config import resolve
from automtl.errors import ConfigError
from automtl.models.derived import build_model
from automtl.phases.run.device import compile_net
from automtl.phases.search import search
from automtl.runs.run_dir import RunDir
from automtl.spaces.architecture import Architecture
from automtl.training.balancing import make_balancer
from automtl.training.balancing.balancer import BalancingSettings
from automtl.training.balancing.balancers import METHODS, PLAIN
from automtl.training.losses import multi_task_loss
from tests.phases.test_search_retrain import SMALL, retrain_plan, train
from tests.support import (
    Stop,
    Stopper,
    compiles,
    random_batch,
    read_settings,
    small_schema,
    write_dataset,
)

TINY = [
    *SMALL,
    "space.expert=[gate, mlp(4), skip]",
    "space.interaction=[skip]",
    "space.num_experts=2",
]
TINY += ["search.strategy=darts", "search.selection=argmax"]
TINY += ["search.epochs=2", "search.warmup_epochs=1"]
ADAPTIVE = [method for method in METHODS if method not in PLAIN]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), rows=300)


@pytest.fixture
def searched(dataset):
    def run(out, *sets, **how):
        flags = {"data": {"dir": str(dataset.parent / "prepared-here")}}
        return search(
            resolve(source=str(dataset), space="automtl_small", sets=[*TINY, *sets], flags=flags),
            out=out,
            **how,
        )

    return run


@pytest.fixture(scope="module")
def plain(dataset, tmp_path_factory):
    """A searched run without balancing."""
    flags = {"data": {"dir": str(dataset.parent / "prepared-here")}}
    out = tmp_path_factory.mktemp("runs") / "plain"
    search(resolve(source=str(dataset), space="automtl_small", sets=TINY, flags=flags), out=out)
    return out


def retrained(run, *sets, **changes):
    return retrain_plan(run, sets=["retrain.epochs=2", "retrain.batch_size=64", *sets], **changes)


def check_record(line, method):
    told = line["balancing"]
    assert (
        told["method"] == method
        and list(told["weights"]) == ["click", "buy"]
        and "seconds" not in told
    )
    if method == "uncertainty":
        assert told["backward_passes"] == 1 and told["extra_bytes"] == 0
    else:
        assert told["backward_passes"] >= 2 and told["extra_bytes"] > 0
    assert ("conflicts" in told) == (method not in ("uncertainty", "gradnorm"))


@pytest.mark.parametrize("method", ADAPTIVE)
def test_search_and_retrain_by_every_method(searched, plain, tmp_path, method):
    searched(tmp_path / "run", f"search.balancing.method={method}")
    folders = [RunDir(tmp_path / "run").search]
    plan = retrained(plain, f"retrain.balancing.method={method}", out=tmp_path / "own")
    assert plan.label == f"selected-{method}"
    folders.append(train(plan).folder)
    untouched = [RunDir(plain).search.read_metrics(), None]
    for folder, without in zip(folders, untouched, strict=True):
        lines = folder.read_metrics()
        for line in lines:
            check_record(line, method)
            total = (line["loss"]["click"] + line["loss"]["buy"]) / 2
            assert line["loss"]["total"] == pytest.approx(total), "the MTL-Loss stays the plain one"
        charged = json.loads(folder.cost.read_text())["balancing"]
        assert charged["seconds"] > 0 and charged["extra_bytes"] == max(
            line["balancing"]["extra_bytes"] for line in lines
        )
        # without a conflict it is the plain sum
        acts = method != "pcgrad" or any(line["balancing"]["conflicts"] for line in lines)
        assert (
            without is None
            or not acts
            or [line["loss"] for line in lines] != [line["loss"] for line in without]
        ), "it acts"


@pytest.mark.parametrize("strategy", ["gdas", "evolution", "random_search"])
@pytest.mark.parametrize("method", ["pcgrad", "uncertainty"])
def test_other_strategies_train_weights_by_it_too(searched, tmp_path, strategy, method):
    sets = [
        "search.population=2",
        "search.tournament=1",
        "search.generations=1",
        "search.draws=2",
        "search.score_rows=16",
    ]
    given = [f"search.strategy={strategy}", "search.selection=argmax", *sets]
    searched(tmp_path / "run", f"search.balancing.method={method}", *read_settings(given))
    check_record(RunDir(tmp_path / "run").search.read_metrics()[0], method)


@pytest.mark.parametrize("method", ["gradnorm", "pcgrad"])
def test_a_balanced_search_resumes_to_the_same_bits(searched, tmp_path, method):
    chosen = f"search.balancing.method={method}"
    searched(tmp_path / "whole", chosen)
    with pytest.raises(Stop):
        searched(tmp_path / "cut", chosen, reporter=Stopper(1, 1))
    searched(tmp_path / "cut", chosen, resume=True)
    for file in ("architecture.json", "metrics.jsonl"):
        assert (tmp_path / "cut/search" / file).read_bytes() == (
            tmp_path / "whole/search" / file
        ).read_bytes()


def test_equal_is_fixed_where_the_data_set_weighs_all_tasks_alike_and_weights_act(plain, tmp_path):
    first = retrained(plain, out=tmp_path / "first")
    even = retrained(plain, "retrain.balancing.method=equal", out=tmp_path / "even")
    heavy = retrained(plain, "retrain.balancing.weights={buy: 9}", out=tmp_path / "heavy")
    made = [train(plan).folder.read_metrics() for plan in (first, even, heavy)]
    assert [plan.label for plan in (first, even, heavy)] == [
        "selected",
        "selected-equal",
        "selected-fixed",
    ]
    assert made[0] == made[1] and made[0][-1]["loss"]["buy"] > made[2][-1]["loss"]["buy"]
    assert all("balancing" not in line for lines in made for line in lines)


def test_what_cannot_be_meant_is_refused(searched, plain, tmp_path):
    refused = {
        "retrain.balancing: must be left out for single_task": (
            {"sharing": "single_task"},
            "retrain.balancing.method=pcgrad",
        ),
        "retrain.balancing.weights: must name the data set's tasks, got 'by'": (
            {},
            "retrain.balancing.weights={by: 2}",
        ),
        "balancing.lr: belongs to method uncertainty or gradnorm": ({}, "retrain.balancing.lr=0.1"),
    }
    for said, (changes, setting) in refused.items():
        with pytest.raises(ConfigError, match=said):
            retrained(plain, setting, **changes)
    with pytest.raises(
        ConfigError,
        match=r"search.balancing.method: must be equal or fixed with search.second_order",
    ):
        searched(tmp_path / "run", "search.second_order=true", "search.balancing.method=pcgrad")
    with pytest.raises(
        ConfigError, match=r"search.balancing.weights: must name the data set's tasks"
    ):
        searched(tmp_path / "run", "search.balancing.weights={by: 2}")
    assert not (tmp_path / "run").exists()


def test_second_order_descends_the_shares_of_the_settings(searched, tmp_path):
    for name, weights in (("even", "{}"), ("heavy", "{buy: 9}")):
        searched(tmp_path / name, "search.second_order=true", f"search.balancing.weights={weights}")
    made = [RunDir(tmp_path / name).search.read_metrics() for name in ("even", "heavy")]
    assert made[0][-1]["loss"]["buy"] > made[1][-1]["loss"]["buy"]


@compiles
def test_a_compiled_network_is_gone_back_through_per_task():
    schema, batch = small_schema(), random_batch(small_schema())
    nets = [build_model(Architecture.load("shared_bottom"), schema) for _ in range(2)]
    torch._functorch.config.donated_buffer = True
    compile_net(nets[0], backend="aot_eager")
    assert not torch._functorch.config.donated_buffer, (
        "the default compiler, too slow for a test, would refuse a second pass"
    )
    for net in nets:
        made = make_balancer(BalancingSettings("pcgrad"), schema.tasks, net)
        made.backward(multi_task_loss(schema.tasks, net(batch.inputs), batch.labels))
    pairs = zip(nets[0].parameters(), nets[1].parameters(), strict=True)
    assert all(torch.allclose(a.grad, b.grad, rtol=1e-4, atol=1e-7) for a, b in pairs)
