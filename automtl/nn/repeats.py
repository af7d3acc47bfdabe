"""Products over a batch's embeddings with each distinct id taken once.

Rows with one id in a field have one vector there, so what a layer makes of a field is made once per id and summed over fields by a
row's ids; gradients are summed over the rows of an id before they meet the weights and the vectors. With few ids per field that is
most of the work of the experts' first layers.

The outputs go in parts, one for each thread, so that a thread sums what it made: where what one thread writes is slow to read for another,
as on two dies of one processor, handing it over takes longer than the products.

Legend: B rows, F fields, C of them with one id each, d embedding width, O outputs, n fields that are taken so, U slots for their
distinct ids: each field's number of ids, filled up to one that other fields share, so that they go in batched products; P parts.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from automtl.nn.products import product, times
from automtl.nn.scratch import scratch

_LARGE = 2**26  # multiplications of a layer from which on it pays
_CHUNK_BYTES = 2**23  # made of all slots before they are summed
_SLOTS = 4096  # in one batched product, where its fields are enough for all threads: the sums of 512 outputs take 8 MiB
_NOTE = "repeats"


class Repeats:
    """What is known of the ids behind a batch of embeddings.

    Args:
        ids: (B, C), field-local.
        sizes: vocabulary size of each of the C fields, which are the first of F.
        num_fields: F.
    """

    def __init__(self, ids: Tensor, sizes: Sequence[int], num_fields: int) -> None:
        self.ids, self.sizes, self.num_fields = ids, sizes, num_fields
        self._made: dict[tuple[torch.dtype, int], tuple[_Places, Tensor, Tensor, Tensor]] = {}

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        """The product x W^T, by distinct ids in the fields where that pays. Shape: x (B, F d), weight (O, F d) -> (B, O)."""
        dim = x.shape[1] // self.num_fields
        chosen = [field for field, size in enumerate(self.sizes) if _pays(size, len(x), dim)]
        if not chosen or len(chosen) * dim * len(x) * len(weight) < _LARGE:
            return product(x, weight)
        lowered = torch.is_autocast_enabled("cpu") and weight.dtype == torch.float32
        low = torch.get_autocast_dtype("cpu") if lowered else weight.dtype
        key = low, _parts(len(weight))
        if key not in self._made:
            places = _Places(self.ids, chosen, self.num_fields, key[1])
            read = x.reshape(-1, dim).index_select(0, places.read)
            distinct, rest = read[: places.count], read[places.count :].view(len(x), -1)
            self._made[key] = places, places.for_parts(distinct.detach().to(low)), distinct, rest
        out: Tensor = DistinctProduct.apply(*self._made[key], weight)  # type: ignore[no-untyped-call]
        return out


def _parts(outputs: int) -> int:
    threads = torch.get_num_threads()
    return 1 if outputs % threads else threads


def _pays(ids: int, rows: int, dim: int) -> bool:
    """Whether a field of so many ids goes by ids: three products of `dim` a row against three an id, and sums over rows.

    Fitted to float32 and bfloat16 on two threads of an AMD Zen 4, widths 16 and 64.
    """
    return ids * (3.4 * dim + 45) < rows * (3 * dim - 24)


class _Bucket(NamedTuple):
    """Fields with as many slots each, as slices of the n fields and of the U slots; their rows and where each slot's begin."""

    fields: slice
    slots: slice
    size: int
    rows: Tensor
    starts: Tensor

    def of(self, slotted: Tensor, parts: int = 1) -> Tensor:
        """Its share of (P U, W), where that has P parts for each bucket, as (P fields, size, W)."""
        return slotted[parts * self.slots.start : parts * self.slots.stop].view(-1, self.size, slotted.shape[1])


class _Places:
    """Where a batch's ids stand among the distinct ones.

    Attributes:
        fields: the n fields, those with as many slots next to each other.
        others: the other fields.
        back: where each of the F fields is among the n and then the others.
        in_order: whether that is where it was.
        slots: (P B, n), each row's slots for the first part of the outputs, then for the next.
        own: (B, n), each row's slots among the U.
        count, parts: U and P.
        read: places in (B F,): for each slot one with its vector, any where it has no id; then (B, F - n) of the other fields.
        buckets: of the fields.
    """

    def __init__(self, ids: Tensor, fields: Sequence[int], num_fields: int, parts: int) -> None:
        count, batch = len(fields), len(ids)
        columns = ids[:, list(fields)].t()  # (n, B)
        narrow = columns.numpy().astype(np.uint16 if columns.max() < 2**16 else np.int64)  # numpy sorts short integers by their digits
        order = torch.from_numpy(np.argsort(narrow, axis=1, kind="stable"))
        ordered = columns.gather(1, order)
        new = torch.ones_like(ordered, dtype=torch.bool)
        torch.ne(ordered[:, 1:], ordered[:, :-1], out=new[:, 1:])
        rank = new.cumsum(1) - 1
        sizes = [_filled_up(last + 1) for last in rank[:, -1].tolist()]
        by_size = sorted(range(count), key=sizes.__getitem__)
        sizes = [sizes[i] for i in by_size]
        order, new, rank = order[by_size], new[by_size], rank[by_size]
        begins = list(accumulate(sizes, initial=0))
        slot = rank + torch.tensor(begins[:-1]).unsqueeze(1)
        self.fields = torch.tensor(fields)[by_size]
        self.others = torch.tensor(sorted(set(range(num_fields)) - set(fields)), dtype=torch.int64)
        self.back = torch.cat([self.fields, self.others]).argsort()
        self.in_order = bool((self.back == torch.arange(num_fields)).all())
        self.count, self.parts = begins[-1], parts
        first = torch.repeat_interleave(self.fields, torch.tensor(sizes))
        field, place = new.nonzero(as_tuple=True)
        met = slot[field, place]
        first[met] += order[field, place] * num_fields
        rest = torch.arange(batch).unsqueeze(1) * num_fields + self.others
        self.read = torch.cat([first, rest.flatten()])
        starts = torch.full((self.count,), batch)  # in its field's rows; a slot without an id has none
        starts[met] = place
        self.buckets = list(_buckets(sizes, begins, order, starts))
        self.own = torch.empty_like(slot).scatter_(1, order, slot).t()
        spans = [(b.slots.start, b.slots.stop) for b in self.buckets for _ in range(b.fields.start, b.fields.stop)]  # per field
        begin, end = torch.tensor(spans).unbind(1)
        self.slots = torch.cat([self.own + (parts - 1) * begin + part * (end - begin) for part in range(parts)]).int()

    def for_parts(self, slotted: Tensor) -> Tensor:
        """Each bucket's share as often as there are parts. Shape: (U, W) -> (P U, W)."""
        return torch.cat([bucket.of(slotted).repeat(self.parts, 1, 1).flatten(0, 1) for bucket in self.buckets])


def _buckets(sizes: Sequence[int], begins: Sequence[int], order: Tensor, starts: Tensor) -> Iterator[_Bucket]:
    """Fields of one size go together, as many as `_SLOTS` allows; see `_Places` for the arguments."""
    for size, group in groupby(range(len(sizes)), key=sizes.__getitem__):
        alike, most = list(group), max(torch.get_num_threads(), _SLOTS // size)
        for i in range(0, len(alike), most):
            first, last = alike[i], alike[i : i + most][-1] + 1
            fields, slots = slice(first, last), slice(begins[first], begins[last])
            offsets = torch.arange(last - first).repeat_interleave(size) * order.shape[1]
            yield _Bucket(fields, slots, size, order[fields].flatten().int(), (starts[slots] + offsets).int())


def _filled_up(count: int) -> int:
    """A number of slots that other fields are likely to share: a power of two; from 65 on also steps of an eighth between."""
    power = 1 << (count - 1).bit_length()
    step = power // 8 if count > 64 else power
    return -(-count // step) * step


class DistinctProduct(torch.autograd.Function):
    """sum_f W_f e_f + W' r: e_f the vectors of a row's ids, r its other fields.

    Shape: vectors (P U, d), without gradient, in the type of the products, distinct (U, d), rest (B, (F - n) d), weight (O, F d)
    -> (B, O).
    """

    @staticmethod
    def forward(ctx: Any, places: _Places, vectors: Tensor, distinct: Tensor, rest: Tensor, weight: Tensor) -> Tensor:
        ctx.places = places
        ctx.save_for_backward(vectors, distinct, rest, weight)
        by_field, other = _by_field(places, weight.to(vectors.dtype), distinct.shape[1])
        parts = by_field.view(len(by_field), places.parts, -1, distinct.shape[1]).transpose(0, 1)  # (P, n, O / P, d)
        out = vectors.new_empty(len(rest), places.parts, parts.shape[2])
        size = max(32, _CHUNK_BYTES // (len(vectors) * vectors.element_size()) // 32 * 32)
        for columns in (slice(start, start + size) for start in range(0, parts.shape[2], size)):
            chunk = parts[:, :, columns]
            made = scratch("distinct", (len(vectors), chunk.shape[2]), vectors)
            for bucket in places.buckets:
                weights = chunk[:, bucket.fields].flatten(0, 1).transpose(1, 2)
                torch.bmm(bucket.of(vectors, places.parts), weights, out=bucket.of(made, places.parts))
            summed = functional.embedding_bag(places.slots, made, mode="sum")
            out[:, :, columns] = summed.view(places.parts, -1, summed.shape[1]).transpose(0, 1)
        out = out.flatten(1)
        return out.addmm_(rest.to(out.dtype), other.t()) if len(places.others) else out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        vectors, distinct, rest, weight = ctx.saved_tensors
        places, low = ctx.places, vectors.dtype
        if torch.is_grad_enabled():  # for second derivatives
            inputs = [t for t in (distinct, rest, weight) if t.requires_grad]
            found = iter(torch.autograd.grad(_by_rows(places, distinct, rest, weight), inputs, gradient, create_graph=True))
            return None, None, *(next(found) if t.requires_grad else None for t in (distinct, rest, weight))
        by_field, other = _by_field(places, weight.to(low), distinct.shape[1])
        gradient = gradient.contiguous()
        to_distinct, to_fields = torch.empty_like(distinct, dtype=low), []  # the second: each of (., d, O)
        for bucket in places.buckets:
            summed = functional.embedding_bag(bucket.rows, gradient, bucket.starts, mode="sum").view(-1, bucket.size, len(weight))
            torch.bmm(summed, by_field[bucket.fields], out=bucket.of(to_distinct))
            to_fields.append(bucket.of(vectors, places.parts)[: len(summed)].transpose(1, 2) @ summed)
        to_fields.append((rest.to(low).t() @ gradient).view(-1, distinct.shape[1], len(weight)))
        to_weight = torch.cat(to_fields)
        if not places.in_order:
            to_weight = to_weight.index_select(0, places.back)
        to_weight = to_weight.permute(2, 0, 1).reshape(weight.shape).to(weight.dtype)
        return None, None, to_distinct.to(distinct.dtype), times(gradient, other).to(rest.dtype), to_weight


def _by_field(places: _Places, weight: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Weights of the n fields, (n, O, d), and of the others, (O, (F - n) d)."""
    parts = weight.view(len(weight), -1, dim)
    by_field, count = parts.transpose(0, 1), len(places.fields)
    by_field = by_field[:count] if places.in_order else by_field.index_select(0, places.fields)
    return by_field, parts.index_select(1, places.others).flatten(1)


def _by_rows(places: _Places, distinct: Tensor, rest: Tensor, weight: Tensor) -> Tensor:
    """The product in torch's own operations, row by row; see `DistinctProduct`."""
    rows = torch.cat([distinct.index_select(0, places.own.flatten()).view(len(rest), -1), rest], 1)
    parts = weight.view(len(weight), -1, distinct.shape[1])
    return functional.linear(rows.to(weight.dtype), parts.index_select(1, torch.cat([places.fields, places.others])).flatten(1))


def note(x: Tensor, repeats: Repeats) -> Tensor:
    """Write on x itself what is known of its ids, where that is of use: on a CPU, outside compiled code.

    What is computed from x has no such note, and x changed in place none that counts.
    The gradient of a noted x stands in one row of each id; summed over an id's rows it is right, which is all that its vector's is.
    """
    if x.is_cpu and not x.is_inference() and not torch.compiler.is_compiling():
        vars(x)[_NOTE] = repeats, x._version
    return x


def flattened(fields: Tensor) -> Tensor:
    """`fields.flatten(1)`, with the note. Shape: (B, F, d) -> (B, F d)."""
    repeats, flat = _noted(fields), fields.flatten(1)
    return flat if repeats is None else note(flat, repeats)


def noted_product(x: Tensor, weight: Tensor) -> Tensor:
    """`product`, by distinct ids where `x` has a note of them. Shape: x (B, I), weight (O, I) -> (B, O)."""
    repeats = _noted(x)
    return product(x, weight) if repeats is None else repeats.product(x, weight)


def _noted(x: Tensor) -> Repeats | None:
    if torch.compiler.is_compiling() or _NOTE not in vars(x):
        return None
    repeats, version = vars(x)[_NOTE]
    return repeats if x._version == version else None
