"""One sampling with a plan.

When a sampling starts, the wrapper pairs its noise and latent and puts attention patches into the options of
that one run, on top of whatever other packs have put there by then. When the run ends, they are gone with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...p2p_core.memory.remembering import Remembering
from ...p2p_core.rows import sources, with_sources
from .advice import naming
from .foreign_text import explained
from .paired_sampling import PairedSampling
from .pairs import remember
from .remembering import remembered_source
from .shown_after import show_after
from .state import NODE, Sampling


def sample_pair(
    executor: Any, noise: Tensor, latent_image: Tensor, sampler: Any, sigmas: Tensor,
    denoise_mask: Tensor | None = None, *rest: Any, **kwargs: Any,
) -> Tensor:  # fmt: skip
    """OUTER_SAMPLE wrapper: B samples in, P·B rows out. A latent in paired rows is not repeated."""
    guider = executor.class_obj
    conds, options = guider.conds, guider.model_options
    shapes = kwargs.get("latent_shapes") or [latent_image.shape]
    with naming(NODE):
        paired = PairedSampling(guider, noise, latent_image, shapes, sigmas)
        inputs = paired.in_rows(noise, latent_image, denoise_mask)
        seed = rest[2] if len(rest) > 2 else kwargs.get("seed")
        source = remembered_source(paired.sampling, guider, (sampler, sigmas, seed), inputs)
        patched = paired.patched(options, source, _around_model(paired.sampling, source))
        sampler = paired.sampler(sampler)
    noise, latent_image, denoise_mask = inputs
    for place, shape in enumerate(shapes):  # in the host's own list, by which it unpacks the result
        shapes[place] = torch.Size([len(noise), *shape[1:]])
    guider.conds, guider.model_options = paired.entries, patched
    try:
        with explained(conds):
            rows = executor(noise, latent_image, sampler, sigmas, denoise_mask, *rest, **kwargs)
    finally:
        guider.conds, guider.model_options = conds, options
    with naming(NODE):
        return _finished(paired.sampling, guider, rows, source)


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
