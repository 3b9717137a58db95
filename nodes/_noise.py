"""Noise that samplers draw while they run: the same for all rows of a sample, as a plain run would draw it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from comfy.k_diffusion.sampling import BrownianTreeNoiseSampler, default_noise_sampler
from comfy.samplers import KSAMPLER
from torch import Tensor

NoiseSampler = Callable[[Any, Any], Tensor]


def paired_sampler(sampler: Any, prompts: int) -> Any:
    """The sampler with equal draws for the `prompts` rows of each sample; others come back as they are."""
    function = getattr(sampler, "sampler_function", None)
    if function is None or "noise_sampler" not in inspect.signature(function).parameters:
        return sampler

    @functools.wraps(function)
    def paired(model: Any, x: Tensor, sigmas: Tensor, extra_args: Any = None, **options: Any) -> Tensor:
        if options.get("noise_sampler") is None:
            seed = (extra_args or {}).get("seed")
            options["noise_sampler"] = _repeated(_own_noise(function, x[::prompts], sigmas, seed), prompts)
        return function(model, x, sigmas, extra_args=extra_args, **options)

    return KSAMPLER(paired, sampler.extra_options, sampler.inpaint_options)


def _own_noise(function: Callable[..., Any], x: Tensor, sigmas: Tensor, seed: int | None) -> NoiseSampler:
    """What the function would draw for x: a Brownian tree for SDE samplers, on the GPU for their `_gpu` kind."""
    name = function.__name__
    if "_sde" in name and "er_sde" not in name:
        smallest, largest = sigmas[sigmas > 0].min(), sigmas.max()
        return BrownianTreeNoiseSampler(x, smallest, largest, seed=seed, cpu="_gpu" not in name)
    return default_noise_sampler(x, seed=seed)


def _repeated(noise: NoiseSampler, prompts: int) -> NoiseSampler:
    return lambda sigma, sigma_next: noise(sigma, sigma_next).repeat_interleave(prompts, dim=0)
