"""Runs of the host's MODEL other than sampling: inversion, and the optimisation of null texts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import comfy.sample
import torch
from comfy.model_management import throw_exception_if_processing_interrupted
from comfy.samplers import Sampler, calc_cond_batch, calculate_sigmas
from comfy.utils import ProgressBar
from torch import Tensor, nn

from ...p2p_core.errors import P2PError
from ...p2p_core.real.inversion import Denoise, Levels, Method, edit_friendly, invert
from ...p2p_core.real.null_text import NullText, optimise
from ...p2p_core.real.trajectory import AGAIN, Trajectory, require_sigmas
from .conditionings import Conditioning
from .real import TEXT, fingerprint, levels_of, with_tensors

CPU = torch.device("cpu")
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


def run_instead(
    model: Any, positive: Conditioning, negative: Conditioning, cfg: float, latent: Tensor, sigmas: Tensor,
    work: Work,
) -> None:  # fmt: skip
    noise = torch.zeros_like(latent)
    options = {"disable_pbar": True, "seed": 0}
    comfy.sample.sample_custom(
        model, noise, cfg, _Instead(work), sigmas, positive, negative, latent, **options
    )


def sigmas_of(model: Any, scheduler: str, steps: int, denoise: float) -> Tensor:
    """The sigmas of KSampler with these settings, [steps + 1]."""
    if steps < 1 or not 0 < denoise <= 1:
        mend = "Set steps to 1 or more and denoise above 0."
        raise P2PError("at least one step", f"{steps} steps at denoise {denoise:g}", mend)
    total = steps if denoise > 0.9999 else int(steps / denoise)
    return calculate_sigmas(model.get_model_object("model_sampling"), scheduler, total)[-(steps + 1) :]


def inverted(
    model: Any, source: Conditioning, text: str, latent: dict[str, Any], sigmas: Tensor, schedule: str,
    method: Method, iterations: int, seed: int, negative: Conditioning | None, cfg: float,
) -> Trajectory:  # fmt: skip
    """The trajectory of a LATENT. source: one prompt; negative, cfg: for guidance other than 1."""
    require_sigmas(sigmas)
    picture = _picture(model, latent)
    if cfg != 1 and negative is None:
        raise P2PError(
            "a negative CONDITIONING for a cfg other than 1", "none", "Connect one, or set cfg to 1."
        )
    levels, bar = levels_of(model.get_model_object("model_sampling")), ProgressBar(len(sigmas) - 1)
    generator = torch.Generator().manual_seed(seed)
    found: list[tuple[Tensor, Tensor | None]] = []

    def work(guider: Any, clean: Tensor, extra_args: dict[str, Any]) -> None:
        clean, falling = clean.float(), sigmas.float().cpu()
        denoise = _denoiser(guider, extra_args)
        if method == "edit-friendly noise":
            latents, noise = edit_friendly(denoise, clean, falling, levels, generator, bar.update_absolute)
        else:
            options = (method, levels, iterations, bar.update_absolute)
            latents, noise = invert(denoise, clean, falling, *options), None
        found.append((latents.cpu(), None if noise is None else noise.cpu()))

    with torch.no_grad():
        run_instead(model, source, negative or source, cfg, picture, sigmas, work)
    prompt, ((latents, noise),) = source[0][0][0].detach().float().cpu(), found
    return Trajectory(
        sigmas.detach().float().cpu(), latents, picture.detach().float().cpu(), prompt, text,
        fingerprint(model), method, schedule, noise,
    )  # fmt: skip


def _picture(model: Any, latent: dict[str, Any]) -> Tensor:
    """The samples of a LATENT. Raises P2PError if it is not an encoded picture."""
    samples = latent["samples"]
    if getattr(samples, "is_nested", False):
        raise P2PError("the latent of one image", "a nested latent", "Connect VAE Encode.")
    samples = comfy.sample.fix_empty_latent_channels(model, samples)
    channels = model.get_model_object("latent_format").latent_channels
    if samples.shape[1] != channels:
        mend = "Encode the image with the VAE of this MODEL."
        raise P2PError(f"a latent with {channels} channels", f"{samples.shape[1]}", mend)
    if not bool(torch.isfinite(samples).all()):
        mend = "Check the image, or run the VAE in float32 (--fp32-vae)."
        raise P2PError("a latent with finite values", "NaN or infinity", mend)
    return samples


def _denoiser(guider: Any, extra_args: dict[str, Any]) -> Denoise:
    """The guider as an interruptible function of x and one sigma."""

    def denoise(x: Tensor, sigma: float) -> Tensor:
        throw_exception_if_processing_interrupted()
        return guider(x, x.new_full((x.shape[0],), sigma), **extra_args).float()

    return denoise


# Null texts


def with_null_texts(
    model: Any, trajectory: Trajectory, source: Conditioning, negative: Conditioning, chosen: NullText
) -> Trajectory:
    """The trajectory with an unconditional encoding per step. Raises P2PError if it is another MODEL's."""
    found = fingerprint(model)
    if found != trajectory.model:
        raise P2PError(f"the MODEL of the inversion, {trajectory.model}", found, AGAIN)
    levels, bar = levels_of(model.get_model_object("model_sampling")), ProgressBar(trajectory.steps)
    nulls: list[Tensor] = []

    def work(guider: Any, clean: Tensor, extra_args: dict[str, Any]) -> None:
        """Runs outside inference mode, in which ComfyUI runs nodes and which allows no gradients."""
        with torch.inference_mode(False), torch.enable_grad():
            latents = trajectory.latents.to(clean.device, torch.float32).clone()
            options = extra_args["model_options"]
            module = _Optimisation(guider, options, latents, trajectory.sigmas, levels, chosen)
            nulls.append(torch.func.functional_call(module, module.weights(), (bar.update_absolute,)).cpu())

    run_instead(model, source, negative, chosen.cfg, trajectory.picture, trajectory.sigmas, work)
    return replace(trajectory, nulls=nulls[0])


class _Optimisation(nn.Module):
    """The optimisation as a module around the host's model, so that weights can be replaced for one call.

    Weights loaded in inference mode cannot take part in autograd; copies of them can.
    """

    def __init__(
        self, guider: Any, options: Any, latents: Tensor, sigmas: Tensor, levels: Levels, chosen: NullText
    ) -> None:
        super().__init__()
        self.model, self.guider, self.options = guider.inner_model, guider, options
        self.latents, self.sigmas, self.levels, self.chosen = latents, sigmas, levels, chosen

    def weights(self) -> dict[str, Tensor]:
        """Weights and buffers that gradients can pass through, without gradients of their own."""
        own = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        return {name: t.detach().clone() if t.is_inference() else t.detach() for name, t in own.items()}

    def forward(self, on_step: Callable[[int], None]) -> Tensor:
        conds = self.guider.conds
        free = conds["negative"]
        null = free[0]["model_conds"][TEXT].cond[0].float().clone()

        def predict(x: Tensor, sigma: float, side: Any) -> Tensor:
            throw_exception_if_processing_interrupted()
            level = x.new_full((x.shape[0],), sigma)
            return calc_cond_batch(self.model, [side], x, level, self.options)[0].float()

        def with_prompt(x: Tensor, sigma: float) -> Tensor:
            return predict(x, sigma, conds["positive"])

        def with_null(x: Tensor, sigma: float, null: Tensor) -> Tensor:
            return predict(x, sigma, [with_tensors(entry, {TEXT: null}) for entry in free])

        options = (self.levels, self.chosen, on_step)
        return optimise(with_prompt, with_null, null, self.latents, self.sigmas, *options)
