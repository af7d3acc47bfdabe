"""The ablations of paper section 4.3 and the machine's settings are settings, and each really
acts.
"""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from automtl.config import resolve
from automtl.data.store._order import WINDOW
from automtl.models.supernet import build_supernet
from automtl.phases.run.device import autocast, resolve_precision
from automtl.phases.run.opening import open_session
from automtl.phases.search import search
from automtl.runs.run_dir import RunDir
from automtl.strategies.darts import Darts
from automtl.strategies.darts_settings import DartsSettings
from automtl.training.step.guard import LOOK_EVERY, Guard
from tests.phases.test_search_retrain import SMALL, retrain_plan, train
from tests.support import random_batch, small_schema, small_space, write_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"))


def searched(dataset, out, *sets):
    flags = {"data": {"dir": str(dataset.parent / "prepared-here")}}
    return search(
        resolve(source=str(dataset), space="automtl_small", sets=[*SMALL, *sets], flags=flags),
        out=out,
    )


def test_without_interaction_there_is_the_projection_alone(dataset, tmp_path):
    found = searched(dataset, tmp_path / "run", "space.num_interaction_blocks=0").architecture
    assert found.interaction == () and not any(
        block.startswith("interaction") for block in found.choices
    )
    assert train(retrain_plan(tmp_path / "run")).validation.loss < 1


def test_homogeneous_experts_share_their_alphas_and_come_out_alike(dataset, tmp_path):
    found = searched(dataset, tmp_path / "run", "space.tie_alphas=all").architecture
    assert len({expert.blocks for expert in found.experts}) == 1
    weights = [found.choices[f"level0.pool.{i}.block.0"] for i in range(3)]
    assert weights[0] == weights[1] == weights[2]


def test_without_selection_there_are_gates_in_search_and_retrain_and_no_beta(dataset, tmp_path):
    found = searched(dataset, tmp_path / "run", "search.sharing=mmoe").architecture
    assert found.sharing.kind == "mmoe" and found.chosen is None
    assert RunDir(tmp_path / "run").search.read_metrics()[0]["expert_usage"] == {}
    plan = retrain_plan(tmp_path / "run")
    assert plan.label == "mmoe" and train(plan).validation.loss < 1


def test_without_the_auxiliary_loss_beta_goes_another_way(dataset, tmp_path):
    rankings = [
        searched(
            dataset, tmp_path / name, "search.epochs=4", f"search.jsd_weight={weight}"
        ).architecture.ranking
        for name, weight in (("with", 1.0), ("without", 0.0))
    ]
    lines = RunDir(tmp_path / "without").search.read_metrics()
    assert all(line["jsd_weight"] == 0.0 for line in lines)
    assert rankings[0] != rankings[1]


def test_lazy_adam_for_tables_is_other_maths_and_trains(dataset, tmp_path):
    searched(dataset, tmp_path / "sgd")
    searched(dataset, tmp_path / "lazy", "search.embedding_optimizer=lazy_adam")
    losses = [
        RunDir(tmp_path / n).search.read_metrics()[-1]["loss"]["total"] for n in ("sgd", "lazy")
    ]
    assert losses[0] != losses[1] and max(losses) < 1


def test_bfloat16_acts_in_training_and_keeps_float32_weights(dataset, tmp_path):
    searched(dataset, tmp_path / "f32")
    searched(dataset, tmp_path / "bf16", "runtime.precision=bfloat16")
    losses = [
        RunDir(tmp_path / n).search.read_metrics()[-1]["loss"]["total"] for n in ("f32", "bf16")
    ]
    assert losses[0] != losses[1] and abs(losses[0] - losses[1]) < 0.05
    schema = small_schema()
    net = build_supernet(small_space(), schema)
    darts = Darts(net, schema, DartsSettings(), autocast=autocast("bfloat16", torch.device("cpu")))
    darts.begin_epoch(0)
    darts.step(random_batch(schema), random_batch(schema, seed=1))
    assert {p.dtype for p in net.parameters()} == {torch.float32}


def test_auto_precision_is_one_of_the_two_and_is_kept_in_the_manifest(dataset, tmp_path):
    from automtl.runs.manifest import Manifest

    searched(dataset, tmp_path / "run", "runtime.precision=auto")
    machine = Manifest.read(tmp_path / "run/search/manifest.json").values["machine"]
    assert machine["precision"] == resolve_precision("auto", torch.device("cpu"))
    assert (
        machine["allocator"] in ("keep", "default")
        and machine["threads"] == torch.get_num_threads()
    )


class Syncs(TorchDispatchMode):
    """Counts what makes the host wait for a device: scalars read back."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("tables", ["sgd", "lazy_adam"])
def test_a_search_step_reads_no_scalar_back(tables, monkeypatch):
    schema = small_schema()
    net = build_supernet(small_space(), schema)
    # as on a GPU
    darts = Darts(
        net, schema, DartsSettings(embedding_optimizer=tables), guard=Guard(look_every=LOOK_EVERY)
    )
    darts.begin_epoch(5)
    batches = [random_batch(schema, seed=s) for s in range(2)]
    darts.step(*batches)
    moved = []
    monkeypatch.setattr("automtl.training.optim.clipping._at_hand", lambda _: False)  # so, too
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self, *a, **k: moved.append(1) or self)
    with Syncs() as syncs:
        darts.step(*batches)
    assert syncs.count == 0 and not moved
    with Syncs() as syncs:
        float(torch.ones(()) + 1)
    assert syncs.count == 1, "the counter counts"


def test_nested_widths_search_another_net_and_retrain_the_same_kind(dataset, tmp_path):
    losses = {}
    for widths in ("full", "nested"):
        searched(
            dataset,
            tmp_path / widths,
            f"space.widths={widths}",
            "space.expert=[mlp(8), mlp(4), gate, skip]",
        )
        losses[widths] = RunDir(tmp_path / widths).search.read_metrics()[-1]["loss"]["total"]
    assert losses["full"] != losses["nested"] and max(losses.values()) < 1
    assert train(retrain_plan(tmp_path / "nested")).validation.loss < 1


@pytest.mark.parametrize("frozen_part", ["alpha", "weights"])
def test_nested_units_stay_in_the_alpha_step_and_move_in_the_weight_step(frozen_part):
    schema = small_schema()
    net = build_supernet(small_space(widths="nested"), schema)
    darts = Darts(net, schema, DartsSettings())
    darts.begin_epoch(0)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    step = darts._weight_step if frozen_part == "alpha" else darts._alpha_step
    step(random_batch(schema))
    moved = {
        name for name, value in net.state_dict().items() if not torch.equal(value, before[name])
    }
    if frozen_part == "weights":
        assert moved == {name for name in before if name.endswith(".alpha")}
    else:
        shared = "sharing.experts.0.operations.0.candidates.2."  # mlp(8) holds mlp(4)'s units
        assert {
            f"{shared}inner.weight",
            f"{shared}outer.weight",
            f"{shared}inner_norm.running_var",
        } < moved
        assert not any(name.endswith(".alpha") for name in moved)


def test_dropout_of_the_space_reaches_search_and_retrain(dataset, tmp_path):
    searched(dataset, tmp_path / "run", "space.dropout=0.5")
    searched(dataset, tmp_path / "plain")
    lines = [
        RunDir(tmp_path / n).search.read_metrics()[0]["loss"]["total"] for n in ("run", "plain")
    ]
    assert lines[0] != lines[1]
    assert retrain_plan(tmp_path / "run").architecture.dropout == 0.5
    assert np.isfinite(train(retrain_plan(tmp_path / "run")).validation.loss)


def test_rows_can_be_shuffled_in_blocks(dataset):
    flags = {"data": {"dir": str(dataset.parent / "prepared-here")}}
    sessions = [
        open_session(resolve(source=str(dataset), space=False, sets=sets, flags=flags))
        for sets in ([], ["data.shuffle_block=2"])
    ]
    plain, blocks = (
        torch.cat([batch.rows for batch in s.batches("train", batch_size=32, seed=0).epoch(0)])
        for s in sessions
    )
    assert sorted(plain.tolist()) == sorted(blocks.tolist())
    window = blocks[: 2 * WINDOW]
    assert (
        len(torch.unique(window // 2)) <= WINDOW + 1 < len(torch.unique(plain[: 2 * WINDOW] // 2))
    )
