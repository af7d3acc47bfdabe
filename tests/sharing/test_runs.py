"""Sharing kinds through the phases: searched with, resumed, retrained, plugged, and refused before any data is read."""

import json
from pathlib import Path

import pytest

from automtl.config import resolve
from automtl.errors import ConfigError
from automtl.phases.evaluate import evaluate_runs
from automtl.phases.retrain import retrain
from automtl.phases.retrain_plan import plan_retrain
from automtl.phases.search import search
from automtl.runs import checkpoint
from tests.support import Stop, Stopper, write_dataset

SMALL = [
    "space.expert=[mlp(4), conv1d(3), skip]",
    "space.interaction=[cross(1), skip]",
    "space.num_experts=3",
    "space.expert_dim=8",
    "space.embedding_dim=4",
    "space.towers=[8]",
    "search.batch_size=64",
    "search.epochs=2",
    "search.warmup_epochs=1",
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), rows=300)


def config(dataset, *sets):
    flags = {"data": {"dir": str(dataset.parent / "prepared")}}
    return resolve(source=str(dataset), space="automtl_small", sets=[*SMALL, *sets], flags=flags)


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
