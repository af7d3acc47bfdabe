"""What repeats itself: the same seed with the same number of threads, under refusal of operations
whose bits vary.
"""

import pytest
import torch

from automtl.phases.search import search
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir
from tests.phases.stopping import config, plan, same_phase, train
from tests.support import write_dataset


@pytest.fixture
def settled():
    """Threads and determinism as they were, afterwards."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_seed_gives_the_same_bits_with_as_many_threads(threads, tmp_path, settled):
    dataset = write_dataset(tmp_path / "data", rows=3000)
    sets = [f"runtime.threads={threads}", "runtime.deterministic=true"]
    for name in ("one", "two"):
        search(config(dataset, *sets, "search.batch_size=1024", every=None), out=tmp_path / name)
        train(
            plan(
                dataset,
                "mmoe",
                tmp_path / f"{name}-models",
                *sets,
                "retrain.batch_size=1024",
                every=None,
            )
        )
    same_phase(tmp_path / "one/search", tmp_path / "two/search", ["last"])
    models = [tmp_path / f"{name}-models/retrain/mmoe-s0" for name in ("one", "two")]
    same_phase(*models, ["best"])
    machine = Manifest.read(PhaseDir(models[0]).manifest).values["machine"]
    assert machine["threads"] == threads and machine["deterministic"]
