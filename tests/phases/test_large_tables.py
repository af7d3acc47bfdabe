"""Tables stepped by their touched rows train as dense ones do, wherever a network is trained."""

import copy

import pytest
import torch

from automtl.phases.run.alone import Model
from automtl.phases.run.opening import open_session
from automtl.runs import checkpoint
from tests.phases.stopping import plan, train
from tests.support import write_dataset

SGD = (
    "retrain.optimizer=sgd",
    "retrain.lr=0.05",
    "retrain.group_lr={tables: 0.2}",
    "retrain.schedule=cosine",
)
ROWS = (*SGD, "retrain.embedding_optimizer=sgd")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), rows=300)


def alike(one, other):
    """In float32, whose rounding differs between the two; in float64 they agree to 1e-9, see
    tests/training/test_optimizers.py.
    """
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=1e-3, atol=5e-4)


@pytest.mark.parametrize("kind", ["mmoe", "single_task"])
def test_a_retrain_by_touched_rows_is_that_by_whole_tables(kind, dataset, tmp_path):
    results = [
        train(plan(dataset, kind, tmp_path / name, *sets))
        for name, sets in (("dense", SGD), ("rows", ROWS), ("other", SGD[:2]))
    ]
    dense, rows, other = (
        checkpoint.load(result.folder.checkpoint("best"))["net"] for result in results
    )
    alike(rows, dense)
    assert results[0].best_epochs == results[1].best_epochs
    with pytest.raises(AssertionError):
        alike(rows, other)


@pytest.mark.parametrize("kind", ["mmoe", "single_task"])
def test_a_model_of_a_race_by_touched_rows_is_that_by_whole_tables_and_goes_on(
    kind, dataset, tmp_path
):
    def model(*sets):
        planned = plan(dataset, kind, tmp_path / "none", *sets)
        session = open_session(planned.config)
        return Model(planned.architecture.bind(session.schema), session, seed=3)

    dense, rows, later = model(*SGD), model(*ROWS), model(*ROWS)
    batches = list(rows.session.batches("fit", batch_size=16, seed=0).epoch(0))
    steps = len(batches)
    for step, batch in enumerate(batches):
        for one in (dense, rows):
            one.step(batch, step=step, steps=steps)
        if step == steps // 2:
            later.load_state_dict(copy.deepcopy(rows.state_dict()))
        elif step > steps // 2:
            later.step(batch, step=step, steps=steps)
    alike(rows.weights(), dense.weights())
    assert all(torch.equal(v, later.weights()[name]) for name, v in rows.weights().items())
