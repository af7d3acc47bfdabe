"""Hand-made models of a wanted size."""

import pytest

from automtl.errors import ConfigError
from automtl.models.cost import flops_per_row
from automtl.models.derived import build_model
from automtl.models.like_size import can_scale, like_size, row_flops
from automtl.spaces.architecture import Architecture
from tests.support import small_schema


def test_a_row_s_operations_are_the_model_s_however_large_its_tables():
    schema = small_schema()
    huge = schema.model_copy(
        update={
            "fields": tuple(
                field.model_copy(update={"vocabulary_size": 10**15 * (field.vocabulary_size > 0)})
                for field in schema.fields
            )
        }
    )
    for name in ("mmoe", "single_task", "dselect_k"):
        bound = Architecture.load(name).bind(schema)
        counted = flops_per_row(build_model(bound, schema), schema)
        assert row_flops(bound, schema) == row_flops(bound, huge) == counted > 0


@pytest.mark.parametrize(("target", "widths"), [(0.0, (8, 8)), (1e12, (4096, 2048))])
def test_a_size_out_of_reach_gives_the_narrowest_or_the_widest(target, widths):
    schema = small_schema()
    template = Architecture.load("shared_bottom")
    scaled = like_size(template.bind(schema), target, schema)
    assert tuple(o.argument for o in scaled.experts[0].operations) == widths
    assert scaled.towers == template.towers and can_scale(scaled)


def test_what_has_no_hidden_widths_is_not_scaled():
    schema = small_schema()
    bound = Architecture.load("shared_bottom").bind(schema)
    experts = [expert.model_copy(update={"blocks": ("skip",)}) for expert in bound.experts]
    plain = bound.evolve(experts=tuple(experts))
    assert not can_scale(plain)
    with pytest.raises(ConfigError, match="must have experts of dense"):
        like_size(plain, 1.0, schema)
