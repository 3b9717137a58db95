"""The source of a sampling, given back from an earlier one of the same source (docs/adr/0034)."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from ...p2p_core.memory.attention import SourceRows
from ...p2p_core.memory.record import SourceMemory
from ...p2p_core.memory.remembering import Remember, Remembering
from ...p2p_core.real.pinning import RealImage
from ...p2p_core.rows import sources, with_sources
from .fewer_rows import LeanCalls, Side, Uncut
from .merging import TEXT, Merging
from .same_source import source_of_run
from .shown_after import show_after
from .state import Sampling

MEMORY = SourceMemory()
"""The sources of this process. Nodes are executed again for every new word, so none of them could own it."""

# Where source rows depend on the edits: the error of a step, or a projection, over all rows.
_BY_THE_BATCH = ("dpm_adaptive", "PerpNeg")


def remembered_source(
    sampling: Sampling, guider: Any, given: tuple[Any, ...], rows: Sequence[Tensor | None]
) -> Remembering | None:
    """What a sampling recalls and records of its source, None for nothing.

    given: sampler, sigmas, seed; rows: the inputs [P·B, ...].
    """
    plan, prompts = sampling.run.plan, sampling.run.prompts
    step = next(plan.of(Remember), None)
    if step is None:
        return None
    if next(plan.of(RealImage), None) is not None:
        return _without(step, "it is a real image")
    if any(each is not None and each.ndim < 4 for each in rows):
        return _without(step, "it has audio")
    names = getattr(getattr(given[0], "sampler_function", None), "__name__", ""), type(guider).__name__
    found = [name for name in _BY_THE_BATCH if any(name in each for each in names)]
    if found:
        return _without(step, f"{found[0]} computes over all rows, so the source depends on the edits")
    of_source = [None if each is None else sources(each, prompts) for each in rows]
    source = source_of_run(guider, *given, *of_source)
    if source is None:
        return _without(step, "something in this graph cannot be compared with an earlier run")
    remembering = Remembering(step, source, MEMORY, recalls=prompts > 1)
    if not remembering.found:  # nothing is kept of a model that is gone
        forgotten = weakref.finalize(guider.model_patcher.model, MEMORY.drop, source)
        forgotten.atexit = False
    return remembering


def _without(step: Remember, why: str) -> None:
    show_after([(step.origin, f"source not remembered: {why}")])


def remembered_calls(remembering: Remembering, lean_calls: LeanCalls) -> Callable[..., Any]:
    """A CALC_COND_BATCH wrapper: known source rows are given back, and left out where nothing reads them."""
    sampling, merging, rows = lean_calls.sampling, lean_calls.merging, remembering.rows
    run = sampling.run

    def wrapper(
        executor: Any, model: Any, conds: Sequence[Side], x: Tensor, timestep: Tensor, options: Any
    ) -> list[Tensor]:
        def predict(sides: Sequence[Side], x: Tensor, timestep: Tensor) -> list[Tensor]:
            rows.computed += len(x) * sum(map(bool, sides))
            return list(executor(model, sides, x, timestep, options))

        rows.whole += len(x) * sum(map(bool, conds))
        known = remembering.recalled([bool(side) for side in conds])
        lean, run.source_rows = _plan(sampling, remembering, conds, timestep, merging, known is not None)
        try:
            predicted = lean_calls.predicted(predict, model, conds, x, timestep, lean)
        except Uncut:
            predicted = predict(conds, x, timestep)
        finally:
            noted, run.source_rows = run.source_rows, None
        if known is None:
            known = [
                sources(each, run.prompts) if side else None
                for each, side in zip(predicted, conds, strict=True)
            ]
            remembering.note(known)
        remembering.note_attention(None if noted is None else noted.noted)
        return [
            each if source is None else with_sources(each, source, run.prompts)
            for each, source in zip(predicted, known, strict=True)
        ]

    return wrapper


def _plan(
    sampling: Sampling,
    remembering: Remembering,
    conds: Sequence[Side],
    timestep: Tensor,
    merging: Merging | None,
    known: bool,
) -> tuple[set[int], SourceRows | None]:
    """The sides to compute for edit rows alone, and where source rows are taken from or noted."""
    run, progress = sampling.run, sampling.progress(timestep)
    given = {i for i, side in enumerate(conds) if side}
    edited = {i for i in given if any(entry["uuid"] in sampling.edited for entry in conds[i] or ())}
    columns = _columns(conds, edited, merging)
    if not known:
        return set(), None if columns is None else remembering.attending(columns)
    if not run.observes(progress):
        reads, kept = run.reads(progress), remembering.attention
        if not reads:
            return given, None
        if kept is not None and columns is not None and kept.has(reads, columns):
            return given, SourceRows(columns, kept)
    return given - edited, None if columns is None else remembering.attending(columns)


def _columns(conds: Sequence[Side], edited: set[int], merging: Merging | None) -> int | None:
    """The text columns whose attention can be kept: of one paired entry, with no padding; else None."""
    entries = [entry for i in edited for entry in conds[i] or ()]
    if len(entries) != 1 or "attention_mask" in entries[0]["model_conds"]:
        return None
    if merging is not None and merging.pads(entries[0]["uuid"]):
        return None
    return entries[0]["model_conds"][TEXT].cond.shape[1]
