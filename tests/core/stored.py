"""Stores for tests: with given maps, and with maps that a Recorder took of attention to chosen columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from prompts_of import made_of
from torch import Tensor
from torch.nn import functional as F

from p2p_core.architecture.layers import Layer
from p2p_core.attention.editing import EditedBatch, RowEdit
from p2p_core.maps.recording import Record, Recorder
from p2p_core.maps.store import Channel, MapStore, Recorded, word_channel
from p2p_core.rows import Batch
from p2p_core.step import Call, Scene
from p2p_core.words.prompts import PromptSet

LARGE, SMALL = Layer("input", 1, scale=1), Layer("middle", 0, scale=2)


def prompts_of(source: str, *edits: str) -> PromptSet:
    return PromptSet(made_of(source), tuple(made_of(edit) for edit in edits))


def scene_of(
    prompts: PromptSet, samples: int, latent: tuple[int, int], layers: Sequence[Layer] = (LARGE, SMALL)
) -> Scene:
    return Scene(prompts, samples, latent, tuple(layers))


def batch_of(
    prompts: int, samples: int = 1, paired: tuple[bool, ...] = (True,), edited: bool = False
) -> EditedBatch:
    """Every row of the paired parts. edited: whether edit rows are edited from their sources."""
    rows = Batch(prompts * samples * len(paired), paired, prompts).rows
    return EditedBatch(rows, tuple(RowEdit(r.row, r.source) for r in rows if r.prompt and edited))


def channels(prompts: PromptSet, words: Sequence[str]) -> tuple[Channel, ...]:
    return tuple(word_channel(word, prompts) for word in words)


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
    scene = scene_of(prompts, rows // prompts.count, latent, tuple(maps))
    return Recorded(scene, channels(prompts, words or prompts.names), maps, own, own_size)


def looking_at(
    prompts: PromptSet, columns: Tensor, layer: Layer, progress: Sequence[float], parts: int = 1
) -> Recorded:
    """What a Recorder keeps if each cell attends to one column only. columns: [P·B, h, w]."""
    samples, size = len(columns) // prompts.count, (columns.shape[1], columns.shape[2])
    record = Record(channels(prompts, prompts.names), MapStore(), parts=parts)
    recorder = Recorder(record, scene_of(prompts, samples, size, [layer]))
    width = prompts.source.columns
    q = 1000 * F.one_hot(columns.flatten(1), width).float()  # [P·B, h·w, T]
    k = torch.eye(width).expand(len(columns), -1, -1)
    batch = batch_of(prompts.count, samples)
    for moment in progress:
        recorder.observe(Call(layer, moment, size, 1, (True,)), q, k, batch)
    return recorder.recorded([])
