"""Data sets and settings: legal ones come back from YAML, damaged ones and any words end in the
project's own errors.
"""

import contextlib

from hypothesis import strategies as st

from automtl.config import RunConfig, resolve
from automtl.data.prepare._prepare import settings_hash
from automtl.data.raw.columns import plan_readings
from automtl.data.spec.dataset import DatasetConfig, load_dataset
from automtl.errors import AutoMTLError, ConfigError
from automtl.strict import build, parse_yaml, to_yaml
from tests.fuzz.damage import TEXTS, VALUES, damaged, damaged_bytes
from tests.fuzz.documents import datasets
from tests.fuzz.fuzz import fuzz


def paths(model, found=()):
    """The dotted names of every setting."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        yield ".".join((*found, name))
        if isinstance(inner, type) and hasattr(inner, "model_fields"):
            yield from paths(inner, (*found, name))


SETTINGS = sorted(paths(RunConfig))
WORDS = st.builds(
    lambda key, value: f"{key}={value}", st.sampled_from(SETTINGS), VALUES.map(str) | TEXTS
)


@fuzz(document=datasets())
def test_a_data_set_comes_back_from_its_file(document, folder):
    path = folder / "it.yaml"
    path.write_text(to_yaml(document))
    made = load_dataset(path)
    assert made == build(DatasetConfig, document, "it").in_folder(folder)
    path.write_text(to_yaml(made.model_dump(mode="json")))
    again = load_dataset(path)
    assert again == made and settings_hash(again) == settings_hash(made)


@fuzz(document=damaged(datasets()) | VALUES)
def test_a_damaged_data_set_is_refused_in_words_or_still_one(document, folder):
    (folder / "it.yaml").write_text(to_yaml(document))
    with contextlib.suppress(AutoMTLError):
        made = load_dataset(folder / "it.yaml")
        settings_hash(made)
        plan_readings(made)


YAML = datasets().map(lambda document: to_yaml(document).encode())


@fuzz(data=damaged_bytes(YAML, (b"&a", b"*a", b"!!", b"? ", b"<<: ", b"{[", b"\xff")))
def test_a_torn_yaml_file_is_refused_in_words(data, folder):
    (folder / "it.yaml").write_bytes(data)
    with contextlib.suppress(AutoMTLError):
        load_dataset(folder / "it.yaml")


@fuzz(text=st.text(max_size=200) | st.text("[]{}:,-&*!?|>'\"#%@ \n\tab01.e+", max_size=40))
def test_any_text_is_yaml_or_refused_in_words(text):
    with contextlib.suppress(ConfigError):
        parse_yaml(text, "it.yaml")


@fuzz(
    words=st.lists(WORDS | TEXTS, min_size=1, max_size=3),
    space=st.sampled_from([False, False, False, "automtl_small"]),
)
def test_any_words_of_set_make_settings_that_come_back_or_are_refused(words, space, folder):
    with contextlib.suppress(AutoMTLError):
        made = resolve(source="x", space=space, sets=words, flags={})
        (folder / "it.yaml").write_text(made.to_yaml())
        assert resolve(source="x", space=space, config_file=folder / "it.yaml", flags={}) == made
