"""Runs of the host's MODEL other than sampling: inversion of a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import comfy.sample
import torch
from comfy.model_management import throw_exception_if_processing_interrupted
from comfy.samplers import Sampler, calculate_sigmas
from comfy.utils import ProgressBar
from torch import Tensor

from ...p2p_core.errors import P2PError
from ...p2p_core.real.inversion import INVERSION_METHODS, Found, Inversion, invert
from ...p2p_core.real.levels import Denoise
from ...p2p_core.real.trajectory import Trajectory, require_sigmas
from .fingerprint import fingerprint, latent_space, levels_of
from .given import require_samples
from .pairing import Conditioning

CPU = torch.device("cpu")
NO_INVERSION = "no inversion"
METHODS = (*INVERSION_METHODS, NO_INVERSION)
Work = Callable[[Any, Tensor, dict[str, Any]], None]
"""Runs in place of a sampler. Arguments: the guider, the latent in the model's space, the call's options."""


class _Instead(Sampler):
    """Work that the host runs in place of sampling, with the model loaded and inputs converted."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def sample(
        self, model_wrap: Any, sigmas: Tensor, extra_args: dict[str, Any], callback: Any, noise: Tensor,
        latent_image: Tensor | None = None, denoise_mask: Any = None, disable_pbar: bool = False,
    ) -> Tensor:  # fmt: skip
        latent = noise if latent_image is None else latent_image
        self.work(model_wrap, latent, extra_args)
        return latent


@dataclass(frozen=True)
class Guided:
    """The conditionings of a run and its guidance scale."""

    positive: Conditioning
    negative: Conditioning
    cfg: float = 1.0


def run_instead(model: Any, guided: Guided, latent: Tensor, sigmas: Tensor, work: Work) -> None:
    """Run `work` on a LATENT's samples, with the model loaded and inputs converted as for a sampling."""
    comfy.sample.sample_custom(
        model,
        torch.zeros_like(latent),
        guided.cfg,
        _Instead(work),
        sigmas,
        guided.positive,
        guided.negative,
        latent,
        disable_pbar=True,
        seed=0,
    )


@dataclass(frozen=True, eq=False)
class Schedule:
    """Sigmas [n+1] from noise down to 0, and how a sampler gets them."""

    sigmas: Tensor
    name: str = "the SIGMAS of Invert"


def schedule_of(model: Any, scheduler: str, steps: int, denoise: float) -> Schedule:
    """The schedule of KSampler with these settings."""
    name = f"{steps} steps of the scheduler {scheduler} at denoise {denoise:g}"
    return Schedule(_sigmas(model, scheduler, steps, denoise), name)


def _sigmas(model: Any, scheduler: str, steps: int, denoise: float) -> Tensor:
    if steps < 1 or not 0 < denoise <= 1:
        hint = "Set steps to 1 or more and denoise above 0."
        raise P2PError("at least one step", f"{steps} steps at denoise {denoise:g}", hint)
    total = steps if denoise > 0.9999 else int(steps / denoise)
    return calculate_sigmas(model.get_model_object("model_sampling"), scheduler, total)[-(steps + 1) :]


def inverted(
    model: Any, guided: Guided, text: str, latent: dict[str, Any], schedule: Schedule, chosen: Inversion
) -> Trajectory:
    """The trajectory of a LATENT. guided.positive: the source prompt alone; text: that prompt."""
    sigmas = schedule.sigmas
    require_sigmas(sigmas)
    picture = _picture(model, latent)
    levels, bar = levels_of(model.get_model_object("model_sampling")), ProgressBar(len(sigmas) - 1)
    found: list[Found] = []

    def work(guider: Any, clean: Tensor, extra_args: dict[str, Any]) -> None:
        clean, falling = clean.float(), sigmas.float().cpu()
        denoise = _denoiser(guider, extra_args)
        found.append(invert(denoise, clean, falling, chosen, levels, bar.update_absolute))

    with torch.no_grad():
        run_instead(model, guided, picture, sigmas, work)
    (way,) = found
    return Trajectory(
        sigmas=sigmas.detach().float().cpu(),
        latents=way.latents.cpu(),
        picture=picture.detach().float().cpu(),
        prompt=guided.positive[0][0][0].detach().float().cpu(),
        text=text,
        model=fingerprint(model),
        method=chosen.method,
        schedule=schedule.name,
        noise=None if way.noise is None else way.noise.cpu(),
    )


def not_inverted(model: Any, source: Conditioning, latent: dict[str, Any]) -> Trajectory:
    """The picture of a LATENT as it is, for a sampling that adds its own noise. Costs no model call."""
    picture = _picture(model, latent).detach().float().cpu()
    return Trajectory(
        sigmas=torch.zeros(1),
        latents=model.model.process_latent_in(picture)[None],
        picture=picture,
        prompt=source[0][0][0].detach().float().cpu(),
        text="",
        model=latent_space(model),
        method=NO_INVERSION,
        schedule="",
    )


def _picture(model: Any, latent: dict[str, Any]) -> Tensor:
    """The samples of a LATENT. Raises P2PError if it is not an encoded picture."""
    samples = require_samples(latent)
    samples = comfy.sample.fix_empty_latent_channels(model, samples)
    channels = model.get_model_object("latent_format").latent_channels
    if samples.shape[1] != channels:
        hint = "Encode the image with the VAE of this MODEL."
        raise P2PError(f"a latent with {channels} channels", f"{samples.shape[1]}", hint)
    if not bool(torch.isfinite(samples).all()):
        hint = "Check the image, or run the VAE in float32 (--fp32-vae)."
        raise P2PError("a latent with finite values", "NaN or infinity", hint)
    return samples


def _denoiser(guider: Any, extra_args: dict[str, Any]) -> Denoise:
    """The guider as an interruptible function of x and one sigma."""

    def denoise(x: Tensor, sigma: float) -> Tensor:
        throw_exception_if_processing_interrupted()
        return guider(x, x.new_full((x.shape[0],), sigma), **extra_args).float()

    return denoise
