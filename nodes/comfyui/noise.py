"""Noise that samplers draw while they run: that of a plain run, equal for all rows of a sample (ADR 0016)."""

from __future__ import annotations

import copy
import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any

import torch
from comfy.k_diffusion.sampling import BrownianTreeNoiseSampler, default_noise_sampler
from torch import Tensor

from ...p2p_core.rows import per_row, sources

NoiseSampler = Callable[[Any, Any], Tensor]


class OwnDraws:
    """Detects samplers that draw their own noise: the random generators advance outside model calls.

    Draws inside the model (HyperTile, ToMe) are the same for all rows and are ignored.
    """

    def __init__(self) -> None:
        self.seen = False
        self._state: Tensor | None = None

    def sampler_runs(self, device: torch.device) -> None:
        self._state = _random_state(device)

    def sampler_pauses(self, device: torch.device) -> None:
        if self._state is not None and not torch.equal(self._state, _random_state(device)):
            self.seen = True

    def around_model(self, executor: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """PREDICT_NOISE wrapper."""
        self.sampler_pauses(x.device)
        try:
            return executor(x, *args, **kwargs)
        finally:
            self.sampler_runs(x.device)


def paired_sampler(sampler: Any, prompts: int, draws: OwnDraws) -> Any:
    """The sampler with equal draws for the rows of each sample; unchanged for one row or an unknown type."""
    function = getattr(sampler, "sampler_function", None)
    if function is None or prompts == 1:
        return sampler
    takes_noise = _takes_noise(function, getattr(sampler, "extra_options", {}))
    inpaints_on_noise = getattr(sampler, "inpaint_options", {}).get("random", False)

    @functools.wraps(function)
    def paired(model: Any, x: Tensor, sigmas: Tensor, extra_args: Any = None, **options: Any) -> Tensor:
        seed = (extra_args or {}).get("seed")
        if inpaints_on_noise:
            model = _with_equal_noise(model, prompts, seed)
        if takes_noise and options.get("noise_sampler") is None:
            options["noise_sampler"] = _repeated(
                _own_noise(function, sources(x, prompts), sigmas, seed), prompts
            )
        draws.sampler_runs(x.device)
        result = function(model, x, sigmas, extra_args=extra_args, **options)
        draws.sampler_pauses(x.device)
        if draws.seen and not _draws_in_vain(function, options):
            logging.warning(
                "Prompt-to-Prompt: the sampler %s drew its own noise, which differs between source and edit. "
                "Use another sampler, or turn off random churn in its settings.",
                _name(function),
            )
        return result

    equal = copy.copy(sampler)
    equal.sampler_function = paired
    return equal


def _name(function: Any) -> str:
    function = getattr(function, "func", function)  # of a functools.partial
    return getattr(function, "__name__", type(function).__name__)


def _takes_noise(function: Callable[..., Any], options: dict[str, Any]) -> bool:
    """Whether it accepts a `noise_sampler`; a function that forwards its options does if it has an eta."""
    parameters = inspect.signature(function).parameters
    passes_on = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    return "noise_sampler" in parameters or (passes_on and "eta" in options)


def _draws_in_vain(function: Callable[..., Any], options: dict[str, Any]) -> bool:
    """Heun++ draws noise that it only uses with churn."""
    return _name(function) == "sample_heunpp2" and not options.get("s_churn")


def _own_noise(function: Callable[..., Any], x: Tensor, sigmas: Tensor, seed: int | None) -> NoiseSampler:
    """The noise that the function would draw for x: a Brownian tree for DPM++ SDE, on the GPU for `_gpu`."""
    name = _name(function)
    if name.startswith("sample_dpmpp_") and "_sde" in name:
        smallest, largest = sigmas[sigmas > 0].min(), sigmas.max()
        return BrownianTreeNoiseSampler(x, smallest, largest, seed=seed, cpu="_gpu" not in name)
    return default_noise_sampler(x, seed=seed)


def _repeated(noise: NoiseSampler, prompts: int) -> NoiseSampler:
    return lambda sigma, sigma_next: per_row(noise(sigma, sigma_next), prompts)


def _with_equal_noise(model: Any, prompts: int, seed: Any) -> Any:
    """The inpainting model with equal noise for the kept part, drawn from the next seed as the host does."""
    noise = sources(model.noise, prompts)
    drawn = torch.randn(noise.shape, generator=torch.Generator().manual_seed(seed + 1)).to(noise)
    equal = copy.copy(model)
    equal.noise = per_row(drawn, prompts)
    return equal


def _random_state(device: torch.device) -> Tensor:
    """The state of the generators that `torch.randn_like` draws from: the CPU's and the device's own."""
    states = [torch.get_rng_state()]
    module: Any = getattr(torch, device.type, None)
    if hasattr(module, "get_rng_state"):
        # MPS has one device, and in older versions of torch its function takes none.
        states.append(module.get_rng_state() if device.type == "mps" else module.get_rng_state(device))
    return torch.cat(states)
