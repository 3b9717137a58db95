"""Real pictures on the second host: inverted and edited in diffusers, with the same core as in ComfyUI."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from p2p_core.plan import EditPlan
from p2p_core.real.edit_friendly import AncestralStep
from p2p_core.real.guidance import mixed_negative
from p2p_core.real.inversion import Inversion, InversionMethod, invert
from p2p_core.real.levels import Denoise, Levels
from p2p_core.real.null_text import Course, NullText, optimise
from p2p_core.real.pinning import RealImage
from p2p_core.real.trajectory import Trajectory, floats
from p2p_core.rows import per_row
from p2p_core.run import Run

from ..model.shape import alphas_cumprod
from .pipeline import DemoPipeline, control, progress_at, scene, schedule

MODEL = "the demo model"
NOISE: InversionMethod = "edit-friendly noise"


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
    pipe: DemoPipeline, picture: Tensor, text: str, steps: int, method: InversionMethod, iterations: int = 3,
    seed: int = 0,
) -> Trajectory:  # fmt: skip
    """The trajectory of latents [B, 3, h, w]."""
    control(pipe, None)
    sigmas, chosen = schedule(steps)[1], Inversion(method, iterations, seed)
    found = invert(denoiser(pipe, text), picture, sigmas, chosen, levels())
    named = (pipe.encode([text])[0], text, MODEL, method, f"{steps} steps")
    return Trajectory(sigmas, found.latents, picture, *named, found.noise)


def with_null_texts(pipe: DemoPipeline, trajectory: Trajectory, chosen: NullText) -> Trajectory:
    """The trajectory with an unconditional encoding for each step."""
    control(pipe, None)

    def with_null(x: Tensor, sigma: float, null: Tensor) -> Tensor:
        return predicted(pipe, x, sigma, null)

    with torch.no_grad():
        empty = pipe.encode([""])[0]
    with_prompt = denoiser(pipe, trajectory.text)
    course = Course(trajectory.latents, trajectory.sigmas, levels())
    return replace(trajectory, nulls=optimise(with_prompt, with_null, empty, course, chosen))


@torch.no_grad()
def edit_pictures(
    pipe: DemoPipeline, texts: Sequence[str], plan: EditPlan, cfg: float, negative: str = ""
) -> Tensor:
    """Rows [P·B, 3, h, w] of a plan with a real picture; by ancestral steps where that has noise."""
    (real,) = plan.of(RealImage)
    trajectory, prompts = real.trajectory, len(texts)
    run = Run(plan, scene(pipe, plan, trajectory.picture))
    sigmas = floats(trajectory.sigmas)
    moments = [progress_at(timestep_of(sigma)) for sigma in sigmas[:-1]]
    x = run.start(trajectory.sigmas, moments)
    assert x is not None
    context = pipe.encode(texts).repeat(trajectory.samples, 1, 1)
    away = _negative(real, prompts, context, pipe.encode([negative]))
    for i, (sigma, low) in enumerate(pairwise(sigmas)):
        progress = moments[i]
        control(pipe, run, progress)
        x = run.before_model(x, sigma, progress)
        if cfg == 1:
            clean = predicted(pipe, x, sigma, context)
        else:
            both = predicted(pipe, torch.cat([x, x]), sigma, torch.cat([away(i, len(x)), context]))
            free, clean = both.chunk(2)
            clean, (free,) = run.guided(clean, [free], progress)
            clean = free + cfg * (clean - free)
        clean = run.after_model(clean, progress)
        if trajectory.noise is None or low == 0:
            x = clean + (x - clean) * low / sigma
        else:
            step = AncestralStep.between(sigma, low, levels())
            x = step.keep * x + step.clean * clean + step.drawn * real.noise(sigma, prompts)
    control(pipe, None)
    return run.finish(x)


def _negative(real: RealImage, prompts: int, context: Tensor, empty: Tensor) -> Callable[[int, int], Tensor]:
    """What edits are guided away from in a step, for so many rows."""
    nulls = real.trajectory.nulls
    if real.negative == "null text" and nulls is not None:
        return lambda step, rows: per_row(nulls[step], prompts)
    if real.negative == "source prompt":
        empty = mixed_negative(context[:1], empty, real.share)
    return lambda step, rows: empty.expand(rows, -1, -1)
