"""Prompt-to-Prompt as a patch on the host's MODEL.

A node only writes the frozen plan and one OUTER_SAMPLE wrapper on a clone of the MODEL. When a sampling
starts, the wrapper pairs its noise and latent and puts attention patches into the options of that one run,
over whatever other packs have put there by then; when the run ends, they are gone with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from comfy.ldm.modules.attention import BasicTransformerBlock, optimized_attention
from comfy.patcher_extension import WrappersMP
from torch import Tensor, nn

from ..p2p_core.attention import Attend, RowEdit, edit_cross, edit_self, edited_rows
from ..p2p_core.errors import P2PError, naming
from ..p2p_core.layers import Layer
from ..p2p_core.plan import EditPlan, TokenEdit
from ..p2p_core.prompts import PromptSet
from ._noise import paired_sampler
from ._pairing import edited_sides, ids, keep_ids_apart, per_row, rows_of_pairs

KEY = "p2p"
PLAN = "p2p.plan"
SAMPLING = "Prompt-to-Prompt"

Patch = Callable[[Tensor, Tensor, Tensor, dict[str, Any]], Tensor]


# On the MODEL


def with_edit(model: Any, prompts: PromptSet, edit: TokenEdit) -> Any:
    """A clone of MODEL whose plan has one more edit. Raises P2PError when it cannot be edited."""
    if not any(layer in edit.layers for layer in cross_attention_layers(model)):
        raise P2PError(
            "layers that this MODEL has", repr(edit.layers.text), "Use 'all', or other block numbers."
        )
    plan = model.model_options["transformer_options"].get(PLAN) or EditPlan(prompts)
    return with_plan(model, plan.then(prompts, edit))


def with_plan(model: Any, plan: EditPlan) -> Any:
    """A clone of MODEL that samples by `plan`."""
    clone = model.clone()
    clone.model_options["transformer_options"][PLAN] = plan
    if not clone.get_wrappers(WrappersMP.OUTER_SAMPLE, KEY):
        clone.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, sample_pair)
    return clone


def cross_attention_layers(model: Any) -> tuple[Layer, ...]:
    """The transformer blocks of a MODEL that attend to text, by the host's names. P2PError without any."""
    unet = getattr(model.model, "diffusion_model", nn.Identity())
    blocks = [(name, m) for name, m in unet.named_modules() if isinstance(m, BasicTransformerBlock)]
    names = [name for name, block in blocks if block.attn2 is not None]
    layers = tuple(layer for name in names if (layer := _layer(name)) is not None)
    if not layers:
        raise P2PError(
            "a MODEL with cross-attention to text (SD1.x, SD2.x, SDXL)",
            type(model.model).__name__,
            "Load a Stable Diffusion checkpoint.",
        )
    return layers


_BLOCK = re.compile(r"^(input|middle|output)_blocks?\.(\d+)\.(?:\d+\.)?transformer_blocks\.(\d+)$")


def _layer(name: str) -> Layer | None:
    match = _BLOCK.match(name)
    if match is None:
        return None
    number = 0 if match[1] == "middle" else int(match[2])  # the host calls every middle block 0
    return Layer(match[1], number, int(match[3]))


# One sampling


class Run:
    """State of one sampling: its plan, the ids of edited conditionings, the progress of the current call."""

    def __init__(self, plan: EditPlan, samples: int, edited: frozenset[Any], model_sampling: Any) -> None:
        self.plan, self.samples, self.edited, self.model_sampling = plan, samples, edited, model_sampling
        self._progress: tuple[Any, float] = (None, 0.0)

    @property
    def prompts(self) -> int:
        return len(self.plan.prompts.prompts)

    def progress(self, sigmas: Tensor) -> float:
        """Timestep percent of a model call, by its sigma; all layers of a call are given the same tensor."""
        known, value = self._progress
        if known is not sigmas:
            value = progress_of(self.model_sampling, float(sigmas.flatten()[0]))
            self._progress = (sigmas, value)
        return value

    def rows(self, batch: int, options: dict[str, Any]) -> list[tuple[int, int, int]]:
        """`edited_rows` of one call of a layer; the host names the conditioning of each part of the batch."""
        edited = [name in self.edited for name in options["uuids"]]
        if batch != len(edited) * self.samples * self.prompts:
            raise P2PError(
                f"{self.prompts} rows for each of {self.samples} samples in {len(edited)} parts of the batch",
                f"a batch of {batch}",
                "Take out the node that cuts pictures or batches into pieces (HyperTile, context windows).",
            )
        return edited_rows(batch, edited, self.prompts)


def progress_of(model_sampling: Any, sigma: float) -> float:
    """The percent of a sigma, 0 (noise) to 1 (finished); the inverse of the host's `percent_to_sigma`."""
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
    """OUTER_SAMPLE wrapper: B samples in, P·B rows out; row r holds prompt r mod P of sample r div P."""
    guider = executor.class_obj
    conds, options = guider.conds, guider.model_options
    plan = options["transformer_options"][PLAN]
    prompts, samples = len(plan.prompts.prompts), noise.shape[0]
    with naming(SAMPLING):
        if getattr(noise, "is_nested", False) or len(kwargs.get("latent_shapes") or [0]) > 1:
            raise P2PError("one latent", "several in one", "Use a text-to-image latent.")
        in_rows = rows_of_pairs(conds, plan.prompts, samples)
        sides, schedule = edited_sides(conds), guider.model_patcher.get_model_object("model_sampling")
        run = Run(plan, samples, ids(conds, sides), schedule)
        patched = _with_patches(options, run, cross_attention_layers(guider.model_patcher))
        patched = _with_wrapper(patched, WrappersMP.SAMPLER_SAMPLE, keep_ids_apart(sides))
    noise, latent_image = (t.repeat_interleave(prompts, dim=0) for t in (noise, latent_image))
    if denoise_mask is not None:
        mask = denoise_mask if denoise_mask.ndim > 2 else denoise_mask[None]
        denoise_mask = per_row(mask, samples, prompts)
    if kwargs.get("latent_shapes"):
        kwargs["latent_shapes"] = [latent_image.shape]
    sampler = paired_sampler(sampler, prompts)
    guider.conds, guider.model_options = in_rows, patched
    try:
        return executor(noise, latent_image, sampler, sigmas, denoise_mask, *rest, **kwargs)
    finally:
        guider.conds, guider.model_options = conds, options


# The options of one sampling


def _with_patches(options: dict[str, Any], run: Run, layers: tuple[Layer, ...]) -> dict[str, Any]:
    """Copies of the options with each attention patch over the one that stands in its place.

    A patch takes the key that the host would find: a block's own where another pack has put something there,
    else that of all blocks of the number, so that a node can still replace it for a pass of its own (PAG).
    """
    transformer = options["transformer_options"]
    replace = {name: dict(patches) for name, patches in transformer.get("patches_replace", {}).items()}
    for name, make in (("attn1", _self_patch), ("attn2", _cross_patch)):
        patches = replace.setdefault(name, {})
        keys = [(layer.stage, layer.number, layer.index) for layer in layers]
        for key in dict.fromkeys(key if key in patches else key[:2] for key in keys):
            patches[key] = make(run, patches.get(key))
    return {**options, "transformer_options": {**transformer, "patches_replace": replace}}


def _with_wrapper(options: dict[str, Any], kind: str, wrapper: Callable[..., Any]) -> dict[str, Any]:
    """Copies of the options with a wrapper around a step of the sampling."""
    transformer = options["transformer_options"]
    wrappers = transformer.get("wrappers", {})
    wrappers = {**wrappers, kind: {**wrappers.get(kind, {}), KEY: [wrapper]}}
    return {**options, "transformer_options": {**transformer, "wrappers": wrappers}}


def _cross_patch(run: Run, previous: Patch | None) -> Patch:
    def patch(q: Tensor, k: Tensor, v: Tensor, extra_options: dict[str, Any]) -> Tensor:
        layer, progress = _layer_of(extra_options), run.progress(extra_options["sigmas"])
        with naming(SAMPLING):
            rows = run.rows(q.shape[0], extra_options)
            edits = [RowEdit(row, source, run.plan.mixing(p, layer, progress)) for row, source, p in rows]
            attend = _attention(previous, extra_options)
            return edit_cross(q, k, v, edits, attend, _attention(None, extra_options))

    return patch


def _self_patch(run: Run, previous: Patch | None) -> Patch:
    def patch(q: Tensor, k: Tensor, v: Tensor, extra_options: dict[str, Any]) -> Tensor:
        active = run.plan.self_attention(_layer_of(extra_options), run.progress(extra_options["sigmas"]))
        with naming(SAMPLING):
            rows = run.rows(q.shape[0], extra_options) if active else []
        edits = [RowEdit(row, source) for row, source, _ in rows]
        return edit_self(q, k, v, edits, _attention(previous, extra_options))

    return patch


def _layer_of(extra_options: dict[str, Any]) -> Layer:
    stage, number = extra_options["block"]
    return Layer(stage, number, extra_options["block_index"])


def _attention(previous: Patch | None, extra_options: dict[str, Any]) -> Attend:
    """The attention of another pack's patch, else the host's own with the user's choice of backend."""
    heads, options = extra_options["n_heads"], {"attn_precision": extra_options["attn_precision"]}

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if previous is not None:
            return previous(q, k, v, extra_options)
        return optimized_attention(q, k, v, heads, transformer_options=extra_options, **options)

    return attend
