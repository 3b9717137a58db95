"""The stand-in of ComfyUI's contract, with tiny untrained models."""

from __future__ import annotations

import functools
from typing import Any

import comfy.k_diffusion.sampling
import torch
from adapter import Conditioning, Host, Latent
from comfy.model_patcher import ModelPatcher
from comfy.samplers import KSAMPLER, CFGGuider
from tiny_models import CHANNELS, TinyCLIP, TinyModel, TinyUNet, tiny_model


class Interrupt(BaseException):
    """Newer versions of ComfyUI stop a run with an exception that `except Exception` does not catch."""


class StandIn(Host):
    name = "stand-in"
    samplers = ("euler", "euler_ancestral")
    interrupt = Interrupt

    def _execute(self, node: Any, inputs: dict[str, Any]) -> Any:
        return node.execute(**inputs)

    @functools.cache  # noqa: B019  one host a session
    def model(self) -> Any:
        return tiny_model()

    @functools.cache  # noqa: B019
    def clip(self) -> Any:
        return TinyCLIP()

    def model_without_text(self) -> Any:
        return ModelPatcher(TinyModel(TinyUNet(text=False)))

    def encode(self, text: str) -> Conditioning:
        return self.clip().encode_from_tokens_scheduled(self.clip().tokenize(text))

    def empty_latent(self, width: int, height: int, batch: int = 1) -> Latent:
        return {"samples": torch.zeros(batch, CHANNELS, height // 8, width // 8)}

    @torch.inference_mode()
    def sample(
        self, model: Any, positive: Conditioning, negative: Conditioning, *, seed: int = 7, steps: int = 2,
        cfg: float = 4.0, latent: Latent | None = None, sampler: str = "euler", scheduler: str = "normal",
        denoise: float = 1.0,
    ) -> Latent:  # fmt: skip
        latent = latent or self.empty_latent(64, 64)
        sigmas = model.get_model_object("model_sampling").steps(int(steps / denoise))[-steps - 1 :]
        function = getattr(comfy.k_diffusion.sampling, f"sample_{sampler}")
        guider = CFGGuider(model, positive, negative, cfg)
        noise, mask = drawn_noise(latent, seed), latent.get("noise_mask")
        samples = guider.sample(noise, latent["samples"], KSAMPLER(function, {}, {}), sigmas, mask, seed)
        return {**latent, "samples": samples}


def drawn_noise(latent: Latent, seed: int) -> torch.Tensor:
    """The noise of a latent. A `batch_index` selects the seed's draws for its samples."""
    samples = latent["samples"]
    wanted = latent.get("batch_index", range(len(samples)))
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(samples[:1].shape, generator=generator) for _ in range(max(wanted) + 1)]
    return torch.cat([drawn[i] for i in wanted])
