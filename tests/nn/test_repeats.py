"""Products by distinct ids against torch's own, row by row."""

import pytest
import torch

from automtl.models.derived import build_model
from automtl.nn import repeats
from automtl.nn.repeats import Repeats, flattened, note, noted_product
from automtl.spaces.architecture import Architecture
from automtl.training.losses import multi_task_loss
from tests.support import random_batch, small_schema

CASES = {
    "few ids": (200, [5, 30, 20], 2, 16),
    "many ids": (333, [1, 100, 210, 100, 1000], 3, 64),
    "as many as rows": (40, [25, 25], 1, 64),
    "no other field": (100, [5, 5, 5, 9], 0, 16),
    "one field": (50, [3], 1, 32),
    "two rows": (2, [1, 1], 1, 64),
}


@pytest.fixture(autouse=True)
def for_small_layers(monkeypatch):
    monkeypatch.setattr(repeats, "_LARGE", 0)


class Case:
    """Tables, ids of a batch, other fields and a layer's weight."""

    def __init__(self, rows, sizes, others, dim, *, dtype=torch.float64):
        g = torch.Generator().manual_seed(0)

        def drawn(*shape):
            return torch.randn(*shape, generator=g, dtype=torch.float64).to(dtype)

        self.sizes, self.others = sizes, others
        self.ids = torch.stack([torch.randint(size, (rows,), generator=g) for size in sizes], 1).int()
        self.tables = [drawn(size, dim).requires_grad_() for size in sizes]
        self.numbers = drawn(rows, others, dim).requires_grad_()
        self.weight = drawn(80, (len(sizes) + others) * dim).requires_grad_()
        self.upstream = drawn(rows, 80)

    @property
    def leaves(self):
        return [*self.tables, self.numbers, self.weight]

    def fields(self, noted):
        embedded = torch.stack([table[self.ids[:, i].long()] for i, table in enumerate(self.tables)], 1)
        fields = torch.cat([embedded, self.numbers], 1)
        return note(fields, Repeats(self.ids, self.sizes, len(self.sizes) + self.others)) if noted else fields

    def product(self, noted):
        return noted_product(flattened(self.fields(noted)), self.weight)


def gradients(out, case, upstream=None):
    return torch.autograd.grad(out, case.leaves, case.upstream.to(out.dtype) if upstream is None else upstream, materialize_grads=True)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("parts", "chunk", "slots"), [(1, 2**23, 4096), (2, 2**23, 4096), (4, 0, 4096), (2, 0, 1)])
def test_values_and_gradients_are_those_of_a_linear_layer(monkeypatch, name, parts, chunk, slots):
    monkeypatch.setattr(repeats, "_parts", lambda outputs: parts)
    monkeypatch.setattr(repeats, "_CHUNK_BYTES", chunk)
    monkeypatch.setattr(repeats, "_SLOTS", slots)
    case = Case(*CASES[name])
    by_ids, by_rows = case.product(True), case.product(False)
    assert type(by_ids.grad_fn).__name__ == "DistinctProductBackward"
    torch.testing.assert_close(by_ids, by_rows, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradients(by_ids, case), gradients(by_rows, case), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("name", ["few ids", "many ids"])
def test_second_derivatives_too(monkeypatch, name, parts):
    monkeypatch.setattr(repeats, "_parts", lambda outputs: parts)
    case, found = Case(*CASES[name]), []
    for noted in (True, False):
        first = torch.autograd.grad(case.product(noted).sin().sum(), case.leaves, create_graph=True)
        found.append(torch.autograd.grad(sum(g.square().sum() for g in first), case.leaves))
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-9)


def test_bfloat16_is_as_near_to_float64_as_by_rows():
    exact, case = Case(*CASES["few ids"]), Case(*CASES["few ids"], dtype=torch.float32)
    truth = [exact.product(False), *gradients(exact.product(False), exact)]

    def errors(noted):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = case.product(noted)
        assert out.dtype == torch.bfloat16
        found = [out, *gradients(out, case)]
        return torch.stack([(f - t).norm() / t.norm() for f, t in zip(found, truth, strict=True)])

    assert (errors(True) < 2 * errors(False) + 1e-3).all()
    assert (errors(True) < 1e-2).all()


def test_outputs_go_in_parts_only_where_threads_share_them_evenly(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert [repeats._parts(outputs) for outputs in (8, 7, 2)] == [2, 1, 2]


def test_the_same_bits_again():
    case = Case(*CASES["many ids"], dtype=torch.float32)
    first, again = ([out, *gradients(out, case)] for out in (case.product(True), case.product(True)))
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


def test_a_gradient_of_one_number_for_all():
    case = Case(*CASES["few ids"])
    spread = torch.ones((), dtype=torch.float64).expand(200, 80)
    found = [gradients(case.product(noted), case, spread) for noted in (True, False)]
    torch.testing.assert_close(*found, rtol=1e-11, atol=1e-11)


def test_fields_with_many_ids_for_the_rows_and_small_layers_go_by_rows(monkeypatch):
    asked, places = [], repeats._Places
    monkeypatch.setattr(repeats, "_Places", lambda ids, fields, *rest: asked.append(list(fields)) or places(ids, fields, *rest))
    case = Case(100, [10, 100000, 20], 0, 16)
    assert type(case.product(True).grad_fn).__name__ == "DistinctProductBackward"
    assert asked == [[0, 2]]
    monkeypatch.setattr(repeats, "_LARGE", 2**26)
    assert type(case.product(True).grad_fn).__name__ != "DistinctProductBackward"


def test_what_is_computed_from_noted_fields_is_not_noted():
    """Masked or mixed vectors are no longer the same for the same id."""
    case = Case(*CASES["few ids"])
    fields = case.fields(True)
    for other in (fields * 1, fields[:, :2], fields.detach(), fields + fields):
        assert type(noted_product(flattened(other), case.weight[:, : other[0].numel()]).grad_fn).__name__ != "DistinctProductBackward"


def test_fields_changed_in_place_go_by_rows():
    case, found = Case(*CASES["few ids"]), []
    noise = torch.rand(200, 5 * 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for noted in (True, False):
        flat = flattened(case.fields(noted))
        found.append(noted_product(flat.mul_(noise), case.weight))
    torch.testing.assert_close(*found)
    fields = case.fields(True)
    fields.mul_(noise.view_as(fields))
    torch.testing.assert_close(noted_product(flattened(fields), case.weight), found[0])


@pytest.mark.parametrize("frozen", ["tables and numbers", "weight"])
def test_second_derivatives_where_parts_are_frozen(frozen):
    case, found = Case(*CASES["few ids"]), []
    still = [case.weight] if frozen == "weight" else [*case.tables, case.numbers]
    for leaf in still:
        leaf.requires_grad_(False)
    moving = [leaf for leaf in case.leaves if leaf.requires_grad]
    for noted in (True, False):
        first = torch.autograd.grad(case.product(noted).sin().sum(), moving, create_graph=True)
        found.append(torch.autograd.grad(sum(g.square().sum() for g in first), moving))
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-9)


def test_float64_is_not_lowered_and_layers_of_two_types_do_not_mix():
    case = Case(*CASES["few ids"])
    flat = flattened(case.fields(True))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert noted_product(flat, case.weight).dtype == torch.float64
        assert noted_product(flat, case.weight.float()).dtype == torch.bfloat16
    assert noted_product(flat, case.weight.float()).dtype == torch.float32


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_training_mode_without_gradients(mode):
    case = Case(*CASES["few ids"])
    expected = case.product(False)
    with mode():
        torch.testing.assert_close(case.product(True), expected.detach(), rtol=1e-12, atol=1e-12)


def test_no_field_of_one_id_goes_by_rows():
    x, weight = torch.randn(20, 2, 16), torch.randn(3, 32)
    noted = note(x, Repeats(torch.empty(20, 0), [], 2))
    torch.testing.assert_close(noted_product(flattened(noted), weight), x.flatten(1) @ weight.t(), rtol=1e-5, atol=1e-5)


def model():
    expert = {"blocks": ("dense(16)", "dense(8)")}
    content = {"name": "mmoe", "embedding_dim": 16, "projection": None, "experts": (expert,) * 2, "towers": (4,), "dropout": 0.1}
    schema = small_schema()
    architecture = Architecture.model_validate({**content, "sharing": {"kind": "mmoe"}})
    return build_model(architecture, schema, generator=torch.Generator().manual_seed(1)), schema


def test_a_model_trains_by_distinct_ids_and_predicts_by_rows(monkeypatch):
    used, apply = [], repeats.DistinctProduct.apply
    monkeypatch.setattr(repeats.DistinctProduct, "apply", lambda *arguments: used.append(1) or apply(*arguments))
    found = []
    for large in (0, float("inf")):
        monkeypatch.setattr(repeats, "_LARGE", large)
        net, schema = model()
        batch = random_batch(schema, rows=256)
        multi_task_loss(schema.tasks, net(batch.inputs), batch.labels, batch.weights).total.backward()
        found.append([p.grad for p in net.parameters()])
    assert len(used) == 2  # an expert each, in the first pass
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-6)
    net.eval()(batch.inputs)
    assert len(used) == 2
