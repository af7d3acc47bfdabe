"""Batches that are not finite, and memory that runs out, through the phases."""

import json

import pytest
import torch

from automtl.data.store.batches import Batches
from automtl.data.store.schema import Field, Schema, Task
from automtl.errors import ArtifactError, EnvironmentFault, NumericalError
from automtl.models.size import heaviest
from automtl.models.skeleton import MultiTaskNet
from automtl.phases.finished.evaluate import evaluate_runs
from automtl.phases.run.faults import enough_memory
from automtl.phases.search import search
from automtl.runs.run_dir import PhaseDir
from tests.phases.stopping import config, plan, train
from tests.support import write_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), rows=300)


@pytest.fixture
def poisoned(monkeypatch):
    """Row 7 of the training split has a number that is not finite, in training only."""
    honest = Batches.epoch

    def epoch(self, number, start=0):
        for batch in honest(self, number, start):
            if self._shuffle:
                batch.inputs.dense[batch.rows == 7] = float("nan")
            yield batch

    monkeypatch.setattr(Batches, "epoch", epoch)


def test_a_bad_batch_stops_a_retrain_with_its_rows_and_the_last_checkpoint(
    dataset, tmp_path, poisoned
):
    with pytest.raises(NumericalError) as caught:
        train(plan(dataset, "mmoe", tmp_path / "r"))
    folder = PhaseDir(tmp_path / "r/retrain/mmoe-s0")
    note = json.loads((folder.path / "bad_batch.json").read_text())
    assert 7 in note["rows"] and note["what"] == "the loss of task click" and note["epoch"] == 0
    text = str(caught.value)
    assert caught.value.exit_code == 4 and "of the training split" in text
    assert f"epoch 0, step {note['step']}, rows {note['rows'][0]}, " in text
    assert "the loss of task click must be finite" in text and "--on-nan skip" in text
    assert ("there is no checkpoint yet" if note["step"] == 0 else "last.safetensors") in text
    assert folder.state() == "failed"


@pytest.mark.parametrize("strategy", ["darts", "random_search"])
def test_skipping_leaves_bad_batches_out_and_counts_them(strategy, dataset, tmp_path, poisoned):
    made = config(dataset, f"search.strategy={strategy}", "runtime.on_nan=skip")
    search(made, out=tmp_path / "run")
    lines = PhaseDir(tmp_path / "run/search").read_metrics()
    assert lines[-1]["skipped_batches"] >= 1 and all(
        line["loss"]["total"] is not None for line in lines
    )


def test_a_stopped_retrain_goes_on_by_skipping_and_forgets_the_note(dataset, tmp_path, poisoned):
    with pytest.raises(NumericalError):
        train(plan(dataset, "mmoe", tmp_path / "r"))
    result = train(
        plan(dataset, "mmoe", tmp_path / "r", "runtime.on_nan=skip", resume=True), resume=True
    )
    lines = result.folder.read_metrics()
    assert [line["skipped_batches"] for line in lines] == [1, 2, 3], "once per epoch"
    assert not (result.folder.path / "bad_batch.json").exists()
    with pytest.raises(NumericalError, match="all but 1 batches"):
        train(
            plan(
                dataset, "mmoe", tmp_path / "limited", "runtime.on_nan=skip", "runtime.nan_limit=1"
            )
        )


def test_alpha_rows_are_named_too(dataset, tmp_path, monkeypatch):
    honest = Batches.cycle

    def cycle(self, start=0):
        for batch in honest(self, start):
            batch.inputs.dense[0] = float("nan")
            yield batch

    monkeypatch.setattr(Batches, "cycle", cycle)
    with pytest.raises(NumericalError, match="epoch 0, step 0, rows"):
        search(config(dataset), out=tmp_path / "run")
    with pytest.raises(NumericalError, match="the gradient must be finite"):
        search(config(dataset, "search.second_order=true"), out=tmp_path / "second")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:1] . DefaultCPUAllocator: can't allocate memory: "
            "you tried to allocate 9 bytes."
        ),
    ],
)
def test_memory_that_runs_out_says_what_to_lower(error, dataset, tmp_path, monkeypatch):
    def full(self, inputs):
        raise error

    monkeypatch.setattr(MultiTaskNet, "forward", full)
    says = r"memory: must hold a batch \(retrain.batch_size = 64\).*a lower retrain.batch_size"
    with pytest.raises(EnvironmentFault, match=says) as caught:
        train(plan(dataset, "mmoe", tmp_path / "r"))
    assert caught.value.exit_code == 3


def test_another_runtime_error_stays_what_it_is(dataset, tmp_path, monkeypatch):
    def wrong(self, inputs):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(MultiTaskNet, "forward", wrong)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        train(plan(dataset, "mmoe", tmp_path / "r"))


def test_ids_that_no_vocabulary_has_are_the_stores_fault(dataset, tmp_path, monkeypatch):
    honest = Batches.epoch

    def epoch(self, number, start=0):
        for batch in honest(self, number, start):
            batch.inputs.ids[0, 0] = 10**6
            yield batch

    trained = train(plan(dataset, "mmoe", tmp_path / "whole"))
    monkeypatch.setattr(Batches, "epoch", epoch)
    for act in (
        lambda: search(config(dataset), out=tmp_path / "s"),
        lambda: train(plan(dataset, "mmoe", tmp_path / "r")),
        lambda: evaluate_runs([trained.folder.path]),
    ):
        with pytest.raises(
            ArtifactError,
            match=r"prepared/tiny-\w+: must hold ids and classes of its own schema, got index out "
            r"of range",
        ):
            act()


def wide(numbers: int) -> Schema:
    fields = [Field(name=f"id{i}", kind="categorical", vocabulary_size=9) for i in range(3)]
    fields += [Field(name=f"n{i}", kind="numeric") for i in range(numbers)]
    return Schema(name="wide", fields=tuple(fields), tasks=(Task(name="t", kind="binary"),))


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        (("skip", "product(outer)"), ("product(outer)", (403 * 16 + 16 * 16) * 403 * 16)),
        (
            ("product(outer)", "product(inner)", "cross(2)"),
            ("product(inner)", (403 * 16 + 403 * 402 // 2) * 403 * 16),
        ),
        (("skip", "cross(1)"), ("cross(1)", 0)),
    ],
)
def test_the_heaviest_interaction_by_hand(blocks, expected):
    name, count = heaviest(blocks, num_fields=403, dim=16)
    assert name == expected[0] and abs(count - expected[1]) <= 6 * 403 * 16, (
        "the ending has a few per output"
    )


def test_memory_that_an_interaction_takes_is_not_the_batchs(dataset):
    """Case C: 400 numeric columns, and the advice was a smaller batch."""
    space = config(dataset).space.model_copy(
        update={"interaction": ("skip", "product(outer)"), "embedding_dim": 16}
    )
    error = RuntimeError(
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
    )
    with (
        pytest.raises(EnvironmentFault) as caught,
        enough_memory(("search.batch_size", 2048), space, wide(400)),
    ):
        raise error
    message = str(caught.value)
    assert "memory: must hold a batch (search.batch_size = 2048)" in message
    assert "product(outer) over 403 fields has 43," in message
    assert "parameters, 0.5 GiB with gradient and momentum, whatever the batch" in message
    assert message.endswith(
        "leave it out of the interaction, or use fewer fields, or take all numbers as one field "
        "(numeric: joint)"
    )
    for schema, model in (
        (wide(9), space),
        (wide(400), space.model_copy(update={"numeric": "joint"})),
    ):
        with (
            pytest.raises(EnvironmentFault, match="a lower search.batch_size"),
            enough_memory(("search.batch_size", 2048), model, schema),
        ):
            raise error
    with (
        pytest.raises(RuntimeError, match="something else"),
        enough_memory(("search.batch_size", 1), space, wide(400)),
    ):
        raise RuntimeError("something else")


def test_a_network_that_cannot_be_made_says_so_too(dataset, tmp_path, monkeypatch):
    def full(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("automtl.phases.run.trained_net.build_model", full)
    monkeypatch.setattr("automtl.phases.search.context.make_context", full)
    with pytest.raises(
        EnvironmentFault, match=r"memory: must hold a batch \(retrain.batch_size = 64\)"
    ):
        train(plan(dataset, "mmoe", tmp_path / "r"))
    with pytest.raises(EnvironmentFault, match=r"memory: must hold a batch \(search.batch_size = "):
        search(config(dataset), out=tmp_path / "s")
