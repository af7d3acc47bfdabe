"""The device of a phase: threads, precision and the C allocator."""

import ctypes
import os
import platform
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
import torch._functorch.config
from torch import nn
from torch.nn import functional

from automtl.config import RuntimeSection
from automtl.errors import ConfigError
from automtl.strict import shown

# glibc's mallopt parameters (malloc.h)
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_KEEP_BYTES = 2**31 - 1
_TRIM_EVERY_S = 60.0

# rows and width of the layer that is timed, and the seconds that are spent on it in each precision
_PROBE, _PROBE_S = 128, 0.05
_SLOWER = 1.1  # times as long: below it is what a busy machine does to any two measurements
_SAID = set[str]()  # warnings that this process has given

Autocast = Callable[[], AbstractContextManager[Any]]


def resolve_device(name: str) -> torch.device:
    """The device of a setting; "auto" takes CUDA, then MPS, then the CPU.

    Raises:
        ConfigError: this machine does not have it.
    """
    here = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(kind for kind, there in here.items() if there)
    if not re.fullmatch(r"(cpu|mps|cuda(:\d{1,2})?)", name) or not here[name.partition(":")[0]]:
        raise ConfigError(
            "runtime.device",
            "must be a device of this machine",
            shown(name),
            "use --device cpu or auto",
        )
    return torch.device(name)


def resolve_precision(name: str, device: torch.device) -> str:
    """The precision of training's products; "auto" takes bfloat16 where the device multiplies it in
    hardware.

    Raises:
        ConfigError: bfloat16 on a device without autocast for it.
    """
    if name == "auto":
        return "bfloat16" if fast_bfloat16(device) else "float32"
    if name == "bfloat16" and device.type == "mps":
        raise ConfigError(
            "runtime.precision",
            "must be float32 on MPS",
            name,
            "use --set runtime.precision=float32",
        )
    return name


def fast_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware, as far as torch knows: on x86 AMX or
    AVX-512 BF16.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(
        torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    )


def warn_of_slow_bfloat16(precision: str, device: torch.device, say: Callable[[str], None]) -> None:
    """Say, once in a process, that bfloat16 costs time here instead of saving it, and how much:
    measured, in a tenth of a second or so.
    """
    if precision != "bfloat16" or "bfloat16" in _SAID or fast_bfloat16(device):
        return
    _SAID.add("bfloat16")
    factor = bfloat16_factor(device)
    if factor > _SLOWER:
        lacks = "this processor has no bfloat16 in hardware: a layer's products in it take"
        say(
            f"warning: {lacks} {factor:.1f} times as long as in float32 (measured now); use "
            "--set runtime.precision=float32, or auto"
        )


def bfloat16_factor(device: torch.device) -> float:
    """The time of a small layer's products in bfloat16, forward and back, as a multiple of that in
    float32. No random number is drawn.
    """
    x, weight = (torch.ones(_PROBE, _PROBE, device=device, requires_grad=True) for _ in range(2))
    best = {}
    for precision in ("float32", "bfloat16"):
        begun, times = time.perf_counter(), list[float]()
        while len(times) < 2 or (len(times) < 9 and time.perf_counter() - begun < _PROBE_S):
            start = time.perf_counter()
            with autocast(precision, device)():
                product = functional.linear(x, weight)
            torch.autograd.grad(product, (x, weight), torch.ones_like(product))
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(time.perf_counter() - start)
        best[precision] = min(times[1:])  # the first one makes ready
    return best["bfloat16"] / best["float32"]


def autocast(precision: str, device: torch.device) -> Autocast:
    """Makes the context of a training forward pass; weights, moments, softmax, losses and
    optimisers stay float32.
    """
    return (
        partial(torch.autocast, device.type, dtype=torch.bfloat16)
        if precision == "bfloat16"
        else nullcontext
    )


def set_allocator(setting: str) -> str:
    """Keep freed memory in the process, since glibc hands big tensors back to the kernel and faults
    in fresh pages each step.

    Args:
        setting: "keep" or "default".

    Returns:
        What is in force: "keep", or "default" (as asked, or since this is not glibc).
    """
    if setting == "default" or platform.libc_ver()[0] != "glibc":
        return "default"
    libc = ctypes.CDLL(None)
    done = libc.mallopt(_M_MMAP_MAX, 0) and libc.mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
    return "keep" if done else "default"


class Trimmer:
    """Hands freed memory back to the kernel once in a while: what is kept comes to lie in pieces,
    and the process would grow for hours.

    Args:
        every_s: the least seconds from one time to the next, since the pages are then zeroed anew.
    """

    def __init__(self, every_s: float = _TRIM_EVERY_S) -> None:
        self.every_s, self._last = every_s, time.monotonic()
        self._libc = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None

    def __call__(self) -> bool:
        """Hand it back where it is time; whether that was done."""
        if self._libc is None or time.monotonic() - self._last < self.every_s:
            return False
        self._last = time.monotonic()
        self._libc.malloc_trim(0)
        return True


def refuse_varying_operations() -> None:
    """Refuse operations whose bits vary from run to run, for the rest of the process.

    On a CPU training repeats itself to the bit anyway, with the same versions and the same number
    of threads; on CUDA sums over rows (gradients of tables, say) come in any order unless this is
    set.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
    torch.use_deterministic_algorithms(True)
    # slow, and nothing unwritten is read
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False


def cores() -> int:
    """The processors that this process may use."""
    there = getattr(os, "sched_getaffinity", None)
    return len(there(0)) if there else os.cpu_count() or 1


def set_up(runtime: RuntimeSection) -> dict[str, Any]:
    """Set threads and allocator once; what is in force, for the manifest."""
    if runtime.threads is not None:
        torch.set_num_threads(runtime.threads)
    device = resolve_device(runtime.device)
    if runtime.deterministic:
        refuse_varying_operations()
    return {
        "device": str(device),
        "precision": resolve_precision(runtime.precision, device),
        "allocator": set_allocator(runtime.allocator),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


def compile_net(net: nn.Module, backend: str = "inductor") -> None:
    """torch.compile a network in place, so that one forward pass can be gone back through several
    times.

    Balancing by gradients and the record of the tasks' conflict do that; by default a compiled
    graph gives its buffers away in the first backward pass.
    """
    torch._functorch.config.donated_buffer = False
    net.compile(backend=backend)
