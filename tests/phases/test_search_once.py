"""What a search makes before it begins: nothing twice, and nothing at all where it is refused."""

import pytest

from automtl.config import resolve
from automtl.errors import ConfigError
from automtl.models.supernet import Supernet
from automtl.phases.search import search
from scripts.small import SEARCH
from tests.support import write_dataset


@pytest.fixture
def config(tmp_path_factory, monkeypatch):
    data = write_dataset(tmp_path_factory.mktemp("data"), rows=300)
    monkeypatch.setenv("AUTOMTL_DATA_DIR", str(data.parent / "cache"))
    return lambda *sets: resolve(
        source=str(data), space="automtl_small", sets=[*SEARCH, *sets], flags={}
    )


@pytest.mark.parametrize(("strategy", "count"), [("darts", 1), ("snas", 1), ("random_sampling", 0)])
def test_a_search_makes_its_supernet_once(config, tmp_path, monkeypatch, strategy, count):
    made, honest = [], Supernet.__init__

    def counted(self, **parts):
        honest(self, **parts)
        made.append(next(self.parameters()).device.type)

    monkeypatch.setattr(Supernet, "__init__", counted)
    search(config(f"search.strategy={strategy}"), out=tmp_path / "run")
    assert made.count("cpu") == count


@pytest.mark.parametrize("strategy", ["darts", "random_sampling", "random_search"])
def test_a_search_that_is_too_large_leaves_no_folder(config, tmp_path, strategy):
    with pytest.raises(ConfigError, match="must make a network of at most 1,000 parameters"):
        search(
            config(f"search.strategy={strategy}", "runtime.max_parameters=1000"),
            out=tmp_path / "run",
        )
    assert not list(tmp_path.iterdir())
