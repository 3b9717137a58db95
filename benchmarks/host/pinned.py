"""The cost of editing a real picture: a pinned pair compared with a generated one, both with Word Swap.

Uses ComfyUI's own U-Net in Stable Diffusion 1.5's configuration, with random weights, at a guidance scale
that needs the unconditional pass. `make bench-pinned` finds ComfyUI and runs it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

from .in_comfy import start
from .sd15 import Bench, bench

CFG, LIMIT = 7.5, 0.80


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-pinned", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds after one warm-up round")
    parser.add_argument("--steps", type=int, default=1, help="model calls per round")
    parser.add_argument("--latent", type=int, default=64, help="side of the latent")
    chosen = parser.parse_args()
    runs = samplings(bench(start(), chosen.steps, chosen.latent))
    ratios: list[float] = []
    for turn in range(chosen.rounds + 1):
        order = (0, 1) if turn % 2 else (1, 0)
        cost = {i: seconds(runs[i]) for i in order}
        drawn, pinned = cost[0], cost[1]
        print(f"drawn {drawn:7.2f} s   pinned {pinned:7.2f} s" + ("" if turn else "  (warm-up)"), flush=True)
        ratios += [pinned / drawn] * bool(turn)
    print(f"time {statistics.median(ratios):.3f} x a generated pair (limit {LIMIT})")


def seconds(run: Callable[[], Any]) -> float:
    """CPU time of all threads, which other processes do not affect."""
    started = time.process_time()
    run()
    return time.process_time() - started


def samplings(bench: Bench) -> list[Callable[[], Any]]:
    """A pair generated from noise, and one with a real picture as its source."""
    core = import_module(f"{bench.pack.__name__}.p2p_core.real.trajectory")
    fingerprint = import_module(f"{bench.pack.__name__}.nodes.comfyui.real").fingerprint(bench.model)
    latents = bench.noise[None] * bench.sigmas[:, None, None, None, None]  # any values will do for timing
    named = ("", fingerprint, "euler", f"{len(bench.sigmas) - 1} steps")
    picture, prompt = bench.noise, bench.source[0][0][0]
    trajectory = core.Trajectory(bench.sigmas.float(), latents, picture, prompt, *named)
    drawn, options = bench.swapped(0.8, 0.4), (True, "as connected", 1.0, 0.0, True)
    pin = bench.execute("real.real_image", "P2PRealImage")
    pinned, _ = pin(drawn, bench.prompts, trajectory, *options).args

    def sample(model: Any) -> Any:
        return bench.sample(model, CFG, bench.paired, bench.edit, bench.noise, bench.noise)

    return [lambda: sample(drawn), lambda: sample(pinned)]


if __name__ == "__main__":
    main()
