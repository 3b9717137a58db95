"""The host's attention with every edit made on maps, built in float64: the reference of the transformers.

An `optimized_attention_override` that knows the rows by their order (the conditional part holds a source and
then its edit, sample by sample) and takes the layout of a call from the lengths it was made for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

NAMES = ("q", "k", "v", "heads", "mask", "attn_precision", "skip_reshape", "skip_output_reshape")


@dataclass(frozen=True)
class Lengths:
    """text and image: (start, count) in a joint call of `total` tokens; joint is False for separate calls."""

    text: tuple[int, int]
    image: tuple[int, int]
    total: int
    joint: bool


@dataclass(frozen=True)
class FloatEdit:
    """What the maps of the edit's row become. w_s, w_e: mixing of the text columns, None for none."""

    w_s: Tensor | None = None
    w_e: Tensor | None = None
    inject: bool = False


class FloatMaps:
    """edits: of rows 1..E of each sample, in order. columns: text columns of a word, per prompt.

    words: for each call that attends to text, the word's map in the rows of the conditional part, [P·B, I].
    """

    def __init__(
        self, lengths: Lengths, edits: list[FloatEdit], columns: list[list[int]] | None = None
    ) -> None:
        self.lengths, self.edits, self.columns, self.calls = lengths, edits, columns, 0
        self.words: list[Tensor] = []

    def __call__(self, function: Any, *args: Any, **kwargs: Any) -> Tensor:
        given = {**dict(zip(NAMES, args, strict=False)), **kwargs}
        split, heads = given.get("skip_reshape", False), given["heads"]
        q, k, v = (_split(given[name], heads, split) for name in "qkv")
        kind = self._kind(q.shape[2], k.shape[2], given["transformer_options"])
        if kind is None:
            return function(*args, **kwargs)
        self.calls += 1
        k, v = (t.repeat_interleave(q.shape[1] // t.shape[1], dim=1) for t in (k, v))
        maps = list(_maps(q, k, given.get("mask")).unbind())
        parts = given["transformer_options"]["cond_or_uncond"]
        for row, source, edit in self._rows(len(q), parts):
            maps[row] = self._edited(kind, q, k, given.get("mask"), row, source, edit)
        if kind != "self" and self.columns is not None:
            size = len(q) // len(parts)
            self._note([maps[row] for row in range(len(q)) if parts[row // size] == 0])
        out = (torch.stack(maps) @ v).to(given["q"].dtype)
        return out if given.get("skip_output_reshape") else out.transpose(1, 2).flatten(2)

    def _note(self, maps: list[Tensor]) -> None:
        assert self.columns is not None
        start = self.lengths.text[0] if self.lengths.joint else 0
        first, count = self.lengths.image if self.lengths.joint else (0, self.lengths.image[1])
        words = [
            map[:, first : first + count, [start + c for c in self.columns[row % len(self.columns)]]]
            for row, map in enumerate(maps)
        ]
        self.words.append(torch.stack([word.sum(-1).mean(0) for word in words]))

    def _kind(self, queries: int, keys: int, options: dict[str, Any]) -> str | None:
        if self.lengths.joint:
            return "joint" if queries == keys == self.lengths.total else None
        if "block_index" not in options and "block_type" in options:
            return None
        if queries != self.lengths.image[1]:
            return None
        return {self.lengths.image[1]: "self", self.lengths.text[1]: "cross"}.get(keys)

    def _rows(self, batch: int, parts: list[int]) -> list[tuple[int, int, FloatEdit]]:
        size, prompts = batch // len(parts), 1 + len(self.edits)
        starts = [size * n for n, part in enumerate(parts) if part == 0]
        return [
            (start + first + n, start + first, edit)
            for start in starts
            for first in range(0, size, prompts)
            for n, edit in enumerate(self.edits, start=1)
        ]

    def _edited(
        self, kind: str, q: Tensor, k: Tensor, mask: Tensor | None, e: int, s: int, edit: FloatEdit
    ) -> Tensor:
        own, source = (_maps(q, k, mask, row) for row in (e, s))
        if kind == "self":
            return source if edit.inject else own
        if kind == "cross":
            if edit.w_s is None or edit.w_e is None:
                return own
            return source @ edit.w_s.double() + own * edit.w_e.double()
        text, image = (slice(a, a + n) for a, n in (self.lengths.text, self.lengths.image))
        base = own
        if edit.inject:
            q, k = q.clone(), k.clone()
            q[e][:, image], k[e][:, image] = q[s][:, image], k[s][:, image]
            base = _maps(q, k, mask, e)
        new = base[:, image].clone()
        if edit.w_s is not None and edit.w_e is not None:
            from_source, kept = source[:, image, text], base[:, image, text] * edit.w_e.double()
            if edit.inject and edit.w_s.any():
                new = source[:, image].clone()
            elif edit.w_s.any():
                mass = base[:, image, text].sum(-1, keepdim=True)
                from_source = mass * from_source / from_source.sum(-1, keepdim=True)
            new[..., text] = from_source @ edit.w_s.double() + kept
        result = own.clone()
        result[:, image] = new
        return result


def _split(tokens: Tensor, heads: int, is_split: bool) -> Tensor:
    tokens = tokens.double()
    return tokens if is_split else tokens.flatten(2).unflatten(-1, (heads, -1)).transpose(1, 2)


def _maps(q: Tensor, k: Tensor, mask: Tensor | None, row: int | None = None) -> Tensor:
    """[B, H, N, K], or [H, N, K] of one row."""
    logits = q @ k.mT / q.shape[-1] ** 0.5
    if mask is not None:
        mask = mask if mask.ndim == 4 else mask[:, None] if mask.ndim == 3 else mask[None, None]
        shut = torch.zeros(mask.shape).masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else mask
        logits = logits + shut.double()
    maps = torch.softmax(logits, dim=-1)
    return maps if row is None else maps[row]
