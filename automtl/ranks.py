"""The processes that train one network together, its ranks: what each must know of the others.

One process is `ALONE`: every method is the identity, and nothing of torch.distributed is imported.
Several are a `Group`, as torchrun or `--workers` starts them. All of them run the same code on
their own rows of each batch; what decides anything is made the same on all of them here. Whoever
calls a method must call it on every rank, in the same order, whatever the rank's own rows are.

Legend: W ranks, V rows of a table, d its width, n rows of a rank.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from automtl.errors import ConfigError, RankLost

if TYPE_CHECKING:
    from torch import Tensor


class Ranks(Protocol):
    """One process among those that train together.

    Attributes:
        rank: its number, from 0.
        size: W.
    """

    rank: int
    size: int

    @property
    def first(self) -> bool:
        """Whether it writes files and talks to people."""

    def total(self, part: "Tensor") -> "Tensor":
        """The sum of all ranks' tensors of one shape."""

    def totals(
        self, parts: Sequence["Tensor | None"], like: Sequence["Tensor"]
    ) -> list["Tensor | None"]:
        """The sums of many dense tensors, one collective per type of number whatever is there.

        Args:
            parts: None counts as zeros; what no rank has stays None.
            like: of the parts' shapes and types, the same on all ranks.
        """

    def union(self, rows: "Tensor") -> "Tensor":
        """The distinct numbers of all ranks, ascending. Shape: (n,) int64 -> (m,)."""

    def total_rows(self, part: "Tensor | None", like: "Tensor") -> "Tensor | None":
        """All ranks' sparse (V, d) gradients of a table, summed by rank; None without any."""

    def gathered(self, part: np.ndarray) -> list[np.ndarray]:
        """All ranks' arrays, of any length, by rank."""

    def told(self, value: Any) -> Any:
        """The first rank's JSON value. All ranks have come so far when it returns."""

    def agree(self, flag: int) -> int:
        """The largest of all ranks' numbers."""

    def same(self, what: str, value: Any) -> None:
        """Refuse ranks that start from different things.

        Raises:
            ConfigError: their JSON values differ.
        """


class Alone:
    """The one process that there is."""

    rank, size = 0, 1
    first = True

    def total(self, part: "Tensor") -> "Tensor":
        """Its own."""
        return part

    def totals(
        self, parts: Sequence["Tensor | None"], like: Sequence["Tensor"]
    ) -> list["Tensor | None"]:
        """Its own."""
        return list(parts)

    def union(self, rows: "Tensor") -> "Tensor":
        """Its own, as they are."""
        return rows

    def total_rows(self, part: "Tensor | None", like: "Tensor") -> "Tensor | None":
        """Its own."""
        return part

    def gathered(self, part: np.ndarray) -> list[np.ndarray]:
        """Its own."""
        return [part]

    def told(self, value: Any) -> Any:
        """Its own."""
        return value

    def agree(self, flag: int) -> int:
        """Its own."""
        return flag

    def same(self, what: str, value: Any) -> None:
        """Nothing to compare."""


ALONE = Alone()


class Group:
    """A process of torch.distributed's default group, which must have been made.

    Tensors on a device go by its backend; numbers that steer the program by the CPU's.

    Args:
        timeout_s: how long it waits for the others, for errors.

    Attributes:
        calls, bytes: collectives so far, and what this rank gave to them.
    """

    def __init__(self, timeout_s: float) -> None:
        import torch.distributed as dist

        self._dist, self._timeout_s = dist, timeout_s
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.calls = self.bytes = 0

    @property
    def first(self) -> bool:
        """Whether it writes files and talks to people."""
        return self.rank == 0

    @contextmanager
    def _collective(self, tensor: "Tensor") -> Iterator[None]:
        self.calls += 1
        self.bytes += tensor.numel() * tensor.element_size()
        try:
            yield
        except RuntimeError as error:
            raise RankLost(self.rank, str(error), self._timeout_s) from error

    def total(self, part: "Tensor") -> "Tensor":
        """The sum, by one collective."""
        whole = part.detach().clone().contiguous()
        with self._collective(whole):
            self._dist.all_reduce(whole)
        return whole

    def totals(
        self, parts: Sequence["Tensor | None"], like: Sequence["Tensor"]
    ) -> list["Tensor | None"]:
        """The sums: a bucket of a fixed size per type, with how many have each of the parts."""
        import torch

        totals: list[Tensor | None] = [None] * len(parts)
        # in the order of the list: that of a set is each process's own
        for dtype in dict.fromkeys(tensor.dtype for tensor in like):
            places = [i for i, tensor in enumerate(like) if tensor.dtype == dtype]
            own, shapes = [parts[i] for i in places], [like[i] for i in places]
            there = torch.tensor([part is not None for part in own], dtype=dtype)
            pieces = [
                tensor.new_zeros(tensor.numel(), dtype=dtype) if part is None else part.reshape(-1)
                for part, tensor in zip(own, shapes, strict=True)
            ]
            flat = self.total(torch.cat([*pieces, there.to(shapes[0].device)]))
            *sums, counts = torch.split(flat, [*(t.numel() for t in shapes), len(places)])
            # a look waits for the device
            presence = counts.tolist() if any(part is None for part in own) else [1] * len(places)
            for i, tensor, whole, count in zip(places, shapes, sums, presence, strict=True):
                totals[i] = whole.view(tensor.shape) if count else None
        return totals

    def union(self, rows: "Tensor") -> "Tensor":
        """The distinct numbers, by two collectives."""
        import torch

        whole = torch.cat(self._parts(torch.unique(rows)))
        distinct: Tensor = torch.unique(whole)
        return distinct

    def total_rows(self, part: "Tensor | None", like: "Tensor") -> "Tensor | None":
        """The sum, by two collectives: numbers and values of the touched rows in one."""
        import torch

        none = torch.zeros(0, dtype=torch.int64, device=like.device)
        rows, values = none, like.new_zeros((0, like.shape[1]))
        if part is not None:
            coalesced = part.coalesce()
            rows, values = coalesced.indices()[0], coalesced.values()
        words = torch.cat([_words(rows.unsqueeze(1)), _words(values)], dim=1)
        # a row more says that there is a gradient, be it of no row
        given = torch.cat([words, words.new_zeros((int(part is not None), words.shape[1]))])
        gathered = [whole[:-1] for whole in self._parts(given) if len(whole)]
        if not gathered:
            return None
        wide = _words(none.new_zeros((1, 1))).shape[1]
        whole = torch.cat(gathered)
        numbers = whole[:, :wide].contiguous().view(torch.int64).reshape(1, -1)
        entries = whole[:, wide:].contiguous().view(like.dtype)
        summed = torch.sparse_coo_tensor(numbers, entries, like.shape, check_invariants=False)
        return summed.coalesce()

    def _parts(self, part: "Tensor") -> list["Tensor"]:
        """All ranks' tensors, of any length, by rank."""
        import torch

        length = torch.tensor([len(part)])
        lengths = [torch.empty_like(length) for _ in range(self.size)]
        with self._collective(length):
            self._dist.all_gather(lengths, length)
        sizes = [int(one) for one in lengths]
        padded = part.new_zeros((max(sizes), *part.shape[1:]))
        padded[: len(part)] = part
        padded_parts = [torch.empty_like(padded) for _ in range(self.size)]
        if max(sizes):
            with self._collective(padded):
                self._dist.all_gather(padded_parts, padded)
        return [whole[:size] for whole, size in zip(padded_parts, sizes, strict=True)]

    def gathered(self, part: np.ndarray) -> list[np.ndarray]:
        """All ranks' arrays, by two collectives."""
        import torch

        return [one.numpy() for one in self._parts(torch.from_numpy(np.ascontiguousarray(part)))]

    def told(self, value: Any) -> Any:
        """The first rank's value as JSON, never as a pickle."""
        text = json.dumps(value).encode() if self.first else b""
        whole = self.gathered(np.frombuffer(text, np.uint8).copy())[0]
        return json.loads(whole.tobytes())

    def agree(self, flag: int) -> int:
        """The largest, by one collective."""
        import torch

        whole = torch.tensor([flag])
        with self._collective(whole):
            self._dist.all_reduce(whole, op=self._dist.ReduceOp.MAX)
        return int(whole)

    def same(self, what: str, value: Any) -> None:
        """Compare with the first rank's; where one differs, all ranks refuse."""
        plain, rule = json.loads(json.dumps(value)), f"must start from the same {what}"
        if self.agree(int(self.told(plain) != plain)):
            fix = "start the same command with the same files and versions on every machine"
            raise ConfigError("ranks", rule, "others on one of them", fix)


def _words(values: "Tensor") -> "Tensor":
    """The bits of numbers as whole numbers of 32, so that several kinds go in one collective."""
    import torch

    return values.contiguous().view(torch.int32)


def world_size() -> int:
    """How many processes were started to train together, as torchrun says it; 1 without.

    Raises:
        ConfigError: WORLD_SIZE is no such number.
    """
    return _number("WORLD_SIZE", 1)


def follows() -> bool:
    """Whether this process is a rank that neither writes nor talks, as torchrun says it."""
    return world_size() > 1 and _number("RANK", 0) > 0


def restarts() -> int:
    """How often torchrun started this process again, after one of its ranks had failed."""
    return _number("TORCHELASTIC_RESTART_COUNT", 0)


def place() -> tuple[int, int]:
    """The number of this process on its machine, and how many there are there."""
    size = world_size()
    return _number("LOCAL_RANK", 0), _number("LOCAL_WORLD_SIZE", size) if size > 1 else 1


def need_one_process(what: str, workers: int | None = None) -> None:
    """Refuse to do what ranks do not share.

    Raises:
        ConfigError: this process is one of several ranks, or is to start `workers`.
    """
    if (size := max(world_size(), workers or 1)) > 1:
        rule = "must be run by one process: only search, retrain and evaluate are shared by ranks"
        raise ConfigError(what, rule, f"{size} processes", "leave out torchrun and --workers")


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise ConfigError(name, "must be a whole number, as torchrun sets it", repr(text)[:80])
    return int(text)


def join(device: str, timeout_s: float) -> Ranks:
    """This process among those that it was started with, if it was.

    Args:
        device: the type of device that networks run on.
        timeout_s: how long it waits for the others, now and in each collective.

    Raises:
        ConfigError: ranks have no way to talk from such a device.
        RankLost: the others do not come.
    """
    if world_size() == 1:
        return ALONE
    import torch.distributed as dist

    if device not in ("cpu", "cuda"):
        raise ConfigError("runtime.device", "must be cpu or cuda for several ranks", device)
    if not dist.is_available():
        raise ConfigError("ranks", "need a torch with torch.distributed", "one without")
    if not dist.is_initialized():
        from torch.distributed.rendezvous import rendezvous

        backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
        wait = timedelta(seconds=timeout_s)
        try:
            store, rank, size = next(rendezvous("env://", timeout=wait))
            # torchrun's store outlives a restart, with the addresses of processes that are gone
            store = dist.PrefixStore(f"automtl-{restarts()}", store)  # type: ignore[attr-defined]
            dist.init_process_group(backend, None, wait, size, rank, store)
        except (RuntimeError, ValueError) as error:
            raise RankLost(_number("RANK", 0), str(error), timeout_s) from error
    return Group(timeout_s)


def leave() -> None:
    """Leave the others, at the end of the process."""
    dist = sys.modules.get("torch.distributed")
    if dist and dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
