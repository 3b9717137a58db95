"""Paired conditionings: one tensor with a row for the source and one for each edit."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from comfy.conds import CONDConstant
from torch import Tensor

from ...p2p_core.errors import P2PError
from ...p2p_core.words.prompts import PromptSet
from .controls import control_per_row
from .rows import per_row

KEY = "p2p_pair"
_MOST_COLUMNS = 384 * 77  # limit for repeated prompts; the common multiple of 19 and 20 chunks is 380

Conditioning = list[list[Any]]
Entry = dict[str, Any]  # one entry of a conditioning, as the host converts it for a sampling
Sides = Mapping[str, list[Entry]]  # of a guider: positive, negative, ...


@dataclass(frozen=True)
class Pair:
    """The contents of a paired entry: P rows under these keys, and the prompts if known."""

    rows: int
    texts: tuple[str, ...] | None
    keys: frozenset[str]


class PairGuard(CONDConstant):
    """Carries the Pair of a conditioning. The sampling wrapper removes it; a plain sampling fails on it."""

    def process_cond(self, batch_size: int, **kwargs: Any) -> Any:
        raise P2PError(
            "a MODEL that went through Word Swap (or another Prompt-to-Prompt edit)",
            f"a plain MODEL with a paired CONDITIONING of {self.cond.rows} prompts",
            "Connect the MODEL output of the Prompt-to-Prompt node to the sampler, or use CLIP Text Encode.",
            "Prompt Pair",
        )


def pair(conditionings: Sequence[Conditioning], texts: tuple[str, ...] | None = None) -> Conditioning:
    """One CONDITIONING of P rows from P matching ones, entry by entry. [1, T, C] each → [P, T, C].

    A single one is unchanged apart from a note of its prompt, so that a plain MODEL accepts it too. An entry
    that is the same on all sides, such as a region without an edit, is unchanged if another entry differs.
    """
    counts = [len(c) for c in conditionings]
    if len(set(counts)) > 1 or not counts[0]:
        raise _unlike("the same number of entries", " and ".join(map(str, counts)))
    sides = list(zip(*conditionings, strict=True))
    same = [texts is None and all(_same(entries[0], other) for other in entries[1:]) for entries in sides]
    same = [False] * len(same) if all(same) else same
    return [
        entries[0] if alike else _pair_entry(entries, texts)
        for entries, alike in zip(sides, same, strict=True)
    ]


def _pair_entry(entries: Sequence[list[Any]], texts: tuple[str, ...] | None) -> list[Any]:
    tensors, options = [entry[0] for entry in entries], [entry[1] for entry in entries]
    for option in options:
        if KEY in option or KEY in option.get("model_conds", {}):
            raise _unlike("unpaired conditionings", "one that is already paired")
    merged: dict[str, Any] = {}
    keys = sorted({key for option in options for key in option})
    for key in keys:
        merged[key] = _merge(key, [option.get(key) for option in options])
    stacked = {key for key in keys if merged[key] is not options[0].get(key)}
    found = Pair(len(entries), texts, frozenset({"cross_attn", *stacked}))
    if found.rows == 1:
        return [tensors[0], {**merged, KEY: found}]
    guard = PairGuard(found)
    merged["model_conds"] = {**merged.get("model_conds", {}), KEY: guard}
    return [_stack_text(tensors), merged]


def _stack_text(tensors: Sequence[Tensor]) -> Tensor:
    """[1, T_i, C] each → [P, T, C], T the least common multiple; repeated columns change no attention."""
    for tensor in tensors:
        if not isinstance(tensor, Tensor) or tensor.ndim != 3 or tensor.shape[0] != 1:
            shape = tuple(getattr(tensor, "shape", ())) or type(tensor).__name__
            raise _unlike("conditionings with one prompt each, shaped [1, tokens, channels]", str(shape))
    lengths, widths = [t.shape[1] for t in tensors], {t.shape[2] for t in tensors}
    longest = math.lcm(*lengths)
    if len(widths) > 1:
        raise _unlike(
            "text encodings of the same width", f"{' and '.join(map(str, sorted(widths)))} channels"
        )
    if longest > max(_MOST_COLUMNS, *lengths):
        raise P2PError(
            f"prompts whose lengths have a common multiple of at most {_MOST_COLUMNS} tokens",
            f"{' and '.join(map(str, lengths))} tokens",
            "Shorten the longer prompt or lengthen the shorter one to the same number of 77-token chunks.",
        )
    return torch.cat([t.repeat(1, longest // t.shape[1], 1) for t in tensors])


def _merge(key: str, values: Sequence[Any]) -> Any:
    """One value for all prompts: tensors per prompt are stacked, everything else must be equal."""
    first = values[0]
    if all(_same(first, value) for value in values[1:]) and key != "pooled_output":
        return first
    if all(isinstance(v, Tensor) and v.shape == first.shape and v.shape[0] == 1 for v in values):
        return torch.cat(list(values))
    if all(value is None for value in values):
        return None
    raise _unlike(f"the same {key!r} on source and edit", "different ones", _AFTER)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return False
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    return a is b or bool(a == b)


_AFTER = " Apply whatever both share (a ControlNet, an area) after the pairing."


def _unlike(expected: str, got: str, more: str = "") -> P2PError:
    return P2PError(expected, got, "Encode source and edit with the same CLIP and the same nodes." + more)


def source_of(conditioning: Conditioning) -> tuple[Conditioning, str]:
    """The CONDITIONING of the source prompt alone, for a plain MODEL, and its text ("" if unknown).

    A plain CONDITIONING is returned unchanged.
    """
    pairs = [_pair_of(entry[1]) for entry in conditioning]
    texts = [pair.texts[0] for pair in pairs if pair is not None and pair.texts]
    return [
        _first(entry[0], entry[1], pair) for entry, pair in zip(conditioning, pairs, strict=True)
    ], "".join(texts[:1])


def _first(tensor: Tensor, options: dict[str, Any], found: Pair | None) -> list[Any]:
    """An entry with the first row of everything it holds per prompt."""
    stacked = found.keys if found else ()
    own = {key: value[:1] if key in stacked else value for key, value in options.items() if key != KEY}
    if "model_conds" in own:
        own["model_conds"] = {key: cond for key, cond in own["model_conds"].items() if key != KEY}
    return [tensor[:1], own]


# In a sampling


def rows_of_pairs(conds: Sides, prompts: PromptSet, samples: int) -> dict[str, list[Entry]]:
    """All entries, ready for the model, with rows in the order of the paired latent.

    Raises P2PError if they do not belong to these prompts.
    """
    for side, entries in conds.items():
        pairs = [_pair_of(entry) for entry in entries]
        if side == "positive" and not any(pairs):
            raise P2PError(
                f"a paired CONDITIONING on the sampler's {side} input",
                "a plain one",
                "Connect the CONDITIONING of Prompt Pair (or Pair Conditioning) to the sampler.",
            )
        if side in edited_sides(conds):
            _require_one_edit(entries)
        for entry, found in zip(entries, pairs, strict=True):
            if found is not None:
                _require_prompts(prompts, found, side in edited_sides(conds))
            if found is not None and side in edited_sides(conds):
                _require_columns(prompts, entry["cross_attn"])
    controls: dict[int, Any] = {}
    count = len(prompts.prompts)
    return {side: [_in_rows(entry, samples, count, controls) for entry in conds[side]] for side in conds}


def edited_sides(conds: Sides) -> frozenset[str]:
    """The sides that use the source's attention: paired ones, except negatives."""
    paired = (side for side, entries in conds.items() if any(map(_pair_of, entries)))
    return frozenset(side for side in paired if "negative" not in side)


def ids(conds: Sides, sides: Collection[str]) -> frozenset[uuid.UUID]:
    """The host's ids of the entries of these sides, as they appear in model calls."""
    return frozenset(entry["uuid"] for side in sides for entry in conds[side])


def plain_ids(conds: Sides, sides: Collection[str]) -> frozenset[uuid.UUID]:
    """The ids of the entries with one prompt for all rows, such as a region without an edit."""
    return frozenset(e["uuid"] for side in sides for e in conds[side] if _pair_of(e) is None)


def keep_ids_apart(edited: Collection[str]) -> Callable[..., Any]:
    """A SAMPLER_SAMPLE wrapper: gives entries of other sides new ids if they share one with an `edited` side.

    The host copies entries with their ids between sides, so that all sides have the same areas.
    """

    def wrapper(executor: Any, guider: Any, *args: Any, **kwargs: Any) -> Any:
        taken = ids(guider.conds, edited)
        others = {side: entries for side, entries in guider.conds.items() if side not in edited}
        renamed = {
            side: [{**entry, "uuid": uuid.uuid4()} if entry["uuid"] in taken else entry for entry in entries]
            for side, entries in others.items()
        }
        guider.conds = {**guider.conds, **renamed}
        return executor(guider, *args, **kwargs)

    return wrapper


def _pair_of(entry: Entry) -> Pair | None:
    guard = entry.get("model_conds", {}).get(KEY)
    return entry.get(KEY) if guard is None else guard.cond


def _in_rows(entry: Entry, samples: int, prompts: int, controls: dict[int, Any]) -> Entry:
    """The entry without the guard, with its own batches (other than the prompts) repeated per row."""
    found = _pair_of(entry)
    stacked = found.keys if found else ()
    repeated = {
        key: per_row(value, samples, prompts)
        for key, value in entry.items()
        if isinstance(value, Tensor) and value.ndim > 1 and value.shape[0] > 1 and key not in stacked
    }
    if "control" in entry:
        repeated["control"] = control_per_row(entry["control"], samples, prompts, controls)
    return {**entry, **repeated, "model_conds": {k: v for k, v in entry["model_conds"].items() if k != KEY}}


def _require_prompts(prompts: PromptSet, found: Pair, edited: bool) -> None:
    copies = found.rows == 1 and len(set(prompts.prompts)) == 1  # the host repeats a single prompt
    wanted = prompts.texts[:1] if copies else prompts.texts
    others = edited and found.texts is not None and found.texts != wanted
    if others or (found.rows != len(prompts.prompts) and not copies):
        raise P2PError(
            f"a CONDITIONING with the MODEL's prompts, {' → '.join(map(repr, prompts.texts))}",
            " → ".join(map(repr, found.texts)) if found.texts else f"one with {found.rows} prompts",
            "Connect the sampler's CONDITIONING and the MODEL's nodes to the same Prompt Pair.",
        )


def _require_columns(prompts: PromptSet, encoded: Tensor) -> None:
    """Raises P2PError if [P, T, C] is not made of repeats of its prompts' columns."""
    for prompt, row in zip(prompts.prompts, encoded, strict=False):
        own = prompt.columns
        if row.shape[0] % own or not torch.equal(row, row[:own].repeat(row.shape[0] // own, 1)):
            raise P2PError(
                f"a conditioning with the {own} tokens of its prompts",
                f"one with {row.shape[0]}",
                "Write all text into the prompts of Prompt Pair; Conditioning (Concat) is not supported.",
            )


def _require_one_edit(entries: Sequence[Entry]) -> None:
    """Raises P2PError for regions with different edits and unknown prompts."""
    unknown = [entry for entry in entries if (found := _pair_of(entry)) and found.texts is None]
    regions = any("area" in entry or "mask" in entry for entry in unknown)
    if regions and not all(torch.equal(entry["cross_attn"], unknown[0]["cross_attn"]) for entry in unknown):
        raise P2PError(
            "one region with an edit",
            "several regions with different edits",
            "Give the other regions the same prompt on both sides, or edit them in a second sampling.",
        )
