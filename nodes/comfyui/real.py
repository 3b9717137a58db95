"""A real picture in a sampling of the host: rows on a trajectory, and the negative of the edits."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from torch import Tensor

from ...p2p_core.errors import P2PError
from ...p2p_core.real.guidance import mixed_negative
from ...p2p_core.real.pinning import RealImage
from ...p2p_core.real.trajectory import AGAIN
from ...p2p_core.rows import edits, per_row, with_edits
from .advice import naming
from .fingerprint import fingerprint
from .state import NODE, Sampling

Entry = dict[str, Any]
Side = list[Entry] | None
Predict = Callable[[Sequence[Side], Tensor, Tensor], list[Tensor]]
TEXT, POOLED = "c_crossattn", "y"  # the host's names for text inputs of the model
_BY_THE_BATCH = ("control", "gligen")  # parts of an entry that apply to the whole batch


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
        hint = "Use VAE Encode, and connect the mask to Local Blend."
        raise P2PError("a latent without a noise mask", "one with a noise mask", hint)
    if not sides:
        raise P2PError("a paired CONDITIONING", "none", "Connect Prompt Pair's conditioning to the sampler.")
    real.require_size(samples, tuple(rows.shape[1:]))
    real.require_encoded(guider.conds[min(sides)][0]["cross_attn"][0])


def following(sampler: Any, real: RealImage, prompts: int, start: Tensor | None) -> Any:
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
            options["noise_sampler"] = lambda sigma, after: real.noise(float(sigma), prompts).to(x)
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


def guided_calls(sampling: Sampling, real: RealImage) -> Callable[..., Any]:
    """A CALC_COND_BATCH wrapper: the encoding of the negative, proximal guidance, no unneeded rows.

    Pinned source rows need no unconditional prediction. They are left out of those calls and get their
    conditional prediction instead, so that guidance has no effect on them at any scale.
    """
    run = sampling.run

    def wrapper(
        executor: Any, model: Any, conds: Sequence[Side], x: Tensor, timestep: Tensor, options: Any
    ) -> Any:
        paired = [bool(side) and any(entry["uuid"] in sampling.edited for entry in side) for side in conds]
        free = [i for i, side in enumerate(conds) if side and not paired[i]]
        if not free or not any(paired):
            return executor(model, conds, x, timestep, options)
        text, sigma = paired.index(True), sampling.sigma(timestep)
        with naming(NODE):
            lean = real.pin and all(_for_every_row(entry) for i in free for entry in conds[i] or ())
            rows = run.prompts - lean
            sides = [
                [_away_from(real, entry, (conds[text] or [])[0], sigma, rows) for entry in side or ()]
                if i in free
                else side
                for i, side in enumerate(conds)
            ]

        def predict(sides: Sequence[Side], x: Tensor, timestep: Tensor) -> list[Tensor]:
            return list(executor(model, sides, x, timestep, options))

        if lean:
            predicted = _of_edits(predict, sampling, sides, free, text, x, timestep)
        else:
            predicted = predict(sides, x, timestep)
        others = [predicted[i] for i in free]
        predicted[text], others = run.guided(predicted[text], others, sampling.progress(timestep))
        for i, other in zip(free, others, strict=True):
            predicted[i] = other
        return predicted

    return wrapper


def _of_edits(
    predict: Predict, sampling: Sampling, sides: Sequence[Side], free: Sequence[int], text: int,
    x: Tensor, timestep: Tensor,
) -> list[Tensor]:  # fmt: skip
    """The predictions of all sides; those in `free` are computed for edit rows only."""
    prompts = sampling.run.prompts
    predicted = predict([None if i in free else side for i, side in enumerate(sides)], x, timestep)
    if prompts == 1:
        return [predicted[text] if i in free else each for i, each in enumerate(predicted)]
    levels = sampling.same_level(edits(timestep, prompts), as_of=timestep)
    alone = [side if i in free else None for i, side in enumerate(sides)]
    found = predict(alone, edits(x, prompts), levels)
    return [
        with_edits(predicted[text], found[i], prompts) if i in free else each
        for i, each in enumerate(predicted)
    ]


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
