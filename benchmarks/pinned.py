"""What an edit of a real picture costs: a pinned pair against a pair drawn from noise, both with Word Swap.

On ComfyUI's own U-Net in Stable Diffusion 1.5's configuration, with random weights, at a guidance scale that
needs the unconditional pass. `make bench-pinned` finds ComfyUI and runs it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

from in_comfy import start
from overhead import PROMPTS, random_model

CFG, LIMIT = 7.5, 0.80


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-pinned", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds after one to warm up")
    parser.add_argument("--steps", type=int, default=1, help="model calls a round")
    parser.add_argument("--latent", type=int, default=64, help="side of the latent")
    chosen = parser.parse_args()
    runs = samplings(start(), random_model(), chosen.steps, chosen.latent)
    ratios: list[float] = []
    for turn in range(chosen.rounds + 1):
        order = (0, 1) if turn % 2 else (1, 0)
        cost = {i: seconds(runs[i]) for i in order}
        drawn, pinned = cost[0], cost[1]
        print(f"drawn {drawn:7.2f} s   pinned {pinned:7.2f} s" + ("" if turn else "  (warm-up)"), flush=True)
        ratios += [pinned / drawn] * bool(turn)
    print(f"time {statistics.median(ratios):.3f} x a generated pair (limit {LIMIT})")


def seconds(run: Callable[[], Any]) -> float:
    """Of the processor, all threads: other processes do not lengthen it."""
    started = time.process_time()
    run()
    return time.process_time() - started


def samplings(pack: Any, model: Any, steps: int, side: int) -> list[Callable[[], Any]]:
    """A pair drawn from noise, and one with a picture as its source."""
    import comfy.sample
    import comfy.samplers
    import torch

    def node(module: str, name: str) -> Any:
        return getattr(import_module(f"{pack.__name__}.nodes.{module}"), name).execute

    _, clip, _ = node("demo_model", "P2PDemoModel")().args
    prompts, _ = node("prompt_pair", "P2PPromptPair")(clip, *PROMPTS).args
    generator = torch.Generator().manual_seed(1)
    source, edit = ([[torch.randn(1, 77, 768, generator=generator), {}]] for _ in range(2))
    (paired,) = node("pair_conditioning", "P2PPairConditioning")(source, edit).args
    (drawn,) = node("word_swap", "P2PWordSwap")(model, prompts, 0.0, 0.8, 0.0, 0.4).args
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", steps)
    noise = torch.randn(1, 4, side, side, generator=generator)
    core = import_module(f"{pack.__name__}.p2p_core.trajectory")
    fingerprint = import_module(f"{pack.__name__}.nodes._real").fingerprint(model)
    latents = noise[None] * sigmas[:, None, None, None, None]  # any will do: what counts is the time
    named = ("", fingerprint, "euler", f"{steps} steps")
    trajectory = core.Trajectory(sigmas.float(), latents, noise, source[0][0][0], *named)
    options = (True, "as connected", 1.0, 0.0, True)
    pinned, _ = node("real_image", "P2PRealImage")(drawn, prompts, trajectory, *options).args
    sampler = comfy.samplers.sampler_object("euler")

    def sample(model: Any) -> Any:
        with torch.inference_mode():
            return comfy.sample.sample_custom(
                model, noise, CFG, sampler, sigmas, paired, edit, noise, disable_pbar=True
            )

    return [lambda: sample(drawn), lambda: sample(pinned)]


if __name__ == "__main__":
    main()
