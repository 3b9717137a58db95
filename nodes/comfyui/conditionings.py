"""Paired conditionings in a sampling: checks their prompts, and expands their entries to rows."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...p2p_core.errors import P2PError
from ...p2p_core.words.prompts import PromptSet
from .controls import control_per_row
from .given import require_text
from .keys import PAIR
from .pairing import Entry, Pair, pair_of, unlike_values
from .rows import repeated_per_row

Sides = Mapping[str, list[Entry]]  # of a guider: positive, negative, ...


def rows_of_pairs(conds: Sides, prompts: PromptSet, samples: int) -> dict[str, list[Entry]]:
    """All entries, ready for a U-Net, with rows in the order of the paired latent.

    Raises P2PError if they do not belong to these prompts.
    """
    require_prompts(conds, prompts)
    for side, entries in conds.items():
        for entry, found in [(entry, found) for entry in entries if (found := pair_of(entry))]:
            for key in sorted(found.apart):
                raise unlike_values(key)
            if side in edited_sides(conds):
                _require_columns(prompts, entry.get("cross_attn"))
    return in_rows(conds, prompts, samples)


def require_prompts(conds: Sides, prompts: PromptSet) -> None:
    """Raises P2PError if entries do not belong to these prompts."""
    for side, entries in conds.items():
        pairs = [pair_of(entry) for entry in entries]
        if side == "positive" and not any(pairs):
            raise P2PError(
                f"a paired CONDITIONING on the sampler's {side} input",
                "a plain one",
                "Connect the CONDITIONING of Prompt Pair (or Pair Conditioning) to the sampler.",
            )
        if side in edited_sides(conds):
            _require_one_edit(entries)
        for found in pairs:
            if found is not None:
                _require_prompts(prompts, found, side in edited_sides(conds))


def in_rows(conds: Sides, prompts: PromptSet, samples: int) -> dict[str, list[Entry]]:
    """All entries with rows in the order of the paired latent, and without their guards."""
    controls: dict[int, Any] = {}
    count = prompts.count
    return {side: [_in_rows(entry, samples, count, controls) for entry in conds[side]] for side in conds}


def edited_sides(conds: Sides) -> frozenset[str]:
    """The sides that use the source's attention: paired ones, except negatives."""
    paired = (side for side, entries in conds.items() if any(map(pair_of, entries)))
    return frozenset(side for side in paired if "negative" not in side)


def ids(conds: Sides, sides: Collection[str]) -> frozenset[uuid.UUID]:
    """The host's ids of the entries of these sides, as they appear in model calls."""
    return frozenset(entry["uuid"] for side in sides for entry in conds[side])


def plain_ids(conds: Sides, sides: Collection[str]) -> frozenset[uuid.UUID]:
    """The ids of the entries with one prompt for all rows, such as a region without an edit."""
    return frozenset(e["uuid"] for side in sides for e in conds[side] if pair_of(e) is None)


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


def _in_rows(entry: Entry, samples: int, prompts: int, controls: dict[int, Any]) -> Entry:
    """The entry without the guard, with its own batches (other than the prompts) repeated per row."""
    found = pair_of(entry)
    stacked = found.keys if found else ()
    repeated = {key: _per_row(value, samples, prompts) for key, value in entry.items() if key not in stacked}
    if "control" in entry:
        repeated["control"] = control_per_row(entry["control"], samples, prompts, controls)
    return {**entry, **repeated, "model_conds": {k: v for k, v in entry["model_conds"].items() if k != PAIR}}


def _per_row(value: Any, samples: int, prompts: int) -> Any:
    """A batched tensor, or a list of them (reference latents), repeated per row; any other value as it is."""
    if isinstance(value, list):
        return [_per_row(each, samples, prompts) for each in value]
    if isinstance(value, Tensor) and value.ndim > 1 and value.shape[0] > 1:
        return repeated_per_row(value, samples, prompts)
    return value


def _require_prompts(prompts: PromptSet, found: Pair, edited: bool) -> None:
    copies = found.rows == 1 and len(set(prompts.prompts)) == 1  # the host repeats a single prompt
    wanted = prompts.texts[:1] if copies else prompts.texts
    others = edited and found.texts is not None and found.texts != wanted
    if others or (found.rows != prompts.count and not copies):
        raise P2PError(
            f"a CONDITIONING with the MODEL's prompts, {' → '.join(map(repr, prompts.texts))}",
            " → ".join(map(repr, found.texts)) if found.texts else f"one with {found.rows} prompts",
            "Connect the sampler's CONDITIONING and the MODEL's nodes to the same Prompt Pair.",
        )


def _require_columns(prompts: PromptSet, encoded: Any) -> None:
    """Raises P2PError if [P, T, C] is not made of repeats of its prompts' columns."""
    for prompt, row in zip(prompts.prompts, require_text(encoded), strict=False):
        own = prompt.columns
        if row.shape[0] % own or not torch.equal(row, row[:own].repeat(row.shape[0] // own, 1)):
            raise P2PError(
                f"a conditioning with the {own} tokens of its prompts",
                f"one with {row.shape[0]}",
                "Write all text into the prompts of Prompt Pair; Conditioning (Concat) is not supported.",
            )


def _require_one_edit(entries: Sequence[Entry]) -> None:
    """Raises P2PError for regions with different edits and unknown prompts."""
    unknown = [entry for entry in entries if (found := pair_of(entry)) and found.texts is None]
    regions = any("area" in entry or "mask" in entry for entry in unknown)
    if regions and not all(torch.equal(entry["cross_attn"], unknown[0]["cross_attn"]) for entry in unknown):
        raise P2PError(
            "one region with an edit",
            "several regions with different edits",
            "Give the other regions the same prompt on both sides, or edit them in a second sampling.",
        )
