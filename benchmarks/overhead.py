"""What Word Swap costs: a pair with it against a plain batch of two.

On ComfyUI's own U-Net in Stable Diffusion 1.5's configuration, with random weights.

Both kinds alternate within one run, so that the ratio holds on a noisy machine.
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

from in_comfy import start

UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "num_res_blocks": [2, 2, 2, 2],
    "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    "transformer_depth_middle": 1,
    "num_heads": 8,
    "context_dim": 768,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": False,
    "adm_in_channels": None,
    "use_temporal_attention": False,
    "legacy": False,
}
PROMPTS = "a red circle and a blue star on grass", "a red house and a blue star on grass"


@dataclass(frozen=True)
class Cost:
    """Seconds and the highest memory of the process in MiB while something ran."""

    seconds: float
    peak: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds after one to warm up")
    parser.add_argument("--steps", type=int, default=1, help="model calls a round, spread over the windows")
    parser.add_argument("--latent", type=int, default=64, help="side of the latent")
    chosen = parser.parse_args()
    plain, pair = samplings(start(), random_model(), chosen.steps, chosen.latent)
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
    """The ratios of the medians, and the limits the project holds itself to."""
    times = statistics.median(b.seconds / a.seconds for a, b in zip(plain, pair, strict=True))
    peaks = statistics.median(b.peak for b in pair) / statistics.median(a.peak for a in plain)
    print(f"time   {times:.3f} x a plain batch of two (limit 1.05)")
    print(f"memory {peaks:.3f} x a plain batch of two (limit 1.02)")


def random_model() -> Any:
    """A MODEL of Stable Diffusion 1.5's shape, float32."""
    import comfy.model_base
    import comfy.model_patcher
    import comfy.supported_models
    import torch

    config = comfy.supported_models.SD15(UNET)
    config.unet_config["dtype"] = torch.float32
    model = comfy.model_base.BaseModel(config)
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    return comfy.model_patcher.ModelPatcher(model.eval(), torch.device("cpu"), torch.device("cpu"))


def samplings(pack: Any, model: Any, steps: int, side: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A plain batch of two and a pair with Word Swap, otherwise the same; guidance 1: two rows a call."""
    from importlib import import_module

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
    (patched,) = node("word_swap", "P2PWordSwap")(model, prompts, 0.0, 1.0, 0.0, 1.0).args
    both = [[torch.cat([source[0][0], edit[0][0]]), {}]]
    noise = torch.randn(1, 4, side, side, generator=generator)
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", steps)
    sampler = comfy.samplers.sampler_object("euler")

    def sample(model: Any, positive: Any, noise: Any) -> Any:
        zeros = torch.zeros_like(noise)
        with torch.inference_mode():
            return comfy.sample.sample_custom(
                model, noise, 1.0, sampler, sigmas, positive, positive, zeros, disable_pbar=True
            )

    return lambda: sample(model, both, noise.repeat(2, 1, 1, 1)), lambda: sample(patched, paired, noise)


def measured(run: Callable[[], Any]) -> Cost:
    gc.collect()
    reset_peak()
    started = time.perf_counter()
    run()
    return Cost(time.perf_counter() - started, peak())


def reset_peak() -> None:
    """Set the kernel's record of the highest memory back to what is used now (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> float:
    """Highest resident memory since `reset_peak`, in MiB."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
