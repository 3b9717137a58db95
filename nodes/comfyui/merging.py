"""Conditionings of transformers: each prompt goes through the model's `extra_conds`, then they are merged.

Text networks and padding inside a model (Anima, Flux.2, LTX-2) take one prompt at a time, and joint attention
takes no repeated columns. So in OUTER_SAMPLE an entry of P prompts becomes the source's own, and the others'
entries go to a side of their own, which the host processes like any other. In SAMPLER_SAMPLE they come back.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...p2p_core.architecture.dit import Tokens
from ...p2p_core.errors import P2PError
from ...p2p_core.words.prompts import PromptSet
from .advice import naming
from .conditionings import Sides, in_rows, require_prompts
from .families import Family
from .keys import PAIR, SIDE
from .pairing import Entry, pair_of, same, same_shapes, unlike_values
from .state import NODE

TEXT = "c_crossattn"
_NOT_FOR_ROWS = ("area", "mask", "control", "hooks", "gligen")  # what the host would copy to other sides


@dataclass(frozen=True, eq=False)
class Padded:
    """Text of P prompts in one tensor. starts, lengths: where each stands among T columns."""

    text: Tensor
    starts: tuple[int, ...]
    lengths: tuple[int, ...]

    @property
    def equal(self) -> bool:
        return len(set(self.lengths)) == 1

    def outside(self, tokens: Tokens) -> Tensor:
        """[P, T], True in columns that a prompt does not see: all but its own and its learned padding."""
        columns = torch.arange(tokens.padded(self.text.shape[1]))
        stops = [s + tokens.padded(n) for s, n in zip(self.starts, self.lengths, strict=True)]
        start, stop = (torch.tensor(value)[:, None] for value in (self.starts, stops))
        return (columns < start) | (columns >= stop)


def padded(texts: Sequence[Tensor], tokens: Tokens) -> Padded:
    """[1, T_i, C] each → [P, T, C], zeros around each as the family pads."""
    lengths = tuple(text.shape[1] for text in texts)
    starts = tuple(tokens.place(length, max(lengths)) for length in lengths)
    columns = max(start + length for start, length in zip(starts, lengths, strict=True))
    if columns == min(lengths):
        return Padded(torch.cat(list(texts)), starts, lengths)
    rows = texts[0].new_zeros(len(texts), columns, texts[0].shape[2])
    for row, text, start in zip(rows, texts, starts, strict=True):
        row[start : start + text.shape[1]] = text[0]
    return Padded(rows, starts, lengths)


class Merging:
    """The prompts of one sampling. texts: by the host's name of each merged entry, its padded prompts."""

    def __init__(self, family: Family) -> None:
        self.family, self.tokens = family, family.tokens
        self.texts: dict[Any, Padded] = {}
        self._sources: dict[Any, Mapping[str, Any]] = {}
        self._prompts: dict[Any, tuple[Any, ...]] = {}  # by an entry, those of its edits
        self._columns: tuple[int, ...] = ()  # of the prompts, without pictures
        self._leads: dict[Any, int] = {}

    def rows_of_pairs(self, conds: Sides, prompts: PromptSet, samples: int) -> dict[str, list[Entry]]:
        """All entries as the model may see them: paired ones as their source's, the others on `SIDE`.

        Raises P2PError where they are not of these prompts.
        """
        require_prompts(conds, prompts)
        self._columns = tuple(prompt.columns for prompt in prompts.prompts)
        others: list[Entry] = []
        sides = {
            side: [self._source(side, entry, others) for entry in entries] for side, entries in conds.items()
        }
        return in_rows({**sides, SIDE: others} if others else sides, prompts, samples)

    def _source(self, side: str, entry: Entry, others: list[Entry]) -> Entry:
        found = pair_of(entry)
        if found is None or found.rows == 1:
            return entry
        if entry["cross_attn"] is not found.stacked:
            raise P2PError(
                "the text of Prompt Pair as it is",
                "one that another node changed",
                "Write all text into the prompts of Prompt Pair, and take out what changes a CONDITIONING.",
            )
        common = {key: value for key, value in entry.items() if key not in found.keys}
        rows = [{**common, **own, "cross_attn": text, "uuid": uuid.uuid4()} for text, own in found.each]
        rows[0]["uuid"] = entry["uuid"]
        for row in rows[1:]:
            others.append({k: v for k, v in row.items() if k not in _NOT_FOR_ROWS} | {"prompt_type": side})
        self._prompts[entry["uuid"]] = tuple(row["uuid"] for row in rows[1:])
        return rows[0]

    def source(self, entry: Entry) -> Mapping[str, Any]:
        """What the model is given for the source prompt of an entry alone."""
        own = self._sources.get(entry["uuid"])
        return entry["model_conds"] if own is None else own

    def hidden(self, options: Mapping[str, Any], batch: int, device: torch.device) -> Tensor | None:
        """[B, T], True where a row of a call has padding that is not attended to; None without any."""
        texts = self._texts(options)
        if texts is None:
            return None
        rows = batch // len(texts)
        columns = next(text.text.shape[1] for text in texts if text is not None)
        hidden = torch.zeros(batch, self.tokens.padded(columns), dtype=torch.bool)
        for part, text in enumerate(texts):
            if text is not None:
                outside = text.outside(self.tokens)
                hidden[part * rows : (part + 1) * rows] = outside.repeat(rows // len(outside), 1)
        return hidden.to(device) if bool(hidden.any()) else None

    def lengths(self, options: Mapping[str, Any], batch: int, columns: int) -> tuple[int, ...] | None:
        """The text columns of each row of a call, where they are not the same `columns` in all."""
        texts = self._texts(options)
        if texts is None:
            return None
        rows = batch // len(texts)
        lengths = [(columns,) if text is None else text.lengths for text in texts]
        return tuple(count for each in lengths for count in each * (rows // len(each)))

    def _texts(self, options: Mapping[str, Any]) -> list[Padded | None] | None:
        """The padded text of each part of a batch, None for a part without; None where no part has any."""
        texts = [self.texts.get(name) for name in options.get("uuids", ())]
        texts = [None if text is None or text.equal else text for text in texts]
        return texts if any(texts) else None

    def merge(self, executor: Any, guider: Any, *args: Any, **kwargs: Any) -> Any:
        """A SAMPLER_SAMPLE wrapper."""
        sides = dict(guider.conds)
        others = {entry["uuid"]: entry["model_conds"] for entry in sides.pop(SIDE, [])}
        with naming(NODE):
            guider.conds = {
                side: [self._merged(entry, others) for entry in entries] for side, entries in sides.items()
            }
        return executor(guider, *args, **kwargs)

    def _merged(self, entry: Entry, others: Mapping[Any, Mapping[str, Any]]) -> Entry:
        names = self._prompts.get(entry["uuid"])
        if names is None:
            return entry
        prompts = [entry["model_conds"], *(others[name] for name in names)]
        self._sources[entry["uuid"]] = prompts[0]
        keys = dict.fromkeys(key for conds in prompts for key in conds if key != PAIR)
        joined = {key: self._joined(entry["uuid"], key, [c.get(key) for c in prompts]) for key in keys}
        return {**entry, "model_conds": {key: cond for key, cond in joined.items() if cond is not None}}

    def _joined(self, name: Any, key: str, conds: Sequence[Any]) -> Any:
        """One of the host's conds for all prompts."""
        values: list[Any] = [getattr(cond, "cond", None) for cond in conds]
        if key == TEXT:
            self.texts[name] = padded(values, self.tokens)
            _require_lengths(self.family, self.texts[name])
            self._leads[name] = self._lead(self.texts[name]) if self.family.pictures else 0
            return type(conds[0])(self.texts[name].text)
        if key == "num_tokens":
            return type(conds[0])(max(values))
        if key == "attention_mask":
            return _joined_masks(conds)
        if all(same(values[0], value) for value in values[1:]):
            return conds[0]
        if all(isinstance(value, Tensor) and value.shape == values[0].shape for value in values):
            return type(conds[0])(_rows(values))
        if same_shapes(values):
            return type(conds[0])([_rows(each) for each in zip(*values, strict=True)])
        raise unlike_values(key)

    def _lead(self, text: Padded) -> int:
        """How many text columns are before the prompts: all that a text has more than its prompt."""
        leads = [length - own for length, own in zip(text.lengths, self._columns, strict=True)]
        if len(set(leads)) > 1:
            raise P2PError(
                "source and edit encoded with the texts of Prompt Pair and with the same images",
                f"{' and '.join(map(str, leads))} tokens more than their texts have",
                "Connect the same images to the encoders of source and edit, and copy both texts exactly.",
            )
        return max(0, leads[0])

    def lead(self, options: Mapping[str, Any]) -> int:
        """How many text columns of a call are before its prompts."""
        return max((self._leads.get(name, 0) for name in options.get("uuids", ())), default=0)


def _require_lengths(family: Family, text: Padded) -> None:
    """Raises P2PError for prompts of different lengths that the family cannot tell from their padding."""
    if family.unequal is not None and not text.equal:
        fit = f", or of at most {family.unequal}" if family.unequal else ""
        raise P2PError(
            f"prompts of equally many tokens{fit} for {family.name}",
            f"prompts of {' and '.join(map(str, text.lengths))} tokens",
            "Add or remove words, so that source and edit have equally many tokens.",
        )


def _rows(values: Sequence[Tensor]) -> Tensor:
    """Row r of prompt r mod P: of tensors with one row each, or with a row for each row of the latent."""
    if len(values[0]) == 1:
        return torch.cat(list(values))
    rows = values[0].clone()
    for prompt, value in enumerate(values):
        rows[prompt :: len(values)] = value[prompt :: len(values)]
    return rows


def _joined_masks(conds: Sequence[Any]) -> Any:
    """Masks of text, or None where all of it is seen: padding is hidden by the attention itself."""
    if all(cond is None or bool(cond.cond.all()) for cond in conds):
        return None
    if any(cond is None for cond in conds) or len({cond.cond.shape for cond in conds}) > 1:
        raise P2PError(
            "attention masks of as many tokens on source and edit",
            "others",
            "Use prompts of as many tokens, or encode them without a mask.",
        )
    return type(conds[0])(torch.cat([cond.cond for cond in conds]))
