"""The supernets whose order of a table is judged, and the best finalist beside a hand-made model."""

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

import automtl
from automtl.benchmarks import load
from automtl.errors import DataError
from automtl.strategies.protocol import make_encoding
from scripts import judge_finalists, score_supernets
from scripts.score_supernets import FairPath, Kind, genomes, read_table, table_context, train
from tests.phases.tables import benchmark, run
from tests.support import write_dataset


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small table, the file of its space, and its data."""
    folder = tmp_path_factory.mktemp("scores")
    source = write_dataset(folder / "data", rows=600)
    out = folder / "t"
    run(benchmark(source, hand_made=()), out)
    space = folder / "space.yaml"
    space.write_text(yaml.safe_dump(json.loads((out / "plan.json").read_text())["space"]))
    return SimpleNamespace(
        source=str(source), space=str(space), out=out, prepared=source.parent / "prepared"
    )


def context_of(made, kind, seed=0):
    table = read_table(str(made.out / "plan.json"), made.source)
    return table, table_context(table, kind, seed, made.space, made.prepared)


def test_a_table_and_its_plan_name_the_same_architectures(made):
    planned = read_table(str(made.out / "plan.json"), made.source)
    trained = read_table(str(made.out / "table.parquet"), made.source)
    assert planned.batch_size == trained.batch_size == 64
    assert (
        set(planned.definitions)
        == set(trained.definitions)
        == set(
            load(made.out / "table.parquet", sealed=True).query("kind == 'drawn'")["architecture"]
        )
    )


def test_a_table_of_other_data_is_refused(made):
    with pytest.raises(DataError, match="must be of the data set census_income"):
        read_table(str(made.out / "plan.json"), "census_income")


def test_a_fair_path_goes_through_all_candidates_before_one_comes_again(made):
    _, context = context_of(made, Kind(FairPath))
    net = context.make_supernet()
    encoding = make_encoding(context, net)
    stepper = FairPath(
        net, context.schema, context.settings, encoding=encoding, generator=context.generator
    )
    rng = np.random.default_rng(0)
    drawn = [stepper.draw(rng) for _ in range(12)]
    assert all(map(encoding.legal, drawn))
    for place, name in enumerate(encoding.names):
        count = len(encoding.operations(name))
        for start in range(0, 12, count):
            once = Counter(genome.picks[place] for genome in drawn[start : start + count])
            assert once == Counter(range(count))


def test_the_scores_are_of_each_path_and_tuning_is_taken_back(made):
    table, context = context_of(made, Kind("darts"))
    net = train(context, Kind("darts"))
    encoding = make_encoding(context, net)
    of = genomes(table, encoding)
    before = {name: value.clone() for name, value in net.named_parameters()}
    first = score_supernets.path_losses(net, context, encoding, of)
    tuned = score_supernets.tuned_losses(net, context, encoding, of)
    again = score_supernets.path_losses(net, context, encoding, of)
    assert first == again != tuned
    assert all(torch.equal(value, before[name]) for name, value in net.named_parameters())
    assert min(tuned.values()) < min(first.values()), "tuned on rows like those"
    assert len(set(first.values())) == len(set(of.values()))


def test_the_belief_is_the_sum_of_the_logs(made):
    table, context = context_of(made, Kind("darts"))
    net = context.make_supernet()
    encoding = make_encoding(context, net)
    of = genomes(table, encoding)
    name, genome = next(iter(of.items()))
    with torch.no_grad():
        for block, pick in zip(encoding.names, genome.picks, strict=True):
            net.alphas[block].zero_()[pick] = 50.0  # certain of these
        betas = net.beta_parameters()[0].zero_()
    chosen = sum(len(experts) for experts in genome.chosen)
    expected = chosen * torch.log(torch.tensor(float(betas.shape[1])))
    scores = score_supernets.beliefs(net, encoding, of)
    assert scores[name] == pytest.approx(float(expected), abs=1e-6)
    assert scores[name] == min(scores.values())


def test_scores_are_lines_for_the_judge_and_none_is_made_twice(made, tmp_path, capsys):
    words = [str(made.out / "plan.json"), "--data", made.source, "--space", made.space]
    words += ["--out", str(tmp_path), "--data-dir", str(made.prepared)]
    words += ["--supernets", "darts;fair path", "--seeds", "0"]
    score_supernets.main(words)
    path = tmp_path / "scores.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    names = ["darts: loss", "darts: belief", "darts: tuned", "fair path: loss", "fair path: tuned"]
    assert [line["strategy"] for line in lines] == names
    assert all(len(line["scores"]) == 4 for line in lines)
    written = path.read_bytes()
    score_supernets.main(words)
    assert path.read_bytes() == written
    assert capsys.readouterr().out.count("...") == 2


def test_an_unknown_supernet_is_refused(made, tmp_path):
    words = [str(made.out / "plan.json"), "--data", made.source, "--out", str(tmp_path / "o")]
    with pytest.raises(SystemExit, match="'other' is none of darts"):
        score_supernets.main([*words, "--supernets", "other"])
    assert not (tmp_path / "o").exists()


def test_a_finalist_is_judged_on_test_rows_of_fresh_seeds(tmp_path, monkeypatch):
    source = str(write_dataset(tmp_path / "data", rows=600))
    given = {"data_dir": tmp_path / "prepared", "retrain": {"epochs": 1}}
    race = {"race_candidates": 3, "race_controls": 0, "race_epochs": 0.5, "race_checks": 0}
    space = {"base": "automtl_small", "interaction": ["skip"], "expert": ["mlp(4)", "skip"]}
    monkeypatch.setattr(judge_finalists, "SPACE", space | {"expert_dim": 8, "towers": [8]})
    monkeypatch.setattr(judge_finalists, "SEEDS", (100, 101))
    monkeypatch.setattr(judge_finalists, "MARGINS", {source: 5.0})
    begun, rival = judge_finalists.searched(
        source, tmp_path / "o", False, given | {"search": race | {"rivals": ["shared_bottom"]}}
    )
    assert rival.name == "shared_bottom (scaled)"
    own = judge_finalists.trained(begun, None, None, False, given)
    plain = judge_finalists.trained(rival.source, source, tmp_path / "hand", True, given)
    told = judge_finalists.judge(source, rival.name, own, plain)
    sizes = [model.architecture.experts for model in (plain[0], own[0])]
    assert sizes[0] == automtl.Architecture.load(Path(str(rival.source))).experts != sizes[1]
    assert told["holds"] and len(told["finalist"]) == len(told["losses"]) == 2
    frame = automtl.evaluate(own, verbose=False).details["seeds"]
    assert told["finalist"] == frame["MTL-Loss"].tolist()
    assert told["difference"] == pytest.approx(
        sum(told["finalist"]) / 2 - sum(told["losses"]) / 2, abs=1e-12
    )
