"""Every strategy through the search phase: same artefacts, resume to the byte, a retrain that
follows.
"""

import json

import pyarrow.parquet as pq
import pytest

from automtl.config import resolve
from automtl.errors import ConfigError
from automtl.phases.run.reporter import Silent
from automtl.phases.search import search
from automtl.phases.search.plan import plan_search
from automtl.phases.search.state import SearchResult
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import RunDir
from automtl.spaces.architecture import Architecture
from automtl.strategies.registry import STRATEGIES
from tests.phases.test_search_retrain import SMALL, retrain_plan, train
from tests.support import Stop, Stopper, read_settings, write_dataset

FAST = [
    "search.draws=2",
    "search.population=3",
    "search.generations=1",
    "search.score_rows=64",
    "search.strategy=darts",
    "search.selection=argmax",
    "search.epochs=2",
    "search.warmup_epochs=1",
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"))


def config(dataset, *sets):
    flags = {"data": {"dir": str(dataset.parent / "prepared-here")}}
    given = read_settings([*SMALL, *FAST], sets)
    return resolve(source=str(dataset), space="automtl_small", sets=given, flags=flags)


@pytest.mark.parametrize("name", STRATEGIES)
def test_artefacts_resume_and_retrain(name, dataset, tmp_path):
    made = config(dataset, f"search.strategy={name}", "space.dropout=0.1")
    whole = search(made, out=tmp_path / "whole")
    names = {p.name for p in (tmp_path / "whole/search").iterdir()}
    assert names >= {
        "config.yaml",
        "manifest.json",
        "metrics.jsonl",
        "architecture.json",
        "cost.json",
        "alphas.parquet",
        "betas.parquet",
    }
    cost = json.loads((tmp_path / "whole/search/cost.json").read_text())
    assert (
        cost["strategy"] == name
        and cost["seconds"] > 0
        and (cost["samples"] > 0 or name == "random_sampling")
    )
    if name != "random_sampling":
        with pytest.raises(Stop):
            search(made, out=tmp_path / "cut", reporter=Stopper(1, 1))
        search(made, out=tmp_path / "cut", resume=True)
        other = json.loads((tmp_path / "cut/search/cost.json").read_text())
        same = ("flops_spent", "rows", "samples")
        assert [other[key] for key in same] == [cost[key] for key in same]
        assert cost["flops_spent"] > 0 < other["reference_seconds"]
        for file in ("architecture.json", "metrics.jsonl"):
            assert (tmp_path / "cut/search" / file).read_bytes() == (
                tmp_path / "whole/search" / file
            ).read_bytes()
    assert Architecture.load(tmp_path / "whole/search/architecture.json") == whole.architecture
    assert (
        train(
            retrain_plan(tmp_path / "whole", sets=["retrain.epochs=1", "retrain.batch_size=64"])
        ).validation.loss
        < 2
    )


def test_random_search_takes_the_samples_of_a_run_as_its_budget(dataset, tmp_path):
    search(config(dataset), out=tmp_path / "darts")
    search(
        config(dataset, "search.strategy=random_search", f"search.budget_run={tmp_path / 'darts'}"),
        out=tmp_path / "random",
    )
    spent = [
        json.loads((tmp_path / n / "search/cost.json").read_text())["samples"]
        for n in ("darts", "random")
    ]
    assert abs(spent[1] - spent[0]) <= 0.05 * spent[0]


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_plan_of_every_strategy(name, dataset):
    plan = plan_search(config(dataset, f"search.strategy={name}"))
    assert (plan.steps > 0) == (name != "random_sampling") and plan.parameters > 0


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (
            ["search.strategy=gdas", "search.second_order=true"],
            "search.second_order: needs search.strategy darts, got gdas",
        ),
        (
            ["search.budget_samples=9", "search.budget_run=x"],
            "must not be given with search.budget_samples",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(sets, message, dataset):
    with pytest.raises(ConfigError, match=message):
        config(dataset, *sets)


@pytest.mark.parametrize("action", ["warn", "stop", "rollback"])
def test_what_follows_a_collapse(action, dataset, tmp_path):
    """Experts of `skip` alone have collapsed by any measure; so has one whose rule fires after the
    first epoch.
    """
    said = []

    class Listener(Silent):
        def say(self, text):
            said.append(text)

    made = config(dataset, "search.epochs=3", f"search.on_collapse={action}", "space.expert=[skip]")
    result = search(made, out=tmp_path / "run", reporter=Listener())
    assert any("may have collapsed: skip leads in 100%" in line for line in said)
    manifest = json.loads((tmp_path / "run/search/manifest.json").read_text())
    lines = RunDir(tmp_path / "run").search.read_metrics()
    assert (
        result.epochs == len(lines) == (3 if action == "warn" else 1)
        and "skip leads" in lines[0]["collapse"]
    )
    assert ("collapse" in manifest) == (action != "warn")


def test_a_rollback_derives_from_the_best_epoch_before(dataset, tmp_path, monkeypatch):
    from automtl.strategies.monitor import CollapseRule

    plain = search(config(dataset, "search.epochs=4"), out=tmp_path / "plain")
    losses = [line["b"]["loss"] for line in RunDir(tmp_path / "plain").search.read_metrics()]
    monkeypatch.setattr(
        CollapseRule, "reason", lambda self, lines: "made to" if len(lines) == 4 else ""
    )
    search(config(dataset, "search.epochs=4", "search.on_collapse=rollback"), out=tmp_path / "back")
    manifest = json.loads((tmp_path / "back/search/manifest.json").read_text())
    best = min(range(3), key=losses.__getitem__)
    assert manifest["collapse"] == {
        "epoch": 3,
        "reason": "made to",
        "action": "rollback",
        "back_to_epoch": best,
    }
    kept = Architecture.load(tmp_path / "back/search/architecture.json").choices
    alphas = pq.read_table(RunDir(tmp_path / "plain").search.alphas).to_pandas()
    of_best = alphas[alphas.epoch == best].set_index(["block", "operation"]).weight
    assert (
        kept["interaction.0"]["skip"] == pytest.approx(of_best["interaction.0", "skip"])
        and plain.epochs == 4
    )
    spent = [
        json.loads((tmp_path / run / "search/cost.json").read_text()) for run in ("plain", "back")
    ]
    assert spent[0]["flops_spent"] == spent[1]["flops_spent"], "what was spent stays spent"


def test_a_limit_of_time_measures_once_and_says_what_the_whole_takes(dataset, tmp_path):
    limited = config(dataset, "search.max_latency_ms=1e4", "search.latency_rows=32")
    found = search(limited, out=tmp_path / "run").architecture
    told = found.provenance["latency"]
    assert told["limit_ms"] == 1e4 and told["rows"] == 32 and 0 < told["measured_ms"] < 1e4
    path = RunDir(tmp_path / "run").search.latencies
    times = json.loads(path.read_text())
    cost = found.provenance["within_limits"]["cost"]
    assert times["rows"] == 32 and times["rest"] < cost["latency_us"] <= 1e7
    with pytest.raises(Stop):
        search(limited, out=tmp_path / "cut", reporter=Stopper(1, 1))
    cut = RunDir(tmp_path / "cut").search.latencies
    Manifest.read(cut.parent / "manifest.json").replace_file(cut, {**times, "rest": 77_000})
    again = search(limited, out=tmp_path / "cut", resume=True).architecture
    assert again.provenance["within_limits"]["cost"]["latency_us"] >= 77_000, (
        "a resume goes on with the times of its start"
    )
    assert json.loads(cut.read_text())["rest"] == 77_000


def test_perturbation_through_the_phase_and_where_it_is_refused(dataset, tmp_path):
    found = search(
        config(dataset, "search.selection=perturbation"), out=tmp_path / "run"
    ).architecture
    cost = json.loads((tmp_path / "run/search/cost.json").read_text())
    search(config(dataset), out=tmp_path / "plain")
    assert (
        cost["samples"] > json.loads((tmp_path / "plain/search/cost.json").read_text())["samples"]
    )
    assert found.choices == Architecture.load(tmp_path / "plain/search/architecture.json").choices
    with pytest.raises(ConfigError, match="perturbation needs a strategy among darts, snas"):
        config(dataset, "search.selection=perturbation", "search.strategy=gdas")


class Listening(Silent):
    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


def test_evolution_tells_which_of_its_epochs_score(dataset, tmp_path):
    heard = Listening()
    made = config(dataset, "search.strategy=evolution")
    found = search(made, out=tmp_path / "run", reporter=heard)
    words = "4 epochs (2 train, 2 score architectures)"
    assert found.after == SearchResult.read(RunDir(tmp_path / "run").search).after
    assert found.after == f" after {words}"
    assert any(f"evolution, {words}, read by argmax" in line for line in heard.said)
