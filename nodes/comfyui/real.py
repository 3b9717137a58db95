"""A real picture in a sampling of the host: rows on a trajectory, and the negative of the edits."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ...p2p_core.errors import P2PError
from ...p2p_core.real.guidance import mixed_negative
from ...p2p_core.real.pinning import RealImage
from ...p2p_core.real.trajectory import AGAIN
from ...p2p_core.rows import edits, per_row, with_edits
from .advice import naming
from .families import Family
from .fingerprint import fingerprint, latent_space
from .inversion import NO_INVERSION
from .merging import Merging
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

    Without inversion it only has to be of the MODEL's latents.

    rows: noise [B, C, h, w], per sample or per row; sides: the paired ones of the guider.
    """
    inverted = real.trajectory.inverted
    found = (fingerprint if inverted else latent_space)(guider.model_patcher)
    if found != real.trajectory.model:
        raise P2PError(f"the MODEL of the inversion, {real.trajectory.model}", found, AGAIN)
    if noise_mask is not None and inverted:
        hint = f"Connect the mask to Local Blend, or set Invert's method to {NO_INVERSION}."
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


@dataclass(frozen=True)
class _Sides:
    """A guider's sides in one call. text: the paired one; free: those that edits are guided away from."""

    entries: tuple[Side, ...]
    text: int
    free: tuple[int, ...]

    @staticmethod
    def of(conds: Sequence[Side], edited: Collection[Any]) -> _Sides | None:
        """None if there is nothing to guide away from, or nothing paired."""
        paired = [bool(side) and any(entry["uuid"] in edited for entry in side) for side in conds]
        free = tuple(i for i, side in enumerate(conds) if side and not paired[i])
        return _Sides(tuple(conds), paired.index(True), free) if free and any(paired) else None

    def with_free(self, change: Callable[[Entry], Entry]) -> _Sides:
        """The same with changed entries in the free sides."""
        changed = (
            [change(entry) for entry in side or ()] if i in self.free else side
            for i, side in enumerate(self.entries)
        )
        return replace(self, entries=tuple(changed))

    def only(self, free: bool) -> list[Side]:
        """Only the free sides, or only the others."""
        return [side if (i in self.free) == free else None for i, side in enumerate(self.entries)]


def guided_calls(sampling: Sampling, real: RealImage, merging: Merging | None) -> Callable[..., Any]:
    """A CALC_COND_BATCH wrapper: the negative's encoding, proximal guidance, no unneeded rows.

    Source rows that are pinned need no unconditional prediction. They are left out of those calls and have
    their conditional one in its place, so that any guidance scale gives the prediction without guidance.
    """
    run = sampling.run

    def wrapper(
        executor: Any, model: Any, conds: Sequence[Side], x: Tensor, timestep: Tensor, options: Any
    ) -> Any:
        sides = _Sides.of(conds, sampling.edited)
        if sides is None:
            return executor(model, conds, x, timestep, options)
        free, paired, sigma = sides.free, (conds[sides.text] or [])[0], sampling.sigma(timestep)
        lean = real.pin and all(_for_every_row(entry) for i in free for entry in conds[i] or ())
        if real.negative == "source prompt" and merging is not None:
            lean = lean and _for_every_row(paired | {"model_conds": merging.source(paired)})
        with naming(NODE):
            rows = run.prompts - lean
            sides = sides.with_free(lambda entry: _away_from(real, entry, paired, sigma, rows, merging))

        def predict(sides: Sequence[Side], x: Tensor, timestep: Tensor) -> list[Tensor]:
            return list(executor(model, sides, x, timestep, options))

        if lean:
            predicted = _of_edits(predict, sampling, sides, x, timestep)
        else:
            predicted = predict(sides.entries, x, timestep)
        others = [predicted[i] for i in free]
        predicted[sides.text], others = run.guided(predicted[sides.text], others, sampling.progress(timestep))
        for i, other in zip(free, others, strict=True):
            predicted[i] = other
        return predicted

    return wrapper


def _of_edits(
    predict: Predict, sampling: Sampling, sides: _Sides, x: Tensor, timestep: Tensor
) -> list[Tensor]:
    """The predictions of all sides; the free ones are computed for edit rows only."""
    prompts, free = sampling.run.prompts, sides.free
    predicted = predict(sides.only(free=False), x, timestep)
    with_text = predicted[sides.text]
    if prompts == 1:
        return [with_text if i in free else each for i, each in enumerate(predicted)]
    levels = sampling.same_level(edits(timestep, prompts), as_of=timestep)
    found = predict(sides.only(free=True), edits(x, prompts), levels)
    return [
        with_edits(with_text, found[i], prompts) if i in free else each for i, each in enumerate(predicted)
    ]


def _for_every_row(entry: Entry) -> bool:
    """Whether an entry is the same for every row, so that it fits any number of rows."""
    values = [*entry.values(), *(getattr(cond, "cond", None) for cond in entry["model_conds"].values())]
    values = [each for value in values for each in (value if isinstance(value, list) else [value])]
    batched = any(isinstance(v, Tensor) and v.ndim > 1 and v.shape[0] > 1 for v in values)
    return not batched and not any(entry.get(name) is not None for name in _BY_THE_BATCH)


def _away_from(
    real: RealImage, entry: Entry, paired: Entry, sigma: float, rows: int, merging: Merging | None
) -> Entry:
    """An entry of the negative with the encoding that the real picture requires. rows: per sample."""
    if real.negative == "as connected":
        return entry
    if real.negative == "source prompt" and merging is not None:
        _require_whole(real, merging.family)
        return {**entry, "model_conds": merging.source(paired)}
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


def _require_whole(real: RealImage, family: Family) -> None:
    """Raises P2PError for a share of the source prompt, which transformers cannot be given."""
    if real.share < 1:
        raise P2PError(
            f"a source share of 1 for {family.name}",
            f"{real.share:g}",
            "Set source_share to 1, or negative to 'as connected'.",
        )


def with_tensors(entry: Entry, tensors: Mapping[str, Tensor]) -> Entry:
    """The entry with some tensors replaced."""
    own = entry["model_conds"]
    changed = {}
    for key, tensor in tensors.items():
        changed[key] = copy.copy(own[key])
        changed[key].cond = tensor
    return {**entry, "model_conds": {**own, **changed}}
