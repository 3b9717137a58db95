"""Real pictures on the second host: inverted and edited in diffusers, with the same core as in ComfyUI."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from p2p_core.attention.editing import PairedRow, paired_rows
from p2p_core.plan import EditPlan
from p2p_core.real.inversion import AncestralStep, Denoise, Levels, Method, edit_friendly, invert
from p2p_core.real.null_text import NullText, optimise
from p2p_core.real.pinning import mixed_negative, per_row
from p2p_core.real.trajectory import Trajectory, floats
from p2p_core.run import Run

from ..model.shape import TRAIN_STEPS, alphas_cumprod
from .pipeline import DemoPipeline, PairProcessor, diffusers_layer, schedule, unet_layers

MODEL = "the demo model"
NOISE: Method = "edit-friendly noise"


def levels() -> Levels:
    return Levels(floor=float(_sigmas()[0]))


def _sigmas() -> Tensor:
    signal = alphas_cumprod()
    return ((1 - signal) / signal).sqrt()


def timestep_of(sigma: float) -> int:
    """The model's timestep nearest to a sigma on a logarithmic scale, as in ComfyUI."""
    return int((_sigmas().log() - torch.tensor(sigma).log()).abs().argmin())


@torch.no_grad()
def encoded(pipe: DemoPipeline, pictures: Tensor) -> Tensor:
    """Pictures [B, 3, H, W] in 0..1 → latents [B, 3, H/8, W/8]."""
    return pipe.autoencoder.encode(pictures * 2 - 1)


def predicted(pipe: DemoPipeline, x: Tensor, sigma: float, context: Tensor) -> Tensor:
    """The model's prediction of the clean latents for x [R, 3, h, w]. context: [R, 77, 128]."""
    scaled = x / (sigma**2 + 1) ** 0.5
    return x - sigma * pipe.unet(scaled, timestep_of(sigma), context).sample


def denoiser(pipe: DemoPipeline, text: str) -> Denoise:
    context = pipe.encode([text])
    return lambda x, sigma: predicted(pipe, x, sigma, context.expand(len(x), -1, -1))


@torch.no_grad()
def inverted(
    pipe: DemoPipeline, picture: Tensor, text: str, steps: int, method: Method, iterations: int = 3,
    seed: int = 0,
) -> Trajectory:  # fmt: skip
    """The trajectory of latents [B, 3, h, w]."""
    _control(pipe, None, 0.0, picture)
    sigmas, denoise = schedule(steps)[1], denoiser(pipe, text)
    noise = None
    if method == NOISE:
        latents, noise = edit_friendly(
            denoise, picture, sigmas, levels(), torch.Generator().manual_seed(seed)
        )
    else:
        latents = invert(denoise, picture, sigmas, method, levels(), iterations)
    named = (pipe.encode([text])[0], text, MODEL, method, f"{steps} steps")
    return Trajectory(sigmas, latents, picture, *named, noise)


def with_null_texts(pipe: DemoPipeline, trajectory: Trajectory, chosen: NullText) -> Trajectory:
    """The trajectory with an unconditional encoding for each step."""
    _control(pipe, None, 0.0, trajectory.picture)

    def with_null(x: Tensor, sigma: float, null: Tensor) -> Tensor:
        return predicted(pipe, x, sigma, null)

    with torch.no_grad():
        empty = pipe.encode([""])[0]
    with_prompt = denoiser(pipe, trajectory.text)
    way = (trajectory.latents, trajectory.sigmas, levels())
    return replace(trajectory, nulls=optimise(with_prompt, with_null, empty, *way, chosen))


@torch.no_grad()
def edit_pictures(
    pipe: DemoPipeline, texts: Sequence[str], plan: EditPlan, cfg: float, negative: str = ""
) -> Tensor:
    """Rows [P·B, 3, h, w] of a plan with a real picture; ancestral steps if its trajectory has noise."""
    real = plan.real
    assert real is not None
    trajectory, prompts = real.trajectory, len(texts)
    size = trajectory.picture.shape[-2], trajectory.picture.shape[-1]
    run = Run(plan, trajectory.samples, size, unet_layers(pipe.unet))
    x = run.start(trajectory.sigmas)
    assert x is not None
    context = pipe.encode(texts).repeat(trajectory.samples, 1, 1)
    away = _negative(pipe, plan, context, pipe.encode([negative]))
    for i, (sigma, low) in enumerate(pairwise(floats(trajectory.sigmas))):
        progress = 1 - timestep_of(sigma) / (TRAIN_STEPS - 1)
        _control(pipe, run, progress, x)
        x = run.blend(run.pin(x, sigma), progress)
        if cfg == 1:
            clean = predicted(pipe, x, sigma, context)
        else:
            both = predicted(pipe, torch.cat([x, x]), sigma, torch.cat([away(i, len(x)), context]))
            free, clean = both.chunk(2)
            clean = free + cfg * (run.guide(clean, free) - free)
        clean = run.blend(run.restore(clean, progress), progress)
        if trajectory.noise is None or low == 0:
            x = clean + (x - clean) * low / sigma
        else:
            step = AncestralStep.between(sigma, low, levels())
            x = step.keep * x + step.clean * clean + step.drawn * real.noise(sigma, prompts)
    _control(pipe, None, 1.0, x)
    return run.finish(x)


def _negative(
    pipe: DemoPipeline, plan: EditPlan, context: Tensor, empty: Tensor
) -> Callable[[int, int], Tensor]:
    """What edits are guided away from in a step, repeated over the rows."""
    real = plan.real
    assert real is not None
    nulls, prompts = real.trajectory.nulls, len(plan.prompts.prompts)
    if real.negative == "null text" and nulls is not None:
        return lambda step, rows: per_row(nulls[step], prompts)
    if real.negative == "source prompt":
        empty = mixed_negative(context[:1], empty, real.share)
    return lambda step, rows: empty.expand(rows, -1, -1)


class _Processor(PairProcessor):
    """Also accepts batches without an unconditional half."""

    def _rows(self, run: Run, batch: int) -> list[PairedRow]:
        whole = batch == run.samples * run.prompts
        return paired_rows(batch, (True,) if whole else (False, True), run.prompts)


def _control(pipe: DemoPipeline, run: Run | None, progress: float, latents: Tensor) -> None:
    """Set the attention processors for the next model call."""
    size = latents.shape[-2], latents.shape[-1]
    processors = {
        name: _Processor(diffusers_layer(name), run, progress, size) for name in pipe.unet.attn_processors
    }
    pipe.unet.set_attn_processor(processors)
