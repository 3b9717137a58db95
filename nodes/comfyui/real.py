"""A real picture in a sampling of the host: rows on a trajectory, and the negative of the edits."""

from __future__ import annotations

import copy
import functools
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from comfy.model_sampling import CONST
from torch import Tensor

from ...p2p_core.errors import P2PError, naming
from ...p2p_core.real.inversion import Levels
from ...p2p_core.real.pinning import RealImage, mixed_negative, per_row
from ...p2p_core.real.trajectory import AGAIN
from ...p2p_core.run import Run

Entry = dict[str, Any]
Side = list[Entry] | None
TEXT, POOLED = "c_crossattn", "y"  # the host's names for text inputs of the model
_BY_THE_BATCH = ("control", "gligen")  # parts of an entry that apply to the whole batch


# The MODEL of a trajectory


def levels_of(model_sampling: Any) -> Levels:
    """The noise levels of a MODEL's sampling."""
    lowest = float(getattr(model_sampling, "sigma_min", Levels.floor))
    return Levels(isinstance(model_sampling, CONST), max(lowest, Levels.floor))


def fingerprint(model: Any) -> str:
    """Identifies a MODEL: class, prediction, sigmas, size, and a checksum of some of its weights.

    LoRAs are not included: after adding or removing one, the picture has to be inverted again.
    """
    sampling = model.get_model_object("model_sampling")
    kinds = [c.__name__ for c in type(sampling).__mro__ if c.__module__ == "comfy.model_sampling"]
    ends = [f"{float(getattr(sampling, name, 0)):.4g}" for name in ("sigma_min", "sigma_max")]
    unet = model.model.diffusion_model
    size = sum(weights.numel() for weights in unet.parameters())
    parts = [
        type(model.model).__name__,
        *kinds[-2:],
        "-".join(ends),
        f"{size} weights",
        _checksum(model, unet),
    ]
    return " ".join(parts)


def _checksum(model: Any, unet: torch.nn.Module) -> str:
    """The checksum of the first bias, without patches."""
    for name, weights in unet.named_parameters():
        if weights.ndim == 1 and not weights.is_meta:
            unpatched = getattr(model, "backup", {}).get(f"diffusion_model.{name}")
            first = weights if unpatched is None else unpatched.weight
            return f"{zlib.crc32(first.detach().to('cpu', torch.float16).numpy().tobytes()):08x}"
    return "-"


# One sampling


def require_fit(
    real: RealImage,
    guider: Any,
    rows: Tensor,
    samples: int,
    noise_mask: Tensor | None,
    sides: Collection[str],
) -> None:
    """Raises P2PError if a trajectory does not fit this MODEL, this latent or this source prompt.

    rows: noise [B, C, h, w], per sample or per row; sides: the paired ones of the guider.
    """
    found = fingerprint(guider.model_patcher)
    if found != real.trajectory.model:
        raise P2PError(f"the MODEL of the inversion, {real.trajectory.model}", found, AGAIN)
    if noise_mask is not None:
        mend = "Use VAE Encode, and connect the mask to Local Blend."
        raise P2PError("a latent without a noise mask", "one with a noise mask", mend)
    if not sides:
        raise P2PError("a paired CONDITIONING", "none", "Connect Prompt Pair's conditioning to the sampler.")
    real.require_size(samples, tuple(rows.shape[1:]))
    real.require_encoded(guider.conds[min(sides)][0]["cross_attn"][0])


def following(sampler: Any, run: Run, real: RealImage, start: Tensor | None) -> Any:
    """The sampler with rows that start on the trajectory, and with the trajectory's noise if it has any."""
    function = getattr(sampler, "sampler_function", None)
    if function is None:
        raise P2PError("one of ComfyUI's samplers", type(sampler).__name__, "Choose one in KSampler.")
    draws = real.trajectory.noise is not None
    if draws:
        _require_ancestral(function, getattr(sampler, "extra_options", {}))

    @functools.wraps(function)
    def followed(model: Any, x: Tensor, sigmas: Tensor, extra_args: Any = None, **options: Any) -> Tensor:
        if draws:
            options["noise_sampler"] = lambda sigma, after: real.noise(float(sigma), run.prompts).to(x)
        return function(model, x if start is None else start.to(x), sigmas, extra_args=extra_args, **options)

    other = copy.copy(sampler)
    other.sampler_function = followed
    return other


def _require_ancestral(function: Any, options: Mapping[str, Any]) -> None:
    settings = {name: options.get(name, 1.0) for name in ("eta", "s_noise")}
    name = getattr(function, "__name__", type(function).__name__)
    if name != "sample_euler_ancestral" or set(settings.values()) != {1.0}:
        raise P2PError(
            "the sampler euler_ancestral with eta 1 and s_noise 1 for edit-friendly noise",
            f"{name.removeprefix('sample_')} {settings}",
            "Choose euler_ancestral in the sampler, or another method in Invert.",
        )


def guided_calls(run: Run, real: RealImage, edited: frozenset[Any], node: str) -> Callable[..., Any]:
    """A CALC_COND_BATCH wrapper: the encoding of the negative, proximal guidance, no unneeded rows.

    Pinned source rows need no unconditional prediction. They are left out of those calls and get their
    conditional prediction instead, so that guidance has no effect on them at any scale.
    """

    def wrapper(
        executor: Any, model: Any, conds: Sequence[Side], x: Tensor, timestep: Tensor, options: Any
    ) -> Any:
        paired = [bool(side) and any(entry["uuid"] in edited for entry in side) for side in conds]
        free = [i for i, side in enumerate(conds) if side and not paired[i]]
        if not free or not any(paired):
            return executor(model, conds, x, timestep, options)
        text, sigma = paired.index(True), float(timestep.flatten()[0])
        with naming(node):
            lean = real.pin and all(_for_every_row(entry) for i in free for entry in conds[i] or ())
            rows = run.prompts - lean
            sides = [
                [_away_from(real, entry, (conds[text] or [])[0], sigma, rows) for entry in side or ()]
                if i in free
                else side
                for i, side in enumerate(conds)
            ]
        call = _of_edits if lean else _of_all
        predicted = call(executor, model, sides, x, timestep, options, free, text, run.prompts)
        predicted[text] = run.guide(predicted[text], predicted[free[0]])
        return predicted

    return wrapper


def _of_all(
    executor: Any, model: Any, sides: Sequence[Side], x: Tensor, timestep: Tensor, options: Any, *_: Any
) -> list[Tensor]:
    return list(executor(model, sides, x, timestep, options))


def _of_edits(
    executor: Any, model: Any, sides: Sequence[Side], x: Tensor, timestep: Tensor, options: Any,
    free: Sequence[int], text: int, prompts: int,
) -> list[Tensor]:  # fmt: skip
    """The predictions of all sides; those in `free` are computed for edit rows only."""
    others = [None if i in free else side for i, side in enumerate(sides)]
    predicted = list(executor(model, others, x, timestep, options))
    for i in free:
        predicted[i] = predicted[text].clone()
    if prompts > 1:
        edits = torch.arange(len(x), device=x.device) % prompts != 0
        alone = [side if i in free else None for i, side in enumerate(sides)]
        found = executor(model, alone, x[edits], timestep[edits], options)
        for i in free:
            predicted[i][edits] = found[i]
    return predicted


def _for_every_row(entry: Entry) -> bool:
    """Whether an entry is the same for every row, so that it fits any number of rows."""
    values = [*entry.values(), *(getattr(cond, "cond", None) for cond in entry["model_conds"].values())]
    batched = any(isinstance(v, Tensor) and v.ndim > 1 and v.shape[0] > 1 for v in values)
    return not batched and not any(entry.get(name) is not None for name in _BY_THE_BATCH)


def _away_from(real: RealImage, entry: Entry, paired: Entry, sigma: float, rows: int) -> Entry:
    """An entry of the negative with the encoding that the real picture requires. rows: per sample."""
    if real.negative == "as connected":
        return entry
    own, source = entry["model_conds"], paired["model_conds"]
    if TEXT not in own or TEXT not in source:
        raise P2PError(
            "a MODEL with text in its conditionings", "one without text", "Set negative to 'as connected'."
        )
    if real.negative == "null text" and real.trajectory.nulls is not None:
        null = per_row(real.trajectory.nulls[real.trajectory.step(sigma)], rows)
        return with_tensors(entry, {TEXT: null.to(own[TEXT].cond)})
    mixed = {TEXT: mixed_negative(source[TEXT].cond[:1], own[TEXT].cond[:1], real.share)}
    if POOLED in own and POOLED in source:
        pooled, negative = source[POOLED].cond[:1], own[POOLED].cond[:1]
        mixed[POOLED] = real.share * pooled + (1 - real.share) * negative
    return with_tensors(entry, mixed)


def with_tensors(entry: Entry, tensors: Mapping[str, Tensor]) -> Entry:
    """The entry with some tensors replaced."""
    own = entry["model_conds"]
    changed = {}
    for key, tensor in tensors.items():
        changed[key] = copy.copy(own[key])
        changed[key].cond = tensor
    return {**entry, "model_conds": {**own, **changed}}
