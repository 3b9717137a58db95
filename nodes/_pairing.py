"""Paired conditionings: one tensor with a row for the source and one for each edit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from comfy.conds import CONDConstant
from torch import Tensor

from ..p2p_core.errors import P2PError

KEY = "p2p_pair"
_LONGEST_REPEAT = 4  # the host's own limit for repeating a prompt's columns

Conditioning = list[list[Any]]


@dataclass(frozen=True)
class Pair:
    """What a paired conditioning holds: P rows; the prompts, where they are known."""

    rows: int
    texts: tuple[str, ...] | None


class PairGuard(CONDConstant):
    """Carries the Pair of a conditioning. The sampling wrapper takes it out; every other sampling meets it here."""

    def process_cond(self, batch_size: int, **kwargs: Any) -> Any:
        raise P2PError(
            "a MODEL that went through Word Swap (or another Prompt-to-Prompt edit)",
            f"a plain MODEL with a paired CONDITIONING of {self.cond.rows} prompts",
            "Connect the MODEL output of the Prompt-to-Prompt node to the sampler, or use CLIP Text Encode.",
            "Prompt Pair",
        )


def pair_of(cond: dict[str, Any]) -> Pair | None:
    """The Pair of one entry of a conditioning, as the host converts it, or None."""
    guard = cond.get("model_conds", {}).get(KEY)
    return None if guard is None else guard.cond


def without_guard(cond: dict[str, Any]) -> dict[str, Any]:
    """The entry as the model may see it."""
    return {**cond, "model_conds": {k: v for k, v in cond["model_conds"].items() if k != KEY}}


def pair(conditionings: Sequence[Conditioning], texts: tuple[str, ...] | None = None) -> Conditioning:
    """One CONDITIONING of P rows from P conditionings of the same make, entry by entry. [1, T, C] each → [P, T, C]."""
    counts = [len(c) for c in conditionings]
    if len(set(counts)) > 1 or not counts[0]:
        raise _unlike("the same number of entries", " and ".join(map(str, counts)))
    return [_pair_entry(entries, texts) for entries in zip(*conditionings, strict=True)]


def _pair_entry(entries: Sequence[list[Any]], texts: tuple[str, ...] | None) -> list[Any]:
    tensors, options = [entry[0] for entry in entries], [entry[1] for entry in entries]
    for option in options:
        if KEY in option.get("model_conds", {}):
            raise _unlike("unpaired conditionings", "one that is a pair already")
    merged: dict[str, Any] = {}
    keys = sorted({key for option in options for key in option})
    for key in keys:
        merged[key] = _merge(key, [option.get(key) for option in options])
    guard = PairGuard(Pair(len(entries), texts))
    merged["model_conds"] = {**merged.get("model_conds", {}), KEY: guard}
    return [_stack_text(tensors), merged]


def _stack_text(tensors: Sequence[Tensor]) -> Tensor:
    """[1, T_i, C] each → [P, T, C], T their least common multiple; repeated columns leave attention as it is."""
    for tensor in tensors:
        if not isinstance(tensor, Tensor) or tensor.ndim != 3 or tensor.shape[0] != 1:
            shape = tuple(getattr(tensor, "shape", ())) or type(tensor).__name__
            raise _unlike("conditionings of one prompt each, shaped [1, tokens, channels]", str(shape))
    lengths, widths = [t.shape[1] for t in tensors], {t.shape[2] for t in tensors}
    longest = math.lcm(*lengths)
    if len(widths) > 1:
        raise _unlike("text encodings of one kind", f"{' and '.join(map(str, sorted(widths)))} channels")
    if longest > _LONGEST_REPEAT * min(lengths):
        raise _unlike("prompts of matching length", f"{' and '.join(map(str, lengths))} tokens")
    return torch.cat([t.repeat(1, longest // t.shape[1], 1) for t in tensors])


def _merge(key: str, values: Sequence[Any]) -> Any:
    """One value for all prompts: tensors that belong to a prompt are stacked, everything else must agree."""
    first = values[0]
    if all(_same(first, value) for value in values[1:]) and key != "pooled_output":
        return first
    if all(isinstance(v, Tensor) and v.shape == first.shape and v.shape[0] == 1 for v in values):
        return torch.cat(list(values))
    if all(value is None for value in values):
        return None
    raise _unlike(f"the same {key!r} on source and edit", "different ones")


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return False
    return a is b or bool(a == b)


def _unlike(expected: str, got: str) -> P2PError:
    return P2PError(expected, got, "Encode source and edit with the same CLIP and the same nodes.")
