"""Prompt-to-Prompt as a patch on the host's MODEL.

A node only writes the frozen plan and one OUTER_SAMPLE wrapper on a clone of the MODEL. When a sampling starts, the
wrapper pairs its noise and latent and puts attention patches into the options of that one run, over whatever other
packs have put there by then; when the run ends, they are gone with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import comfy.utils
from comfy.ldm.modules.attention import BasicTransformerBlock, optimized_attention
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ..p2p_core.attention import RowEdit, edit_cross, edit_self, edited_rows
from ..p2p_core.errors import P2PError, naming
from ..p2p_core.layers import Layer
from ..p2p_core.plan import EditPlan, TokenEdit
from ..p2p_core.prompts import PromptSet
from ._noise import paired_sampler
from ._pairing import pair_of, without_guard

KEY = "p2p"
PLAN = "p2p.plan"
SAMPLING = "Prompt-to-Prompt"

Patch = Callable[[Tensor, Tensor, Tensor, dict[str, Any]], Tensor]


# On the MODEL


def with_edit(model: Any, prompts: PromptSet, edit: TokenEdit) -> Any:
    """A clone of MODEL whose plan has one more edit. Raises P2PError when it cannot be edited."""
    cross_attention_layers(model)
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
    """The transformer blocks of a MODEL that attend to text, by the host's names. Raises P2PError without any."""
    modules = model.model.diffusion_model.named_modules()
    names = [name for name, m in modules if isinstance(m, BasicTransformerBlock) and m.attn2 is not None]
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
    """State of one sampling: the plan, which chunks are paired, and the progress of the current model call."""

    def __init__(self, plan: EditPlan, paired: frozenset[Any], model_sampling: Any) -> None:
        self.plan, self.paired, self.model_sampling = plan, paired, model_sampling
        self._progress: tuple[Any, float] = (None, 0.0)

    @property
    def prompts(self) -> int:
        return len(self.plan.prompts.prompts)

    def progress(self, sigmas: Tensor) -> float:
        """Timestep percent of a model call, by its sigma; the host hands every layer of a call the same tensor."""
        known, value = self._progress
        if known is not sigmas:
            value = progress_of(self.model_sampling, float(sigmas.flatten()[0]))
            self._progress = (sigmas, value)
        return value

    def rows(self, batch: int, options: dict[str, Any]) -> list[tuple[int, int, int]]:
        """`edited_rows` of one call of a layer; the host names the conditioning of each part of the batch."""
        with naming(SAMPLING):
            return edited_rows(batch, [uuid in self.paired for uuid in options["uuids"]], self.prompts)


def progress_of(model_sampling: Any, sigma: float) -> float:
    """The percent whose sigma this is, 0 (noise) to 1 (finished): the inverse of the host's `percent_to_sigma`."""
    low, high = 0.0, 1.0
    for _ in range(24):
        middle = (low + high) / 2
        if float(model_sampling.percent_to_sigma(middle)) > sigma:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def sample_pair(
    executor: Any, noise: Tensor, latent_image: Tensor, sampler: Any, sigmas: Tensor, denoise_mask: Tensor | None = None,
    *rest: Any, **kwargs: Any,
) -> Tensor:  # fmt: skip
    """OUTER_SAMPLE wrapper: B samples in, P·B rows out; row r holds prompt r mod P of sample r div P."""
    guider = executor.class_obj
    plan = guider.model_options["transformer_options"][PLAN]
    prompts, samples = len(plan.prompts.prompts), noise.shape[0]
    with naming(SAMPLING):
        if getattr(noise, "is_nested", False) or len(kwargs.get("latent_shapes") or [0]) > 1:
            raise P2PError("one latent", "several in one", "Use a text-to-image latent.")
        paired, guider.conds = _paired_conds(guider.conds, plan.prompts, samples)
    run = Run(plan, paired, guider.model_patcher.get_model_object("model_sampling"))
    _install(run, guider)
    if denoise_mask is not None:
        denoise_mask = comfy.utils.repeat_to_batch_size(denoise_mask, samples).repeat_interleave(prompts, dim=0)
    noise, latent_image = (t.repeat_interleave(prompts, dim=0) for t in (noise, latent_image))
    if kwargs.get("latent_shapes"):
        kwargs["latent_shapes"] = [latent_image.shape]
    return executor(noise, latent_image, paired_sampler(sampler, prompts), sigmas, denoise_mask, *rest, **kwargs)


def _paired_conds(
    conds: dict[str, list[dict[str, Any]]], prompts: PromptSet, samples: int
) -> tuple[frozenset[Any], dict[str, list[dict[str, Any]]]]:
    """The ids of the paired entries, and all entries with rows in the order of the paired latent."""
    paired: set[Any] = set()
    ordered: dict[str, list[dict[str, Any]]] = {}
    for name, entries in conds.items():
        pairs = [pair_of(entry) for entry in entries]
        if name == "positive" and not all(pairs) or any(pairs) and not all(pairs):
            raise _unpaired(name)
        for pair, entry in zip(pairs, entries, strict=True):
            if pair is not None:
                _require_prompts(prompts, pair.rows, pair.texts)
                paired.add(entry["uuid"])
        ordered[name] = [
            _per_sample(entry, samples, len(prompts.prompts)) if pair is None else without_guard(entry)
            for pair, entry in zip(pairs, entries, strict=True)
        ]
    return frozenset(paired), ordered


def _per_sample(entry: dict[str, Any], samples: int, prompts: int) -> dict[str, Any]:
    """An unpaired entry; tensors with one row a sample get one a row."""
    if samples == 1:
        return entry
    return {
        key: value.repeat_interleave(prompts, dim=0)
        if isinstance(value, Tensor) and value.ndim > 1 and value.shape[0] == samples
        else value
        for key, value in entry.items()
    }


def _unpaired(name: str) -> P2PError:
    return P2PError(
        f"a paired CONDITIONING on the sampler's {name} input",
        "a plain one",
        "Connect the CONDITIONING of Prompt Pair (or Pair Conditioning) to the sampler.",
    )


def _require_prompts(prompts: PromptSet, rows: int, texts: tuple[str, ...] | None) -> None:
    if rows != len(prompts.prompts) or (texts is not None and texts != prompts.texts):
        raise P2PError(
            f"a CONDITIONING of the prompts of the MODEL, {' → '.join(map(repr, prompts.texts))}",
            " → ".join(map(repr, texts)) if texts else f"one of {rows} prompts",
            "Connect the sampler's CONDITIONING and the MODEL's nodes to the same Prompt Pair.",
        )


# Attention patches


def _install(run: Run, guider: Any) -> None:
    """Put the patches into the options of this run, each over the patch that stands in its place."""
    options = guider.model_options["transformer_options"]
    replace: dict[str, dict[tuple[Any, ...], Patch]] = {k: dict(v) for k, v in options.get("patches_replace", {}).items()}
    for layer in cross_attention_layers(guider.model_patcher):
        key = (layer.stage, layer.number, layer.index)
        for name, make in (("attn1", _self_patch), ("attn2", _cross_patch)):
            patches = replace.setdefault(name, {})
            patches[key] = make(run, layer, patches.get(key) or patches.get(key[:2]))
    options["patches_replace"] = replace


def _cross_patch(run: Run, layer: Layer, previous: Patch | None) -> Patch:
    def patch(q: Tensor, k: Tensor, v: Tensor, extra_options: dict[str, Any]) -> Tensor:
        progress = run.progress(extra_options["sigmas"])
        rows = run.rows(q.shape[0], extra_options)
        edits = [RowEdit(row, source, run.plan.mixing(p, layer, progress)) for row, source, p in rows]
        attend = _attention(extra_options)
        if previous is None:
            return edit_cross(q, k, v, edits, attend)
        return edit_cross(q, k, v, edits, lambda q, k, v: previous(q, k, v, extra_options), attend)

    return patch


def _self_patch(run: Run, layer: Layer, previous: Patch | None) -> Patch:
    def patch(q: Tensor, k: Tensor, v: Tensor, extra_options: dict[str, Any]) -> Tensor:
        active = run.plan.self_attention(layer, run.progress(extra_options["sigmas"]))
        rows = run.rows(q.shape[0], extra_options) if active else []
        edits = [RowEdit(row, source) for row, source, _ in rows]
        if previous is None:
            return edit_self(q, k, v, edits, _attention(extra_options))
        return edit_self(q, k, v, edits, lambda q, k, v: previous(q, k, v, extra_options))

    return patch


def _attention(extra_options: dict[str, Any]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The host's own attention as its blocks call it, with the user's choice of backend."""
    heads, precision = extra_options["n_heads"], extra_options["attn_precision"]

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return optimized_attention(q, k, v, heads, attn_precision=precision, transformer_options=extra_options)

    return attend

