"""One sampling with a plan.

When a sampling starts, the wrapper pairs its noise and latent and puts attention patches into the options of
that one run, on top of whatever other packs have put there by then. When the run ends, they are gone with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...p2p_core.errors import P2PError
from ...p2p_core.maps.blending import Blend
from ...p2p_core.maps.recording import Record
from ...p2p_core.memory.remembering import Remembering
from ...p2p_core.plan import EditPlan
from ...p2p_core.real.pinning import RealImage
from ...p2p_core.rows import Rows, per_row, sources, with_sources
from ...p2p_core.run import Run
from ...p2p_core.step import Scene
from .advice import naming
from .conditionings import edited_sides, ids, keep_ids_apart, plain_ids, rows_of_pairs
from .dit import with_override
from .families import Family, architecture_of, family_of, layers_of
from .fewer_rows import LeanCalls
from .foreign_text import explained
from .keys import PLAN
from .merging import Merging
from .noise import OwnDraws, paired_sampler
from .one_call import unpatched
from .options import Options, with_wrapper
from .pairs import paired_noise, remember
from .real import following, guided_calls, require_fit
from .remembering import remembered_calls, remembered_source
from .room import require_room
from .rows import mask_per_row
from .shown_after import show_after
from .state import NODE, ProgressTable, Sampling
from .unet import pixels_per_cell, with_patches


def sample_pair(
    executor: Any, noise: Tensor, latent_image: Tensor, sampler: Any, sigmas: Tensor,
    denoise_mask: Tensor | None = None, *rest: Any, **kwargs: Any,
) -> Tensor:  # fmt: skip
    """OUTER_SAMPLE wrapper: B samples in, P·B rows out. A latent in paired rows is not repeated."""
    guider = executor.class_obj
    conds, options = guider.conds, guider.model_options
    plan: EditPlan = options["transformer_options"][PLAN]
    prompts = plan.prompts.count
    with naming(NODE):
        shapes = kwargs.get("latent_shapes") or [latent_image.shape]
        _require_plain(plan, family_of(guider.model_patcher), options, shapes)
        real = next(plan.of(RealImage), None)
        equal = None if _fresh(real, noise) else paired_noise(noise, latent_image, prompts)
        in_pairs = equal is not None
        samples = Rows.of(len(noise), prompts).samples if in_pairs else len(noise)
        require_room(guider.model_patcher, noise, samples, prompts)
        family, sides = family_of(guider.model_patcher), edited_sides(conds)
        merging = None if family is None else Merging(family)
        rows_of = rows_of_pairs if merging is None else merging.rows_of_pairs
        entries = rows_of(conds, plan.prompts, samples)
        sampling = _begin(plan, guider, samples, shapes[0], sigmas)
        start = sampling.run.start(sigmas, sampling.table.levels, sampling.table.end)
        if real is not None:
            require_fit(real, guider, noise, samples, denoise_mask, sides)
            latent_image = latent_image if in_pairs else real.trajectory.picture.to(latent_image)
        if equal is not None:
            noise = equal
        else:
            noise, latent_image = per_row(noise, prompts), per_row(latent_image, prompts)
        if denoise_mask is not None:
            denoise_mask = mask_per_row(denoise_mask, samples, prompts, in_pairs)
        given = sampler, sigmas, rest[2] if len(rest) > 2 else kwargs.get("seed")
        source = remembered_source(sampling, guider, given, (noise, latent_image, denoise_mask))
        patched, draws = _with_attention(options, sampling, family, merging), OwnDraws()
        merge = [] if merging is None else [merging.merge]
        patched = with_wrapper(patched, WrappersMP.SAMPLER_SAMPLE, *merge, keep_ids_apart(sides))
        around = _around_model(sampling, source), draws.around_model
        patched = with_wrapper(patched, WrappersMP.PREDICT_NOISE, *around)
        sampler = paired_sampler(sampler, prompts, draws)
        if real is not None:
            if real.trajectory.inverted:
                sampler = following(sampler, real, prompts, None if in_pairs else start)
            guided = guided_calls(sampling, real, merging)
            patched = with_wrapper(patched, WrappersMP.CALC_COND_BATCH, guided)
        if source is not None:
            calls = remembered_calls(source, LeanCalls(sampling, merging, unpatched(options)))
            patched = with_wrapper(patched, WrappersMP.CALC_COND_BATCH, calls)
    for place, shape in enumerate(shapes):  # in the host's own list, by which it unpacks the result
        shapes[place] = torch.Size([len(noise), *shape[1:]])
    guider.conds, guider.model_options = entries, patched
    try:
        with explained(conds):
            rows = executor(noise, latent_image, sampler, sigmas, denoise_mask, *rest, **kwargs)
    finally:
        guider.conds, guider.model_options = conds, options
    with naming(NODE):
        return _finished(sampling, guider, rows, source)


def _with_attention(
    options: Options, sampling: Sampling, family: Family | None, merging: Merging | None
) -> Options:
    if family is None or merging is None:
        return with_patches(options, sampling)
    return with_override(options, sampling, family, merging)


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


def _finished(sampling: Sampling, guider: Any, rows: Tensor, source: Remembering | None) -> Tensor:
    """The finished rows. Fills the stores, remembers source and rows, shows what the windows held."""
    denoised = () if sampling.denoised is None else (sampling.denoised,)
    out = guider.model_patcher.model.process_latent_out
    rows = sampling.run.finish(rows, *(out(clean.float()) for clean in denoised))
    if sampling.run.prompts > 1:
        remember(rows, sampling.run.prompts)
    if source is not None:
        source.finish()
        show_after([(source.step.origin, source.outcome)])
    show_after(sampling.run.held())
    return rows


def _around_model(sampling: Sampling, source: Remembering | None) -> Callable[..., Tensor]:
    """A PREDICT_NOISE wrapper: pins or recalls source rows, and blends before and after the model call.

    The only place that writes to an input: the sampler's next step has to start from that latent.
    """
    run = sampling.run

    def wrapper(executor: Any, x: Tensor, timestep: Tensor, *rest: Any, **kwargs: Any) -> Tensor:
        progress = sampling.progress(timestep)
        with naming(NODE):
            entering = run.before_model(x, sampling.sigma(timestep) if run.plan.timed else 0.0, progress)
        if entering is not x:
            x.copy_(entering)
        if source is not None:
            source.enter(sources(x, run.prompts), sampling.sigma(timestep))
        predicted = executor(x, timestep, *rest, **kwargs)
        if source is not None:
            clean = source.leave(sources(predicted, run.prompts))
            predicted = with_sources(predicted, clean, run.prompts)
        with naming(NODE):
            sampling.denoised = run.after_model(predicted, progress)
        return sampling.denoised

    return wrapper
