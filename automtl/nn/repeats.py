"""Products over a batch's embeddings with each distinct id taken once.

Rows with one id in a field have one vector there, so gradients are summed over the rows of an id before they meet the weights and
the vectors; and where ids are few, what a layer makes of a field is made once per id and summed over fields by a row's ids. With
few ids per field that is most of the work of the experts' first layers.

Legend: B rows, F fields, C of them with one id each, d embedding width, O outputs, n fields that are taken so, U slots for their
distinct ids: each field's number of ids, filled up to one that other fields share, so that they go in batched products.
"""

from collections.abc import Sequence
from itertools import accumulate, groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from automtl.nn.products import product, times

_LARGE = 2**26  # multiplications of a layer from which on it pays
_FEW = 1 / 4  # slots per row and field up to which going forward by ids pays, too; measured as `_pays`
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
        self._made: dict[torch.dtype, tuple[_Places, Tensor, Tensor, Tensor]] = {}

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        """The product x W^T, by distinct ids in the fields where that pays. Shape: x (B, F d), weight (O, F d) -> (B, O)."""
        dim = x.shape[1] // self.num_fields
        chosen = [field for field, size in enumerate(self.sizes) if _pays(size, len(x), dim)]
        if not chosen or len(chosen) * dim * len(x) * len(weight) < _LARGE:
            return product(x, weight)
        lowered = torch.is_autocast_enabled("cpu") and weight.dtype == torch.float32
        low = torch.get_autocast_dtype("cpu") if lowered else weight.dtype
        if low not in self._made:
            places = _Places(self.ids, chosen, self.num_fields)
            read = x.reshape(-1, dim).index_select(0, places.read)
            rest = read[places.count :].view(len(x), -1)
            self._made[low] = places, x.detach().to(low), read[: places.count], rest
        out: Tensor = DistinctProduct.apply(*self._made[low], weight)  # type: ignore[no-untyped-call]
        return out


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

    def of(self, slotted: Tensor) -> Tensor:
        """Its part of (U, W), as (fields, size, W)."""
        return slotted[self.slots].view(-1, self.size, slotted.shape[1])


class _Places:
    """Where a batch's ids stand among the distinct ones.

    Attributes:
        fields: the n fields, those with as many slots next to each other.
        others: the other fields.
        back: where each of the F fields is among the n and then the others.
        in_order: whether that is where it was.
        slots: (B, n), each row's slots.
        count: U.
        read: places in (B F,): for each slot one with its vector, any where it has no id; then (B, F - n) of the other fields.
        few: whether there are few slots for the rows.
        buckets: of the fields.
    """

    def __init__(self, ids: Tensor, fields: Sequence[int], num_fields: int) -> None:
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
        self.slots = torch.empty_like(slot).scatter_(1, order, slot).t().int().contiguous()
        self.count, self.few = begins[-1], begins[-1] <= _FEW * batch * count
        first = torch.repeat_interleave(self.fields, torch.tensor(sizes))
        field, place = new.nonzero(as_tuple=True)
        met = slot[field, place]
        first[met] += order[field, place] * num_fields
        rest = torch.arange(batch).unsqueeze(1) * num_fields + self.others
        self.read = torch.cat([first, rest.flatten()])
        starts = torch.full((self.count,), batch)  # in its field's rows; a slot without an id has none
        starts[met] = place
        self.buckets: list[_Bucket] = []
        for size, group in groupby(range(count), key=sizes.__getitem__):
            members, most = list(group), max(torch.get_num_threads(), _SLOTS // size)
            for part in (members[i : i + most] for i in range(0, len(members), most)):
                fields_of, slots_of = slice(part[0], part[-1] + 1), slice(begins[part[0]], begins[part[-1] + 1])
                offsets = torch.arange(len(part)).repeat_interleave(size) * batch
                bags = order[fields_of].flatten().int(), (starts[slots_of] + offsets).int()
                self.buckets.append(_Bucket(fields_of, slots_of, size, *bags))


def _filled_up(count: int) -> int:
    """A number of slots that other fields are likely to share: a power of two; from 65 on also steps of an eighth between."""
    power = 1 << (count - 1).bit_length()
    step = power // 8 if count > 64 else power
    return -(-count // step) * step


class DistinctProduct(torch.autograd.Function):
    """x W^T as sum_f W_f e_f + W' r, in x's type: e_f the vectors of a row's ids, r its other fields.

    Shape: x (B, F d), without gradient, distinct (U, d), rest (B, (F - n) d), weight (O, F d) -> (B, O).
    """

    @staticmethod
    def forward(ctx: Any, places: _Places, x: Tensor, distinct: Tensor, rest: Tensor, weight: Tensor) -> Tensor:
        ctx.places, ctx.low = places, x.dtype
        ctx.save_for_backward(distinct, rest, weight)
        if not places.few:
            return product(x, weight)
        vectors, by_field, other = _low(ctx, distinct, weight)
        made = vectors.new_empty(len(vectors), len(weight))
        for bucket in places.buckets:
            torch.bmm(bucket.of(vectors), by_field[bucket.fields].transpose(1, 2), out=bucket.of(made))
        out = functional.embedding_bag(places.slots, made, mode="sum")
        return out.addmm_(rest.to(ctx.low), other.t()) if len(places.others) else out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        distinct, rest, weight = ctx.saved_tensors
        if torch.is_grad_enabled():  # for second derivatives
            inputs = [t for t in (distinct, rest, weight) if t.requires_grad]
            found = iter(torch.autograd.grad(_by_rows(ctx.places, distinct, rest, weight), inputs, gradient, create_graph=True))
            return None, None, *(next(found) if t.requires_grad else None for t in (distinct, rest, weight))
        vectors, by_field, other = _low(ctx, distinct, weight)
        gradient = gradient.contiguous()
        to_distinct = torch.empty_like(vectors)
        to_fields = []  # each of (., d, O)
        for bucket in ctx.places.buckets:
            summed = functional.embedding_bag(bucket.rows, gradient, bucket.starts, mode="sum").view(-1, bucket.size, len(weight))
            torch.bmm(summed, by_field[bucket.fields], out=bucket.of(to_distinct))
            to_fields.append(bucket.of(vectors).transpose(1, 2) @ summed)
        to_fields.append((rest.to(ctx.low).t() @ gradient).view(-1, distinct.shape[1], len(weight)))
        to_weight = torch.cat(to_fields)
        if not ctx.places.in_order:
            to_weight = to_weight.index_select(0, ctx.places.back)
        to_weight = to_weight.permute(2, 0, 1).reshape(weight.shape).to(weight.dtype)
        return None, None, to_distinct.to(distinct.dtype), times(gradient, other).to(rest.dtype), to_weight


def _low(ctx: Any, distinct: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Vectors and weights in the product's type: (U, d), by field (n, O, d), and of the other fields (O, (F - n) d)."""
    parts = weight.to(ctx.low).view(len(weight), -1, distinct.shape[1])
    by_field, count = parts.transpose(0, 1), len(ctx.places.fields)
    by_field = by_field[:count] if ctx.places.in_order else by_field.index_select(0, ctx.places.fields)
    return distinct.to(ctx.low), by_field, parts.index_select(1, ctx.places.others).flatten(1)


def _by_rows(places: _Places, distinct: Tensor, rest: Tensor, weight: Tensor) -> Tensor:
    """The product in torch's own operations, row by row; see `DistinctProduct`."""
    rows = torch.cat([distinct.index_select(0, places.slots.flatten()).view(len(rest), -1), rest], 1)
    parts = weight.view(len(weight), -1, distinct.shape[1])
    return functional.linear(rows.to(weight.dtype), parts.index_select(1, torch.cat([places.fields, places.others])).flatten(1))


def note(x: Tensor, repeats: Repeats) -> Tensor:
    """Write on x itself what is known of its ids. What is computed from x has no such note, and x changed in place none that counts.

    The gradient of a noted x stands in one row of each id; summed over an id's rows it is right, which is all that its vector's is.
    """
    if not x.is_inference():
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
