"""Sharing kinds through the phases: searched with, resumed, retrained, plugged, and refused before
any data is read.
"""

import json
from pathlib import Path

import pytest
import torch

from automtl.config import resolve
from automtl.errors import ConfigError
from automtl.phases.finished.evaluate import evaluate_runs
from automtl.phases.finished.figures import stored_sizes
from automtl.phases.finished.open import load_net
from automtl.phases.retrain import retrain
from automtl.phases.retrain.plan import plan_retrain
from automtl.phases.run.opening import open_session
from automtl.phases.search import search
from automtl.runs import checkpoint
from automtl.spaces.architecture import Architecture
from automtl.spaces.graph import to_graph
from automtl.spaces.placement import parts
from automtl.training.metrics.evaluation import evaluate, predict
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
    return plan_retrain(
        str(source), data=data, sharing=sharing, config_file=None, sets=given, flags=flags, out=out
    )


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
        assert (tmp_path / "cut/search" / file).read_bytes() == (
            tmp_path / "whole/search" / file
        ).read_bytes()
    ends = [
        checkpoint.load(tmp_path / name / "search/checkpoint/last.safetensors")["net"]
        for name in ("cut", "whole")
    ]
    assert ends[0].keys() == ends[1].keys() and all(
        ends[0][key].equal(ends[1][key]) for key in ends[0]
    )
    kind = sets[0].partition("=")[2]
    lines = [
        json.loads(line)
        for line in (tmp_path / "whole/search/metrics.jsonl").read_text().splitlines()
    ]
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
    made = plan(
        "mmoe",
        dataset,
        "sharing.levels=3",
        "sharing.shared_experts=0",
        sharing="ple",
        out=tmp_path / "run",
    )
    assert made.architecture.sharing.all_settings == {
        "levels": 3,
        "task_experts": 2,
        "shared_experts": 0,
    }
    folder = train(made).folder
    assert folder.path.name == "ple-levels_3-shared_experts_0-s0"


@pytest.mark.parametrize("given", ["[1, 3]", "{buy: 3, click: 1}"])
def test_experts_counted_task_by_task_go_through_search_retrain_and_files(dataset, tmp_path, given):
    made = plan("ple", dataset, f"sharing.task_experts={given}", out=tmp_path / "run")
    net = load_net(train(made).folder, open_session(made.config))
    owners = [slot.owner for slot in net.sharing.slots if slot.level == 0]
    assert owners == [0, 1, 1, 1, *["shared"] * 4]
    found = search(
        config(dataset, "search.sharing=adatt", f"sharing.task_experts={given}"),
        out=tmp_path / "found",
    )
    owners = [(expert.level, expert.owner, expert.task) for expert in found.architecture.experts]
    assert owners == [(level, "task", task) for level in (0, 1) for task in (0, 1, 1, 1)]
    train(plan(tmp_path / "found"))
    train(plan(tmp_path / "found", None, f"sharing.task_experts={given}", sharing="cgc"))


def test_a_searched_architecture_edited_by_hand_needs_no_ranking_of_all_experts(dataset, tmp_path):
    search(config(dataset), out=tmp_path / "run")
    file = tmp_path / "run/search/architecture.json"
    found = json.loads(file.read_text())
    assert len(found["experts"]) == 3 and all(len(task) == 3 for task in found["ranking"])
    edits = {
        "fewer ranked": {
            "chosen": [[0], [1, 2]],
            "ranking": [task[:1] for task in found["ranking"]],
        },
        "none ranked": {"chosen": [[0], [1, 2]], "ranking": None},
        "nothing of them ranked": {"chosen": [[0], [1, 2]], "ranking": [[], []]},
        "an expert added": {
            "chosen": [[3], [0, 3]],
            "experts": [*found["experts"], {"blocks": ["mlp(4)"]}],
        },
    }
    for name, edit in edits.items():
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({**found, **edit}))
        for kind in ("selected", "single_task", "cgc"):
            made = plan(path, dataset, sharing=kind, out=tmp_path / f"{name} {kind}")
            assert [list(task) for task in made.architecture.chosen] == edit["chosen"]
            train(made)
        second = parts(Architecture.load(path).evolve(sharing={"kind": "single_task"}))[1]
        experts = edit.get("experts", found["experts"])
        assert sorted(expert.blocks for expert in second.experts) == sorted(
            tuple(experts[i]["blocks"]) for i in edit["chosen"][1]
        )
        to_graph(Architecture.load(path))
    for ranking, message in [
        (
            [[{"expert": 3, "weight": 1.0}], []],
            "ranking[0]: must name distinct experts from 0 to 2, got [3]; mend it, or leave",
        ),
        (
            [[{"expert": 1, "weight": 0.5}] * 2, []],
            "ranking[0]: must name distinct experts from 0 to 2, got [1, 1]",
        ),
        (
            [[]],
            "ranking: must list experts for each task of a bound architecture, got 1 list; "
            "leave ranking out",
        ),
    ]:
        path.write_text(json.dumps({**found, "ranking": ranking}))
        with pytest.raises(ConfigError) as caught:
            Architecture.load(path)
        assert message in str(caught.value)
    path.write_text(
        json.dumps({**found, "ranking": [found["ranking"][0][:1], found["ranking"][1]]})
    )
    with pytest.raises(
        ConfigError,
        match="must be at most 1, as many experts as its ranking names for each task, got 2",
    ):
        plan(path, dataset, "retrain.chosen_experts=2", out=tmp_path / "none")


def test_a_funnel_is_named_by_tasks(dataset, tmp_path):
    made = plan(
        "aitm",
        dataset,
        "sharing.order=[buy, click]",
        "sharing.calibration=0.6",
        out=tmp_path / "run",
    )
    lines = [json.loads(line) for line in train(made).folder.metrics.read_text().splitlines()]
    assert all(set(line["sharing"]["passed_on"]) == {"click"} for line in lines)


def test_what_cannot_be_meant_is_refused_before_data_is_read(dataset, tmp_path):
    empty = tmp_path / "tiny.yaml"
    empty.write_text(Path(dataset).read_text())  # its rows are not there
    for source, sharing, sets, message in [
        (
            "aitm",
            None,
            ["sharing.order=[click, by]"],
            "sharing.order: must name every task once: click, buy, got click, by",
        ),
        (
            "top_k",
            None,
            ["sharing.k=9"],
            "sharing.k: must be at most the number of experts, 8, got 9",
        ),
        (
            "mmoe",
            "dselect_k",
            ["sharing.k=9"],
            "sharing.k: must be at most the number of experts, 8, got 9",
        ),
        ("ple", None, ["sharing.levels=0"], "sharing.levels: must be from 1 to 64, got 0"),
        ("ple", None, ["sharing.level=1"], "did you mean 'levels'?"),
        ("mmoe", "pel", [], "did you mean 'ple'?"),
        ("mmoe", "quagga", [], "choose from selected, moe, mmoe"),
    ]:
        with pytest.raises(ConfigError) as caught:
            plan(source, empty, *sets, sharing=sharing, out=tmp_path / "none")
        assert message in str(caught.value) and not (tmp_path / "none").exists()
    for sets, message in [
        (
            ["search.sharing=top_k", "sharing.k=4"],
            "sharing.k: must be at most the number of experts, 3, got 4",
        ),
        (
            ["search.sharing=adatt", "sharing.task_experts=0"],
            "sharing.task_experts: must be from 1",
        ),
        (["search.sharing=aitm"], "must be a kind that can stand in a supernet"),
        (["search.sharing=single_task"], "must be a kind that can stand in a supernet"),
    ]:
        with pytest.raises(ConfigError) as caught:
            config(empty, *sets)
        assert message in str(caught.value)


def test_masked_experts_are_pruned_rounded_stored_as_bits_and_read_back(dataset, tmp_path):
    template = tmp_path / "small.json"
    base = Architecture.load("mmoe").evolve(
        experts=[{"blocks": ["dense(16)", "dense(8)"]}], towers=(6,), embedding_dim=4
    )
    base.evolve(sharing={"kind": "mome"}).save(template)
    sets = [
        "masks=3",
        "neuron_epochs=3",
        "weight_epochs=2",
        "lambda_neuron=0.02",
        "lambda_weight=1e-3",
    ]
    sets = [*(f"sharing.{value}" for value in sets), "retrain.batch_size=8", "retrain.epochs=3"]
    made = plan(template, dataset, *sets, out=tmp_path / "run")
    result = train(made)
    lines = [json.loads(line) for line in result.folder.metrics.read_text().splitlines()]
    assert [line["phase"] for line in lines] == ["neuron masks"] * 3 + ["weight masks"] * 2 + [
        "fine-tuning"
    ] * 3
    assert [line["best"] for line in lines[:5]] == [False] * 5 and result.best_epochs[0] >= 5
    assert "start" in lines[5], "after rounding, before fine-tuning"
    masked = lines[-1]["sharing"]["masked"]
    kept = {path: left for path, (left, _) in masked["inputs"].items()}
    assert (
        all(left < whole for left, whole in masked["inputs"].values())
        and masked["histogram"][0] + masked["histogram"][-1] == 1
    )

    held = checkpoint.load(result.folder.checkpoint("best"))["net"]
    assert held["sharing.base.0.live"].dtype == torch.uint8 and "sharing.base.0.weight" not in held
    assert held["sharing.base.0.shape"].tolist() == [
        3,
        kept["operations.1.linear"],
        kept["operations.0.linear"],
    ]
    session = open_session(made.config)
    outputs = [
        predict(load_net(result.folder, session), session.in_order("validation")).logits
        for _ in range(2)
    ]
    again = evaluate(
        predict(load_net(result.folder, session), session.in_order("validation")),
        session.schema.tasks,
    )
    assert again.loss == result.validation.loss and all(
        (a == b).all() for a, b in zip(*outputs, strict=True)
    )

    told = json.loads(result.folder.cost.read_text())["model"]["stored"]
    size = sum(tensor.numel() * tensor.element_size() for tensor in held.values())
    assert sum(told.values()) * 2**20 == size
    [tested] = evaluate_runs([tmp_path / "run"])
    assert stored_sizes([tested])[tested.label] == told
