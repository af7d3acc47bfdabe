"""A small shop, searched and retrained once for all tests of what Python users call."""

import pytest

import automtl
from tests.api.shop import BRIEF, DARTS, SPACE, shop


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A working folder, with a data folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOMTL_DATA_DIR", str(tmp_path_factory.mktemp("cache")))
        yield tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def rows():
    return shop()


@pytest.fixture(scope="session")
def data(home, rows):
    return automtl.Dataset.from_frame(
        rows, ids=["user"], numbers=["price"], tasks=["click", "buy"], name="shop"
    )


@pytest.fixture(scope="session")
def found(home, data):
    return automtl.search(data, space=SPACE, out=home / "mine", search=DARTS, **BRIEF)


@pytest.fixture(scope="session")
def models(found):
    return found.retrain(seeds=range(2), **BRIEF)
