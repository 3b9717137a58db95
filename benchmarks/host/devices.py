"""Clocks, peak memory and waits of the devices that are measured."""

from __future__ import annotations

import os
import sys
import time
import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OURS = ROOT / "p2p_core", ROOT / "nodes"
WAIT = "called a synchronizing CUDA operation"  # torch's warning


class Device(ABC):
    """shapes, steps, rounds: what is measured unless the command says otherwise."""

    name: str
    dtype: str
    clock: str
    shapes: Sequence[str]
    steps: int
    rounds: int

    @abstractmethod
    def machine(self) -> str: ...

    @abstractmethod
    def mark(self) -> Any:
        """A point in time, in the device's order of work."""

    @abstractmethod
    def milliseconds(self, marks: Sequence[Any]) -> list[float]:
        """The time from each mark to the next."""

    @abstractmethod
    def reset_peak(self) -> None: ...

    @abstractmethod
    def peak(self) -> float:
        """Peak memory since `reset_peak`, in MiB."""

    @abstractmethod
    def waits(self, run: Callable[[], Any], host: Path) -> Counter[str] | None:
        """How often our code makes the CPU wait for the device in a run, by line; None if nothing can."""


class Cpu(Device):
    """CPU time of all threads, which other processes hardly affect; the process's resident memory (Linux)."""

    name, dtype, clock = "cpu", "float32", "CPU time of all threads"
    shapes, steps, rounds = ("tiny", "sd15-256", "flux-256", "qwen-256", "z-image-256"), 2, 3

    def machine(self) -> str:
        import torch

        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        model = next(
            (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "CPU"
        )
        return f"{model}, {torch.get_num_threads()} of {os.cpu_count()} cores"

    def mark(self) -> float:
        return time.process_time()

    def milliseconds(self, marks: Sequence[float]) -> list[float]:
        return [1000 * (later - earlier) for earlier, later in pairwise(marks)]

    def reset_peak(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")

    def peak(self) -> float:
        status = Path("/proc/self/status").read_text("utf-8").splitlines()
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024

    def waits(self, run: Callable[[], Any], host: Path) -> None:
        return None


class Cuda(Device):
    """Events in the stream; the memory of torch's allocator."""

    name, dtype, clock = "cuda", "float16", "CUDA events"
    shapes = ("sd15-512", "sdxl-1024", "flux-1024", "qwen-1024", "z-image-1024")
    steps, rounds = 20, 5

    def machine(self) -> str:
        import torch

        return torch.cuda.get_device_name()

    def mark(self) -> Any:
        import torch

        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def milliseconds(self, marks: Sequence[Any]) -> list[float]:
        marks[-1].synchronize()
        return [earlier.elapsed_time(later) for earlier, later in pairwise(marks)]

    def reset_peak(self) -> None:
        import torch

        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()

    def peak(self) -> float:
        import torch

        return torch.cuda.max_memory_allocated() / 2**20

    def waits(self, run: Callable[[], Any], host: Path) -> Counter[str]:
        import torch

        with noted_waits(host) as places:
            torch.cuda.set_sync_debug_mode("warn")
            try:
                run()
            finally:
                torch.cuda.set_sync_debug_mode("default")
        return places


DEVICES: dict[str, Device] = {"cpu": Cpu(), "cuda": Cuda()}


# Whose code waits


@contextmanager
def noted_waits(host: Path) -> Iterator[Counter[str]]:
    """Counts torch's warnings about waits that our code causes, by line. host: ComfyUI's folder."""
    places: Counter[str] = Counter()

    def note(message: Warning | str, *_: Any, **__: Any) -> None:
        place = cause(sys._getframe(1), host)
        if WAIT in str(message) and place:
            places[place] += 1

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = note
        yield places


def cause(frame: FrameType | None, host: Path) -> str | None:
    """`file:line` of the innermost frame of the pack or of ComfyUI, None if it is ComfyUI's.

    Frames of torch and other libraries act for whoever called them.
    """
    while frame is not None:
        file = Path(frame.f_code.co_filename)
        if any(file.is_relative_to(folder) for folder in OURS):
            return f"{file.relative_to(ROOT).as_posix()}:{frame.f_lineno}"
        if file.is_relative_to(host) and "site-packages" not in file.parts:
            return None
        frame = frame.f_back
    return None
