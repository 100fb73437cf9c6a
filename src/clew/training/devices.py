"""Where a run computes: device, precision, threads, and its place among data-parallel processes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from clew.core.errors import ClewError, UsageError
from clew.recipes.base import Training


@dataclass(frozen=True)
class Placement:
    """One process's place: its device, the dtype it multiplies in, its rank among `world` processes."""

    device: torch.device
    dtype: torch.dtype
    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes the run's files and speaks to the user."""
        return self.rank == 0

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The context of forward passes: mixed precision where `dtype` is not float32."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def sum(self, values: Tensor) -> Tensor:
        """Sum `values` over the processes, in place; every process gets the same bits."""
        if self.world > 1:
            with _others():
                dist.all_reduce(values)
        return values

    def share(self, value: Any) -> Any:
        """Give every process the leader's `value` (plain data)."""
        if self.world == 1:
            return value
        box = [value]
        with _others():
            dist.broadcast_object_list(box, src=0)
        return box[0]

    def describe(self) -> dict[str, Any]:
        """What the manifest says of the machine's part in the run."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type
        return {
            "device": str(self.device),
            "name": name,
            "precision": str(self.dtype).removeprefix("torch."),
            "processes": self.world,
            "threads": torch.get_num_threads(),
        }


@contextlib.contextmanager
def placement(training: Training) -> Iterator[Placement]:
    """Set up threads, device and, under torchrun, the process group; take the group down at the end.

    Raises `UsageError` for a device that this machine does not have.
    """
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", world)))
    torch.set_num_threads(training.threads or _threads_of_environment() or share)
    device = _device(training.device)
    if device.type == "cpu":
        _tune_for_cpu()
    here = Placement(device=device, dtype=_dtype(training.precision, device), rank=rank, world=world)
    if world == 1:
        yield here
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(minutes=10))
    except (RuntimeError, ValueError) as error:
        raise ClewError(
            f"Process {rank} of {world} could not join the others: {_first_line(error)}. Start data-parallel training "
            "with torchrun, which sets the environment that this needs."
        ) from error
    try:
        yield here
    finally:
        dist.destroy_process_group()


def _threads_of_environment() -> int:
    """What OMP_NUM_THREADS asks for; 0 where it asks for nothing that is a number. A recipe's own figure wins over it.

    torchrun sets it to 1 for several processes where nobody did, which is no wish of the user's.
    """
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if int(os.environ.get("LOCAL_WORLD_SIZE", "1")) > 1 and wanted == "1":
        return 0
    return int(wanted) if wanted.isdecimal() else 0


@contextlib.contextmanager
def _others() -> Iterator[None]:
    """Turn what the backend raises when another process is gone into a sentence."""
    try:
        yield
    except RuntimeError as error:
        raise ClewError(
            f"Another process of this run has ended or cannot be reached ({_first_line(error)}). What it said tells "
            "why; `clew resume` continues from the last checkpoint."
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def pays_to_compile(training: Training, device: torch.device, planned_flops: float) -> bool:
    """Whether the loss is compiled: as the recipe says, or where there is a compiler and enough work ahead.

    Compiling costs half a minute to a minute on two cores and saves some tens of percent of a step, so it pays from
    about two minutes of arithmetic on. `planned_flops` is the work of the whole run, so a resumed run decides alike.
    """
    if training.compile != "auto":
        return training.compile == "yes"
    if device.type == "cpu" and not any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++")):
        return False
    return device.type in ("cpu", "cuda") and planned_flops > (1e14 if device.type == "cpu" else 1e16)


def _tune_for_cpu() -> None:
    """Settings that training on a CPU gains from and no result depends on a default of."""
    # Products inside attention stay in bfloat16 where autocast says bfloat16; upcasting them doubles its time.
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
    # glibc gives each large tensor back to the system and faults its pages in again the next step, a sixth of a
    # step's time. Keeping freed memory costs nothing: the next step needs as much. (malloc.h: M_MMAP_MAX -4,
    # M_TRIM_THRESHOLD -1.)
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(-4, 0)
        libc.mallopt(-1, 2**31 - 1)


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"There is no device '{name}'. Devices are auto, cpu, cuda, cuda:1, mps.") from None
    missing = (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()) or (
        device.type == "mps" and not torch.backends.mps.is_available()
    )
    if missing or device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"This machine has no device '{name}'. Use --device auto; `clew doctor` lists what it has.")
    return device


def native_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware; a CPU without AVX512-BF16 or AMX only emulates it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _dtype(precision: str, device: torch.device) -> torch.dtype:
    if precision == "auto":
        return torch.bfloat16 if native_bfloat16(device) else torch.float32
    return torch.float32 if precision == "float32" else torch.bfloat16
