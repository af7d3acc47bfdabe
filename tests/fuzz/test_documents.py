"""Architectures and spaces go out and come back; damaged ones end in the project's own errors,
wherever they are read or used.
"""

import contextlib
import json

from hypothesis import strategies as st

from automtl.errors import AutoMTLError
from automtl.spaces.architecture import Architecture
from automtl.spaces.graph import to_graph
from automtl.spaces.placement import check_widths, parts, plugged
from automtl.spaces.space import SearchSpace
from automtl.strict import build, to_yaml
from tests.fuzz.damage import VALUES, damaged, damaged_bytes
from tests.fuzz.documents import BUILT_IN, architectures, spaces
from tests.fuzz.fuzz import fuzz


def use(architecture: Architecture, kind: str) -> None:
    """All that commands do with an architecture before they build it."""
    check_widths(architecture)
    to_graph(architecture)
    if architecture.tasks is not None:
        parts(architecture)
    other = plugged(architecture, kind, {})
    to_graph(other)
    assert hash(other) == hash(other.evolve(name="x")) and str(other.identity())


@fuzz(document=architectures(), kind=st.sampled_from(BUILT_IN))
def test_an_architecture_comes_back_from_its_file_and_is_used_or_refused_in_words(
    document, kind, folder
):
    made = build(Architecture, document, "it")
    made.save(folder / "it.json")
    back = Architecture.load(folder / "it.json")
    assert back == made and back.model_dump(mode="json") == made.model_dump(mode="json")
    back.save(folder / "again.json")
    assert (folder / "again.json").read_bytes() == (folder / "it.json").read_bytes()
    with contextlib.suppress(AutoMTLError):  # widths that do not fit, nothing to mask
        use(back, kind)


@fuzz(document=damaged(architectures()), kind=st.sampled_from(BUILT_IN))
def test_a_damaged_architecture_is_refused_in_words_or_still_one(document, kind, folder):
    (folder / "it.json").write_text(json.dumps(document))
    with contextlib.suppress(AutoMTLError):
        made = Architecture.load(folder / "it.json")
        made.save(folder / "it.json")
        use(made, kind)


@fuzz(
    data=damaged_bytes(
        architectures().map(lambda d: json.dumps(d).encode()),
        (b"NaN", b"1e999", b"[" * 100, b'"\\ud800"', b"}", b","),
    )
)
def test_a_torn_architecture_file_is_refused_in_words(data, folder):
    (folder / "it.json").write_bytes(data)
    with contextlib.suppress(AutoMTLError):
        Architecture.load(folder / "it.json")


@fuzz(document=spaces())
def test_a_space_comes_back_from_its_file(document, folder):
    made = build(SearchSpace, document, "it")
    (folder / "it.yaml").write_text(to_yaml(made.model_dump(mode="json")))
    assert SearchSpace.load(folder / "it.yaml") == made
    assert made.size(2) >= 1


@fuzz(document=damaged(spaces()) | VALUES, tasks=st.integers(1, 3))
def test_a_damaged_space_is_refused_in_words_or_still_one(document, tasks, folder):
    (folder / "it.yaml").write_text(to_yaml(document))
    with contextlib.suppress(AutoMTLError):
        made = SearchSpace.load(folder / "it.yaml")
        assert made.size(tasks) >= 1 and made.chosen(tasks) <= made.num_experts
        made.paper_size(tasks)
