"""The cost of Word Swap: a pair with it, compared with a plain batch of two.

Uses ComfyUI's own U-Net in Stable Diffusion 1.5's configuration, with random weights. Both alternate within
one run, so the ratio is reliable on a noisy machine.
`make bench` finds ComfyUI and runs it.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .in_comfy import start
from .sd15 import Bench, bench


@dataclass(frozen=True)
class Cost:
    """Seconds and peak memory of the process in MiB during a run."""

    seconds: float
    peak: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds after one warm-up round")
    parser.add_argument("--steps", type=int, default=1, help="model calls per round, spread over the windows")
    parser.add_argument("--latent", type=int, default=64, help="side of the latent")
    chosen = parser.parse_args()
    plain, pair = samplings(bench(start(), chosen.steps, chosen.latent))
    costs: dict[str, list[Cost]] = {"plain": [], "pair": []}
    for turn in range(chosen.rounds + 1):
        for name, run in (("plain", plain), ("pair", pair))[:: 1 if turn % 2 else -1]:
            cost = measured(run)
            print(
                f"{name:5} {cost.seconds:7.2f} s {cost.peak:8.0f} MiB" + ("" if turn else "  (warm-up)"),
                flush=True,
            )
            if turn:
                costs[name].append(cost)
    report(costs["plain"], costs["pair"])


def report(plain: list[Cost], pair: list[Cost]) -> None:
    """Print the ratios of the medians and the project's own limits."""
    times = statistics.median(b.seconds / a.seconds for a, b in zip(plain, pair, strict=True))
    peaks = statistics.median(b.peak for b in pair) / statistics.median(a.peak for a in plain)
    print(f"time   {times:.3f} x a plain batch of two (limit 1.05)")
    print(f"memory {peaks:.3f} x a plain batch of two (limit 1.02)")


def samplings(bench: Bench) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A plain batch of two and a pair with Word Swap, otherwise equal. Guidance 1: two rows per call."""
    import torch

    both, patched = [[torch.cat([bench.source[0][0], bench.edit[0][0]]), {}]], bench.swapped(1.0, 1.0)

    def sample(model: Any, positive: Any, noise: Any) -> Any:
        return bench.sample(model, 1.0, positive, positive, noise, torch.zeros_like(noise))

    twice = bench.noise.repeat(2, 1, 1, 1)
    return lambda: sample(bench.model, both, twice), lambda: sample(patched, bench.paired, bench.noise)


def measured(run: Callable[[], Any]) -> Cost:
    gc.collect()
    reset_peak()
    started = time.perf_counter()
    run()
    return Cost(time.perf_counter() - started, peak())


def reset_peak() -> None:
    """Reset the kernel's record of peak memory to the current usage (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> float:
    """Peak resident memory since `reset_peak`, in MiB."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
