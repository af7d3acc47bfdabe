"""Sharing kinds through the phases: searched with, resumed, retrained, plugged, and refused before any data is read."""

import json
from pathlib import Path

import pytest
import torch

from automtl.config import resolve
from automtl.errors import ConfigError
from automtl.phases.evaluate import evaluate_runs, stored_sizes
from automtl.phases.retrain import load_net, retrain
from automtl.phases.retrain_plan import plan_retrain
from automtl.phases.search import search
from automtl.phases.session import open_session
from automtl.runs import checkpoint
from automtl.spaces.architecture import Architecture
from automtl.training.evaluation import evaluate, predict
from scripts.small import SEARCH
from tests.support import Stop, Stopper, write_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), rows=300)


def config(dataset, *sets):
    flags = {"data": {"dir": str(dataset.parent / "prepared")}}
    return resolve(source=str(dataset), space="automtl_small", sets=[*SEARCH, *sets], flags=flags)


def plan(source, dataset=None, *sets, sharing=None, out=None):
    given = ["retrain.batch_size=64", "retrain.epochs=2", *sets]
    flags = {} if dataset is None else {"data": {"dir": str(dataset.parent / "prepared")}}
    data = None if dataset is None else str(dataset)
    return plan_retrain(str(source), data=data, sharing=sharing, config_file=None, sets=given, flags=flags, out=out)


def train(made):
    return retrain(made.architecture, made.config, run=made.run, label=made.label)


@pytest.mark.parametrize(
    "sets",
    [
        ["search.sharing=adatt", "sharing.shared_experts=1"],
        ["search.sharing=dselect_k"],
        ["search.sharing=gumbel"],
        ["search.sharing=mssm"],
    ],
)
def test_a_search_with_another_kind_resumes_to_the_same_bits_and_retrains(dataset, tmp_path, sets):
    whole = search(config(dataset, *sets), out=tmp_path / "whole")
    with pytest.raises(Stop):
        search(config(dataset, *sets), out=tmp_path / "cut", reporter=Stopper(1, 1))
    search(config(dataset, *sets), out=tmp_path / "cut", resume=True)
    for file in ("architecture.json", "metrics.jsonl"):
        assert (tmp_path / "cut/search" / file).read_bytes() == (tmp_path / "whole/search" / file).read_bytes()
    ends = [checkpoint.load(tmp_path / name / "search/checkpoint/last.safetensors")["net"] for name in ("cut", "whole")]
    assert ends[0].keys() == ends[1].keys() and all(ends[0][key].equal(ends[1][key]) for key in ends[0])
    kind = sets[0].partition("=")[2]
    lines = [json.loads(line) for line in (tmp_path / "whole/search/metrics.jsonl").read_text().splitlines()]
    assert all("levels" in line["sharing"] for line in lines), "gates are recorded per epoch"
    own = plan(tmp_path / "whole")
    assert own.architecture.sharing.kind == kind == whole.architecture.sharing.kind
    assert own.architecture == whole.architecture
    train(own)
    other = plan(tmp_path / "whole", sharing="cgc")
    assert other.architecture.ranking == whole.architecture.ranking
    train(other)
    assert len(evaluate_runs([tmp_path / "whole"])) == 2


def test_settings_come_along_with_a_plug(dataset, tmp_path):
    made = plan("mmoe", dataset, "sharing.levels=3", "sharing.shared_experts=0", sharing="ple", out=tmp_path / "run")
    assert made.architecture.sharing.all_settings == {"levels": 3, "task_experts": 2, "shared_experts": 0}
    folder = train(made).folder
    assert folder.path.name == "ple-levels_3-shared_experts_0-s0"


def test_a_funnel_is_named_by_tasks(dataset, tmp_path):
    made = plan("aitm", dataset, "sharing.order=[buy, click]", "sharing.calibration=0.6", out=tmp_path / "run")
    lines = [json.loads(line) for line in train(made).folder.metrics.read_text().splitlines()]
    assert all(set(line["sharing"]["passed_on"]) == {"click"} for line in lines)


def test_what_cannot_be_meant_is_refused_before_data_is_read(dataset, tmp_path):
    empty = tmp_path / "tiny.yaml"
    empty.write_text(Path(dataset).read_text())  # its rows are not there
    for source, sharing, sets, message in [
        ("aitm", None, ["sharing.order=[click, by]"], "sharing.order: must name every task once: click, buy, got click, by"),
        ("top_k", None, ["sharing.k=9"], "sharing.k: must be at most the number of experts, 8, got 9"),
        ("mmoe", "dselect_k", ["sharing.k=9"], "sharing.k: must be at most the number of experts, 8, got 9"),
        ("ple", None, ["sharing.levels=0"], "sharing.levels: must be from 1 to 64, got 0"),
        ("ple", None, ["sharing.level=1"], "did you mean 'levels'?"),
        ("mmoe", "pel", [], "did you mean 'ple'?"),
        ("mmoe", "quagga", [], "choose from selected, moe, mmoe"),
    ]:
        with pytest.raises(ConfigError) as caught:
            plan(source, empty, *sets, sharing=sharing, out=tmp_path / "none")
        assert message in str(caught.value) and not (tmp_path / "none").exists()
    for sets, message in [
        (["search.sharing=top_k", "sharing.k=4"], "sharing.k: must be at most the number of experts, 3, got 4"),
        (["search.sharing=adatt", "sharing.task_experts=0"], "sharing.task_experts: must be from 1"),
        (["search.sharing=aitm"], "must be a kind that can stand in a supernet"),
        (["search.sharing=single_task"], "must be a kind that can stand in a supernet"),
    ]:
        with pytest.raises(ConfigError) as caught:
            config(empty, *sets)
        assert message in str(caught.value)


def test_masked_experts_are_pruned_rounded_stored_as_bits_and_read_back(dataset, tmp_path):
    template = tmp_path / "small.json"
    base = Architecture.load("mmoe").evolve(experts=[{"blocks": ["dense(16)", "dense(8)"]}], towers=(6,), embedding_dim=4)
    base.evolve(sharing={"kind": "mome"}).save(template)
    sets = ["masks=3", "neuron_epochs=3", "weight_epochs=2", "lambda_neuron=0.02", "lambda_weight=1e-3"]
    sets = [*(f"sharing.{value}" for value in sets), "retrain.batch_size=8", "retrain.epochs=3"]
    made = plan(template, dataset, *sets, out=tmp_path / "run")
    result = train(made)
    lines = [json.loads(line) for line in result.folder.metrics.read_text().splitlines()]
    assert [line["phase"] for line in lines] == ["neuron masks"] * 3 + ["weight masks"] * 2 + ["fine-tuning"] * 3
    assert [line["best"] for line in lines[:5]] == [False] * 5 and result.best_epochs[0] >= 5
    assert "start" in lines[5], "after rounding, before fine-tuning"
    masked = lines[-1]["sharing"]["masked"]
    kept = {path: left for path, (left, _) in masked["inputs"].items()}
    assert all(left < whole for left, whole in masked["inputs"].values()) and masked["histogram"][0] + masked["histogram"][-1] == 1

    held = checkpoint.load(result.folder.checkpoint("best"))["net"]
    assert held["sharing.base.0.live"].dtype == torch.uint8 and "sharing.base.0.weight" not in held
    assert held["sharing.base.0.shape"].tolist() == [3, kept["operations.1.linear"], kept["operations.0.linear"]]
    session = open_session(made.config)
    outputs = [predict(load_net(result.folder, session), session.in_order("validation")).logits for _ in range(2)]
    again = evaluate(predict(load_net(result.folder, session), session.in_order("validation")), session.schema.tasks)
    assert again.loss == result.validation.loss and all((a == b).all() for a, b in zip(*outputs, strict=True))

    told = json.loads(result.folder.cost.read_text())["model"]["stored"]
    size = sum(tensor.numel() * tensor.element_size() for tensor in held.values())
    assert sum(told.values()) * 2**20 == size
    [tested] = evaluate_runs([tmp_path / "run"])
    assert stored_sizes([tested])[tested.label] == told
