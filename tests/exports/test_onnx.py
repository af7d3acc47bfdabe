"""ONNX models answer as the networks they are made of: every sharing kind, every kind of feature
and task, any number of rows.
"""

import numpy as np
import onnx
import pytest

from automtl.data.store.schema import Field, Schema, Task
from automtl.errors import ArtifactError, ConfigError
from automtl.exports.graph import onnx_bytes, onnx_runner, program
from automtl.exports.network import Served, encode_masks, names
from automtl.exports.parity import compare, eager
from tests.exports.nets import KINDS, SCHEMA, architecture, features, trained

QUICK = {  # the others of the catalogue are marked slow: an export takes seconds
    "selected": {"interaction": ("self_attention(2)",), "numeric": "periodic"},
    "dselect_k": {"interaction": ("product(outer)", "cross(2)"), "numeric": "joint"},
}


def check(served: Served) -> bytes:
    """Export, and compare on several numbers of rows and lengths of lists."""
    data, schema = onnx_bytes(program(served), served.schema), served.schema
    run = onnx_runner(data, names(schema)[1])
    many = features(schema, count=1000)
    assert set(compare(run, served, many)) == set(names(schema)[1])
    for part in (slice(0, 1), slice(-1, None), slice(0, 2)):
        compare(run, served, {name: array[part] for name, array in many.items()})
    short = {name: array[:5, :0] if array.ndim == 2 else array[:5] for name, array in many.items()}
    compare(run, served, short)
    return data


def check_sizes(data: bytes) -> None:
    """Sizes have names that say whose they are."""
    model = onnx.load_from_string(data)
    shapes = {
        v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in (*model.graph.input, *model.graph.output)
    }
    assert (
        shapes["tags"] == ["batch", "length_tags"]
        and shapes["user"] == ["batch"]
        and shapes["probs_kind"] == ["batch", 3]
    )


@pytest.mark.parametrize("name", QUICK)
def test_a_kind_answers_as_its_network(name: str) -> None:
    data = check(trained(architecture(name, **QUICK[name])))
    check_sizes(data)
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    assert b"/automtl/" not in data, "no path of the machine that made it"


def test_masks_that_share_bytes_are_the_same_masks() -> None:
    served = trained(architecture("mome", interaction=("skip",)))
    before = eager(served, features())
    encode_masks(served)
    held = served.state_dict()
    assert any(name.endswith(".codes") for name in held) and not any(
        name.endswith(".mask.on") for name in held
    )
    assert all(
        (mine == theirs).all()
        for mine, theirs in zip(before, eager(served, features()), strict=True)
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in KINDS if name not in QUICK])
def test_every_other_kind_answers_as_its_network(name: str) -> None:
    check(trained(architecture(name, interaction=("mlp(4)", "skip"))))


@pytest.mark.parametrize(
    "fields",
    [
        tuple(
            Field(name=n, kind="numeric")
            for n in ("val_0", "embedding", "batch", "net.towers.0.head.bias", "dense")
        ),
        tuple(
            Field(name=n, kind="categorical", vocabulary_size=4)
            for n in ("ids", "add", "a b\n|`", "probs")
        ),
        (Field(name="seen", kind="sequence", vocabulary_size=4),),
    ],
    ids=["numbers", "ids", "one list"],
)
def test_any_set_of_features_under_any_names(fields: tuple[Field, ...]) -> None:
    schema = Schema(
        name="odd",
        fields=fields,
        tasks=(Task(name="val_1", kind="binary"), Task(name="select", kind="binary")),
    )
    served = trained(architecture("shared_bottom", interaction=("skip",)), schema)
    model = onnx.load_from_string(check(served))
    assert [value.name for value in model.graph.input] == [field.name for field in fields]
    assert [value.name for value in model.graph.output] == ["probs_val_1", "probs_select"]


def test_a_feature_with_the_name_of_an_output_is_refused() -> None:
    clash = SCHEMA.model_copy(
        update={"fields": (*SCHEMA.fields, Field(name="probs_click", kind="numeric"))}
    )
    with pytest.raises(
        ConfigError, match="feature 'probs_click': must not have the name of an output"
    ):
        names(clash)


def test_parity_sees_a_difference_and_nan() -> None:
    served, given = trained(architecture("shared_bottom")), features()
    right = eager(served, given)
    compare(lambda _: right, served, given, exact=True)
    for output, change in ((0, 2e-5), (1, 0.1), (2, 1e-2), (3, 2e-5), (3, np.nan)):
        wrong = [array.copy() for array in right]
        wrong[output][-1] += change
        with pytest.raises(
            ArithmeticError,
            match=f"export, output '{names(SCHEMA)[1][output]}': must answer as the network does, "
            "within",
        ):
            compare(lambda _, wrong=wrong: wrong, served, given)
    wrong = [np.nextafter(array, np.float32(9)) for array in right]
    with pytest.raises(ArithmeticError, match="bit for bit"):
        compare(lambda _: wrong, served, given, exact=True)


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(ArtifactError, match="model.onnx: must be a model that onnxruntime reads"):
        onnx_runner(b"no model", ["x"])
