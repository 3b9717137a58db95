"""Stores for tests: maps that are given, and maps that a Recorder took of attention to chosen columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from prompts_of import made_of
from torch import Tensor
from torch.nn import functional as F

from p2p_core.architecture.layers import Layer
from p2p_core.attention.editing import paired_rows
from p2p_core.maps.recording import Record, Recorder
from p2p_core.maps.store import MapStore, Recorded, all_words, word_channel
from p2p_core.words.prompts import PromptSet

LARGE, SMALL = Layer("input", 1, scale=1), Layer("middle", 0, scale=2)


def prompts_of(source: str, *edits: str) -> PromptSet:
    return PromptSet(made_of(source), tuple(made_of(edit) for edit in edits))


def stored(
    prompts: PromptSet,
    maps: Mapping[Layer, Tensor],
    latent: tuple[int, int],
    words: Sequence[str] = (),
    own: Tensor | None = None,
    own_size: tuple[int, int] | None = None,
) -> Recorded:
    """A store of these maps [parts, P·B, n, h, w], and of self-attention [P·B, N, N]."""
    rows = len(own) if own is not None else next(iter(maps.values())).shape[1]
    return Recorded(
        prompts,
        tuple(word_channel(word, prompts) for word in words or all_words(prompts)),
        rows // len(prompts.prompts),
        latent,
        maps,
        own,
        own_size,
    )


def looking_at(
    prompts: PromptSet, columns: Tensor, layer: Layer, progress: Sequence[float], parts: int = 1
) -> Recorded:
    """What a Recorder keeps when each cell attends to one column only. columns: [P·B, h, w]."""
    words = tuple(word_channel(word, prompts) for word in all_words(prompts))
    samples, size = len(columns) // len(prompts.prompts), (columns.shape[1], columns.shape[2])
    recorder = Recorder(Record(words, MapStore(), parts=parts), prompts, samples, size)
    width = prompts.source.columns
    q = 1000 * F.one_hot(columns.flatten(1), width).float()  # [P·B, h·w, T]
    k = torch.eye(width).expand(len(columns), -1, -1)
    rows = paired_rows(len(columns), (True,), len(prompts.prompts))
    for moment in progress:
        recorder.observe(layer, moment, size, q, k, 1, rows)
    return recorder.recorded()
