"""Prompt-to-Prompt as a patch on the host's MODEL.

A node only writes the frozen plan and one OUTER_SAMPLE wrapper to a clone of the MODEL. When a sampling
starts, the wrapper pairs its noise and latent and puts attention patches into the options of that one run,
on top of whatever other packs have put there by then. When the run ends, they are gone with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from comfy.ldm.modules.attention import optimized_attention
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...p2p_core.architecture.layers import Layer
from ...p2p_core.attention.editing import Attend, PairedRow, paired_rows
from ...p2p_core.errors import P2PError, naming
from ...p2p_core.plan import EditPlan, Step
from ...p2p_core.real.pinning import RealImage
from ...p2p_core.run import Run
from ...p2p_core.words.prompts import PromptSet
from .conditionings import edited_sides, ids, keep_ids_apart, plain_ids, rows_of_pairs
from .noise import OwnDraws, paired_sampler
from .real import following, guided_calls, require_fit
from .rows import are_pairs, mask_per_row
from .unet import cross_attention_layers, require_layers

KEY = "p2p"
PLAN = "p2p.plan"
SAMPLING = "Prompt-to-Prompt"

Patch = Callable[[Tensor, Tensor, Tensor, dict[str, Any]], Tensor]


# On the MODEL


def with_step(model: Any, prompts: PromptSet, step: Step) -> Any:
    """A clone of MODEL whose plan has one more step. Raises P2PError if this MODEL does not support it."""
    layers = cross_attention_layers(model)
    chosen = None if isinstance(step, RealImage) else step.layers
    if chosen is not None:
        require_layers(chosen, layers)
    return with_plan(model, plan_of(model, prompts).then(prompts, step))


def plan_of(model: Any, prompts: PromptSet) -> EditPlan:
    """The plan on MODEL, or an empty one for these prompts."""
    return model.model_options["transformer_options"].get(PLAN) or EditPlan(prompts)


def with_plan(model: Any, plan: EditPlan) -> Any:
    """A clone of MODEL that samples with `plan`."""
    clone = model.clone()
    clone.model_options["transformer_options"][PLAN] = plan
    if not clone.get_wrappers(WrappersMP.OUTER_SAMPLE, KEY):
        clone.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, sample_pair)
    return clone


# One sampling


class Sampling:
    """One sampling of the host: the run of its plan, and the host's ids of the edited conditionings.

    plain: ids of those with one prompt for all rows.
    """

    def __init__(
        self, run: Run, layers: tuple[Layer, ...], edited: frozenset[Any], plain: frozenset[Any],
        model_sampling: Any,
    ) -> None:  # fmt: skip
        self.run, self.edited, self.plain, self.model_sampling = run, edited, plain, model_sampling
        self.layers = {(layer.stage, layer.number, layer.index): layer for layer in layers}
        self._progress: tuple[Any, float] = (None, 0.0)

    def progress(self, sigmas: Tensor) -> float:
        """Timestep percent of a model call, from its sigma. All layers of a call get the same tensor."""
        known, value = self._progress
        if known is not sigmas:
            value = progress_of(self.model_sampling, float(sigmas.flatten()[0]))
            self._progress = (sigmas, value)
        return value

    def layer(self, options: dict[str, Any]) -> Layer:
        return self.layers[(*options["block"], options["block_index"])]

    def size(self, layer: Layer, options: dict[str, Any], tokens: int) -> tuple[int, int]:
        """Height and width of a layer, from the host's [B, C, h, w]. Maps need those of the whole picture."""
        height, width = options["activations_shape"][-2:]
        if tokens != height * width:
            raise P2PError(
                f"{width} × {height} image tokens in {layer.stage} {layer.number}",
                f"{tokens} tokens",
                "Remove the node that merges tokens (ToMe), or close the self-attention window.",
            )
        rows, columns = (-(-side // layer.scale) for side in self.run.latent)
        plan = self.run.plan
        maps = plan.records or any(blend.by_words for blend in plan.blends)
        if maps and (height, width) != (rows, columns):
            raise P2PError(
                f"attention over the whole image, {columns} × {rows} in {layer.stage} {layer.number}",
                f"{width} × {height}",
                "Remove nodes that sample parts of the image separately or at a smaller size (areas, tiles).",
            )
        return height, width

    def rows(self, batch: int, options: dict[str, Any], words: bool = False) -> list[PairedRow]:
        """`paired_rows` of one layer call; the host gives the conditioning id of each part of the batch.

        words: exclude the parts with one prompt for all rows.
        """
        named = self.edited - self.plain if words else self.edited
        edited = [name in named for name in options["uuids"]]
        if not any(edited):
            return []  # a real picture's source may have no rows
        samples, prompts = self.run.samples, self.run.prompts
        if "ad_params" in options:
            raise P2PError("a batch of images", "frames of AnimateDiff", "Remove the motion model.")
        if batch != len(edited) * samples * prompts:
            raise P2PError(
                f"a batch of prompts × samples × parts, {prompts} × {samples} × {len(edited)}",
                f"{batch} rows",
                "Remove the node that splits images or batches (HyperTile, context windows).",
            )
        return paired_rows(batch, edited, prompts)


def progress_of(model_sampling: Any, sigma: float) -> float:
    """The progress at a sigma, 0 (noise) to 1 (finished): the inverse of the host's `percent_to_sigma`."""
    low, high = 0.0, 1.0
    for _ in range(24):
        middle = (low + high) / 2
        if float(model_sampling.percent_to_sigma(middle)) > sigma:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def sample_pair(
    executor: Any, noise: Tensor, latent_image: Tensor, sampler: Any, sigmas: Tensor,
    denoise_mask: Tensor | None = None, *rest: Any, **kwargs: Any,
) -> Tensor:  # fmt: skip
    """OUTER_SAMPLE wrapper: B samples in, P·B rows out; row r holds prompt r mod P of sample r div P.

    A latent that is already in such rows is not repeated.
    """
    guider = executor.class_obj
    conds, options = guider.conds, guider.model_options
    plan = options["transformer_options"][PLAN]
    prompts = len(plan.prompts.prompts)
    with naming(SAMPLING):
        if getattr(noise, "is_nested", False) or len(kwargs.get("latent_shapes") or [0]) > 1:
            raise P2PError("one latent", "a nested latent", "Use a text-to-image latent.")
        if prompts > 1 and "context_handler" in options:
            raise P2PError("whole images", "context windows", "Remove the Context Windows node.")
        real = plan.real
        fresh = real is not None and noise.shape[0] == real.trajectory.samples
        in_pairs = not fresh and are_pairs(noise, latent_image, prompts)
        samples = noise.shape[0] // prompts if in_pairs else noise.shape[0]
        in_rows = rows_of_pairs(conds, plan.prompts, samples)
        sides, schedule = edited_sides(conds), guider.model_patcher.get_model_object("model_sampling")
        layers = cross_attention_layers(guider.model_patcher)
        run = Run(plan, samples, (noise.shape[-2], noise.shape[-1]), layers)
        sampling = Sampling(run, layers, ids(conds, sides), plain_ids(conds, sides), schedule)
        patched = _with_patches(options, sampling)
        patched = _with_wrapper(patched, WrappersMP.SAMPLER_SAMPLE, keep_ids_apart(sides))
        draws = OwnDraws()
        patched = _with_wrapper(patched, WrappersMP.PREDICT_NOISE, _blending(sampling), draws.around_model)
        sampler = paired_sampler(sampler, prompts, draws)
        if real is not None:
            require_fit(real, guider, noise, samples, denoise_mask, sides)
            start = run.start(sigmas)
            sampler = following(sampler, run, real, None if in_pairs else start)
            guided = guided_calls(run, real, sampling.edited, SAMPLING)
            patched = _with_wrapper(patched, WrappersMP.CALC_COND_BATCH, guided)
    if not in_pairs:
        noise, latent_image = (t.repeat_interleave(prompts, dim=0) for t in (noise, latent_image))
    if denoise_mask is not None:
        denoise_mask = mask_per_row(denoise_mask, samples, prompts, in_pairs)
    if kwargs.get("latent_shapes"):
        kwargs["latent_shapes"] = [latent_image.shape]
    guider.conds, guider.model_options = in_rows, patched
    try:
        rows = executor(noise, latent_image, sampler, sigmas, denoise_mask, *rest, **kwargs)
    finally:
        guider.conds, guider.model_options = conds, options
    with naming(SAMPLING):
        return run.finish(rows)


def _blending(sampling: Sampling) -> Callable[..., Tensor]:
    """A PREDICT_NOISE wrapper: pins a real picture's source rows, and blends before and after the model call.

    The only place that writes to an input: the sampler's next step has to start from that latent.
    """

    run = sampling.run

    def wrapper(executor: Any, x: Tensor, timestep: Tensor, *rest: Any, **kwargs: Any) -> Tensor:
        progress = sampling.progress(timestep)
        with naming(SAMPLING):
            entering = run.blend(run.pin(x, float(timestep.flatten()[0])), progress)
        if entering is not x:
            x.copy_(entering)
        predicted = executor(x, timestep, *rest, **kwargs)
        with naming(SAMPLING):
            return run.blend(run.restore(predicted, progress), progress)

    return wrapper


# The options of one sampling


def _with_patches(options: dict[str, Any], sampling: Sampling) -> dict[str, Any]:
    """A copy of the options with our attention patches on top of those that are already there.

    A patch uses the key that the host would look up: a single block's if another pack has put something
    there, else the key of all blocks of a number, so that a node can still replace it for its own pass (PAG).
    """
    transformer = options["transformer_options"]
    replace = {name: dict(patches) for name, patches in transformer.get("patches_replace", {}).items()}
    for name, make in (("attn1", _self_patch), ("attn2", _cross_patch)):
        patches = replace.setdefault(name, {})
        for key in dict.fromkeys(key if key in patches else key[:2] for key in sampling.layers):
            patches[key] = make(sampling, patches.get(key))
    return {**options, "transformer_options": {**transformer, "patches_replace": replace}}


def _with_wrapper(options: dict[str, Any], kind: str, *around: Callable[..., Any]) -> dict[str, Any]:
    """A copy of the options with wrappers around a step of the sampling."""
    transformer = options["transformer_options"]
    wrappers = transformer.get("wrappers", {})
    wrappers = {**wrappers, kind: {**wrappers.get(kind, {}), KEY: list(around)}}
    return {**options, "transformer_options": {**transformer, "wrappers": wrappers}}


def _cross_patch(sampling: Sampling, previous: Patch | None) -> Patch:
    def patch(q: Tensor, k: Tensor, v: Tensor, extra_options: dict[str, Any]) -> Tensor:
        progress, attend = sampling.progress(extra_options["sigmas"]), _attention(previous, extra_options)
        with naming(SAMPLING):
            layer, rows = sampling.layer(extra_options), sampling.rows(q.shape[0], extra_options, words=True)
            size, heads = sampling.size(layer, extra_options, q.shape[1]), extra_options["n_heads"]
            own = _attention(None, extra_options)
            return sampling.run.cross(layer, progress, size, q, k, v, heads, rows, attend, own)

    return patch


def _self_patch(sampling: Sampling, previous: Patch | None) -> Patch:
    def patch(q: Tensor, k: Tensor, v: Tensor, extra_options: dict[str, Any]) -> Tensor:
        progress, attend = sampling.progress(extra_options["sigmas"]), _attention(previous, extra_options)
        with naming(SAMPLING):
            layer, run = sampling.layer(extra_options), sampling.run
            if not (run.injects(layer, progress, q.shape[1]) or run.keeps_self(layer)):
                return attend(q, k, v)
            rows, heads = sampling.rows(q.shape[0], extra_options), extra_options["n_heads"]
            size = sampling.size(layer, extra_options, q.shape[1])
            return run.own(layer, progress, size, q, k, v, heads, rows, attend)

    return patch


def _attention(previous: Patch | None, extra_options: dict[str, Any]) -> Attend:
    """The attention of another pack's patch, else the host's own with the user's choice of backend."""
    heads, options = extra_options["n_heads"], {"attn_precision": extra_options["attn_precision"]}

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if previous is not None:
            return previous(q, k, v, extra_options)
        return optimized_attention(q, k, v, heads, transformer_options=extra_options, **options)

    return attend
