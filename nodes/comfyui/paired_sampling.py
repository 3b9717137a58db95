"""How a sampling of B samples becomes one of P·B rows: its inputs, its options, its sampler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...p2p_core.errors import P2PError
from ...p2p_core.maps.blending import Blend
from ...p2p_core.maps.recording import Record
from ...p2p_core.memory.remembering import Remembering
from ...p2p_core.plan import EditPlan
from ...p2p_core.real.pinning import RealImage
from ...p2p_core.rows import Rows, per_row
from ...p2p_core.run import Run
from ...p2p_core.step import Scene
from .conditionings import edited_sides, ids, keep_ids_apart, plain_ids, rows_of_pairs
from .dit import with_override
from .families import Family, architecture_of, family_of, layers_of
from .fewer_rows import LeanCalls
from .keys import PLAN
from .merging import Merging
from .noise import OwnDraws, paired_sampler
from .one_call import unpatched
from .options import Options, with_wrapper
from .pairs import paired_noise
from .real import following, guided_calls, require_fit
from .remembering import remembered_calls
from .room import require_room
from .rows import mask_per_row
from .state import ProgressTable, Sampling
from .unet import pixels_per_cell, with_patches


class PairedSampling:
    """One sampling with a plan, before its first model call. entries: the conditionings, by side, in rows.

    noise, latent: of the sampling, [B, C, ...] or, where an earlier sampling left pairs, [P·B, C, ...].
    shapes: of its latents. Raises P2PError for what cannot be paired.
    """

    def __init__(
        self, guider: Any, noise: Tensor, latent: Tensor, shapes: Sequence[Sequence[int]], sigmas: Tensor
    ) -> None:
        self.guider, self.sides = guider, edited_sides(guider.conds)
        plan: EditPlan = guider.model_options["transformer_options"][PLAN]
        family, self.prompts = family_of(guider.model_patcher), plan.prompts.count
        _require_plain(plan, family, guider.model_options, shapes)
        self.real = next(plan.of(RealImage), None)
        self.equal = None if _fresh(self.real, noise) else paired_noise(noise, latent, self.prompts)
        in_pairs = self.equal is not None
        self.samples = Rows.of(len(noise), self.prompts).samples if in_pairs else len(noise)
        require_room(guider.model_patcher, noise, self.samples, self.prompts)
        self.merging = None if family is None else Merging(family)
        rows_of = rows_of_pairs if self.merging is None else self.merging.rows_of_pairs
        self.entries = rows_of(guider.conds, plan.prompts, self.samples)
        self.sampling = _begin(plan, guider, self.samples, shapes[0], sigmas)
        self.start = self.sampling.run.start(sigmas, self.sampling.table.levels, self.sampling.table.end)
        self.draws = OwnDraws()

    def in_rows(
        self, noise: Tensor, latent: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Noise, latent and noise mask of all rows, [P·B, ...]. A real picture is the latent."""
        real, equal = self.real, self.equal
        if real is not None:
            require_fit(real, self.guider, noise, self.samples, mask, self.sides)
            latent = latent if equal is not None else real.trajectory.picture.to(latent)
        if mask is not None:
            mask = mask_per_row(mask, self.samples, self.prompts, equal is not None)
        if equal is not None:
            return equal, latent, mask
        return per_row(noise, self.prompts), per_row(latent, self.prompts), mask

    def patched(
        self, options: Options, source: Remembering | None, around_model: Callable[..., Tensor]
    ) -> Options:
        """Copies of the host's options with everything that acts in this sampling."""
        patched = _with_attention(options, self.sampling, self.merging)
        merge = [] if self.merging is None else [self.merging.merge]
        patched = with_wrapper(patched, WrappersMP.SAMPLER_SAMPLE, *merge, keep_ids_apart(self.sides))
        around = around_model, self.draws.around_model
        patched = with_wrapper(patched, WrappersMP.PREDICT_NOISE, *around)
        if self.real is not None:
            guided = guided_calls(self.sampling, self.real, self.merging)
            patched = with_wrapper(patched, WrappersMP.CALC_COND_BATCH, guided)
        if source is not None:
            lean = LeanCalls(self.sampling, self.merging, unpatched(options))
            patched = with_wrapper(patched, WrappersMP.CALC_COND_BATCH, remembered_calls(source, lean))
        return patched

    def sampler(self, sampler: Any) -> Any:
        """The sampler with the same noise for all rows of a sample, on the trajectory of a real picture."""
        paired = paired_sampler(sampler, self.prompts, self.draws)
        if self.real is None or not self.real.trajectory.inverted:
            return paired
        return following(paired, self.real, self.prompts, None if self.equal is not None else self.start)


def _require_plain(
    plan: EditPlan, family: Family | None, options: Options, shapes: Sequence[Sequence[int]]
) -> None:
    """Raises P2PError unless the sampling is of whole images, or of videos with audio in a family of such."""
    if len(shapes) > 1 and (family is None or not family.audio):
        raise P2PError("one latent", "a nested latent", "Use a text-to-image latent.")
    if len(shapes) > 1 and any(any(plan.of(step)) for step in (Record, Blend, RealImage)):
        raise P2PError(
            "one latent for Local Blend, Attention Store and Real Image",
            "a latent of video with audio",
            "Remove these nodes, or sample the video without audio.",
        )
    if plan.prompts.count > 1 and "context_handler" in options:
        raise P2PError("whole images", "context windows", "Remove the Context Windows node.")


def _fresh(real: RealImage | None, noise: Tensor) -> bool:
    """Whether a latent is the one of real pictures, with one row per sample."""
    return real is not None and len(noise) == real.trajectory.samples


def _begin(plan: EditPlan, guider: Any, samples: int, latent: Sequence[int], sigmas: Tensor) -> Sampling:
    """latent: its shape."""
    patcher, sides = guider.model_patcher, edited_sides(guider.conds)
    frames = latent[2] if len(latent) == 5 else 1
    size = frames * latent[-2], latent[-1]
    cell, kind = pixels_per_cell(patcher), architecture_of(patcher)
    scene = Scene(plan.prompts, samples, size, layers_of(patcher), cell, kind, frames)
    table = ProgressTable(patcher.get_model_object("model_sampling"), sigmas)
    return Sampling(Run(plan, scene), table, ids(guider.conds, sides), plain_ids(guider.conds, sides))


def _with_attention(options: Options, sampling: Sampling, merging: Merging | None) -> Options:
    if merging is None:
        return with_patches(options, sampling)
    return with_override(options, sampling, merging)
