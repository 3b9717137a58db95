"""Mixings of prompts on the text columns of a batch, where shorter prompts are padded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..architecture.dit import Span
from .editing import Mixing, RowEdit, exactly
from .joint import JointEdit


def placed(mixing: Mixing, source: Span, edit: Span, text: int) -> Mixing:
    """The mixing on all `text` columns, where the source's prompt and the edit's stand there.

    Padding goes to padding, column by column away from the prompts. What the source has more of is spread
    over the edit's, or given to the column next to it where the edit has none. Padding follows the window of
    that column.
    """
    with torch.inference_mode(False):
        from_source, own = torch.zeros(text, text), torch.ones(text)
    from_source[source.start : source.stop, edit.start : edit.stop] = mixing.from_source
    own[edit.start : edit.stop] = mixing.own
    sides = [
        (list(range(source.start))[::-1], list(range(edit.start))[::-1], edit.start),
        (list(range(source.stop, text)), list(range(edit.stop, text)), edit.stop - 1),
    ]
    for left, right, neighbour in sides:
        if float(own[neighbour]) == 0:
            own[right] = 0
            for s, e, share in _padding(left, right or [neighbour]):
                from_source[s, e] += share
    return Mixing(from_source, own)


def _padding(source: Sequence[int], edit: Sequence[int]) -> Iterator[tuple[int, int, float]]:
    yield from ((s, e, 1.0) for s, e in zip(source, edit, strict=False))
    for s in source[len(edit) :]:
        yield from ((s, e, 1.0 / len(edit)) for e in edit)


def prepare_joint(edits: Sequence[RowEdit], inject: bool, like: Tensor) -> tuple[JointEdit, ...]:
    """The edited rows in groups that are edited alike.

    Mixings are placed already. like: a tensor of the device and the dtype of the values.
    """
    groups: dict[tuple[bool, bool] | None, list[RowEdit]] = {}
    for edit in edits:
        mixing = edit.mixing
        if mixing is None and inject:
            groups.setdefault(None, []).append(edit)
        elif mixing is not None:
            takes, keeps = bool(mixing.from_source.any()), bool(mixing.own.any())
            groups.setdefault((takes, keeps or not takes), []).append(edit)
    with torch.inference_mode(False):  # so that it serves in any mode
        return tuple(_group(rows, kind or (False, False), inject, like) for kind, rows in groups.items())


def _group(rows: Sequence[RowEdit], kind: tuple[bool, bool], inject: bool, like: Tensor) -> JointEdit:
    mixings = [row.mixing for row in rows if row.mixing is not None]
    return JointEdit(
        torch.tensor([row.row for row in rows], device=like.device),
        torch.tensor([row.source for row in rows], device=like.device),
        exactly([mixing.from_source for mixing in mixings], like) if kind[0] else None,
        exactly([mixing.own for mixing in mixings], like) if kind[1] else None,
        inject,
    )
