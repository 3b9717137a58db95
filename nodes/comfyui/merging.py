"""Conditionings of transformers: each prompt goes through the model's `extra_conds`, then they are merged.

Text networks and padding inside a model (Anima, Flux.2, LTX-2) take one prompt at a time, and joint attention
takes no repeated columns. So in OUTER_SAMPLE an entry of P prompts becomes the source's own, and the others'
entries go to a side of their own, which the host processes like any other. In SAMPLER_SAMPLE they come back.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...p2p_core.architecture.dit import Span, Tokens
from ...p2p_core.errors import P2PError
from ...p2p_core.words.prompts import PromptSet
from .advice import naming
from .conditionings import Sides, in_rows, require_prompts
from .control_text import with_own_text
from .families import Family
from .keys import PAIR, SIDE
from .padded_texts import Padded, Texts, padded
from .pairing import Entry, Pair, pair_of, same, same_shapes, unlike_values
from .state import NODE

TEXT = "c_crossattn"
_NOT_FOR_ROWS = ("area", "mask", "control", "hooks", "gligen")  # what the host would copy to other sides


def _each(entry: Entry, found: Pair) -> Sequence[tuple[Tensor, dict[str, Any]]]:
    """Text and values of each prompt of an entry; zeros where Conditioning Zero Out made zeros of them."""
    if entry["cross_attn"] is found.stacked:
        return found.each
    if bool(entry["cross_attn"].any()):
        raise P2PError(
            "the text of Prompt Pair as it is",
            "one that another node changed",
            "Write all text into the prompts of Prompt Pair, and take out what changes a CONDITIONING.",
        )
    zeros = {key for key, value in entry.items() if isinstance(value, Tensor) and not bool(value.any())}
    return [
        (torch.zeros_like(text), {k: torch.zeros_like(v) if k in zeros else v for k, v in own.items()})
        for text, own in found.each
    ]


class Merging:
    """The prompts of one sampling. texts: by the host's name of each merged entry, those of its prompts."""

    def __init__(self, family: Family) -> None:
        self.family, self.tokens = family, family.tokens
        self.texts: dict[Any, Texts] = {}
        self._sources: dict[Any, Mapping[str, Any]] = {}
        self._prompts: dict[Any, tuple[Any, ...]] = {}  # by an entry, those of its edits
        self._encoded: list[Tensor] = []  # the text of each prompt, before the model sees it
        self._columns: tuple[int, ...] = ()  # of the prompts, without pictures
        self._pictures: dict[Any, int] = {}

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
        rows = in_rows({**sides, SIDE: others} if others else sides, prompts, samples)
        if len({text.shape[1] for text in self._encoded}) < 2:
            return rows
        made: dict[int, Any] = {}
        return {side: self._with_own_text(rows[side], made) for side in rows}

    def _with_own_text(self, entries: list[Entry], made: dict[int, Any]) -> list[Entry]:
        """Entries whose ControlNets see each prompt without padding. made: the ControlNets so far."""
        return [
            {**entry, "control": with_own_text(entry["control"], self.spans, made)}
            if "control" in entry
            else entry
            for entry in entries
        ]

    def _source(self, side: str, entry: Entry, others: list[Entry]) -> Entry:
        found = pair_of(entry)
        if found is None or found.rows == 1:
            return entry
        common = {key: value for key, value in entry.items() if key not in found.keys}
        rows = [
            {**common, **own, "cross_attn": text, "uuid": uuid.uuid4()} for text, own in _each(entry, found)
        ]
        rows[0]["uuid"] = entry["uuid"]
        self._encoded += [text for text, _ in found.each]
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
        outside = [None if text is None else text.outside(self.tokens) for text in texts]
        columns = next(each.shape[1] for each in outside if each is not None)
        hidden = torch.zeros(batch, columns, dtype=torch.bool)
        for part, each in enumerate(outside):
            if each is not None:
                hidden[part * rows : (part + 1) * rows] = each.repeat(rows // len(each), 1)
        return hidden.to(device) if bool(hidden.any()) else None

    def lengths(self, options: Mapping[str, Any], batch: int, columns: int) -> tuple[int, ...] | None:
        """The text columns of each row of a call, where they are not the same `columns` in all."""
        texts = self._texts(options)
        if texts is None:
            return None
        rows = batch // len(texts)
        lengths = [(columns,) if text is None else text.text.lengths for text in texts]
        return tuple(count for each in lengths for count in each * (rows // len(each)))

    def spans(self, options: Mapping[str, Any], batch: int) -> tuple[Span, ...] | None:
        """Where the text of each row of a call stands, None where all rows have text in all columns."""
        texts = self._texts(options)
        if texts is None:
            return None
        rows = batch // len(texts)
        columns = next(text.text.text.shape[1] for text in texts if text is not None)
        spans = [(Span(0, columns),) if text is None else text.text.spans for text in texts]
        return tuple(span for each in spans for span in each * (rows // len(each)))

    def _texts(self, options: Mapping[str, Any]) -> list[Texts | None] | None:
        """The padded text of each part of a batch, None for a part without; None where no part has any."""
        texts = [self.texts.get(name) for name in options.get("uuids", ())]
        texts = [None if text is None or text.equal else text for text in texts]
        return texts if any(texts) else None

    def pads(self, name: Any) -> bool:
        """Whether prompts of an entry are padded."""
        return name in self.texts and not self.texts[name].equal

    def cut(self, name: Any, other: Any) -> None:
        """Give an entry without the source's row a name of its own."""
        if name in self.texts:
            self.texts[other] = self.texts[name].of_edits

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
        columns = {key: [conds.get(key) for conds in prompts] for key in keys}
        joined = {key: self._joined(key, conds) for key, conds in columns.items()}
        text = self._padded(columns[TEXT])
        self._pictures[entry["uuid"]] = self._of_pictures(text) if self.family.pictures else 0
        around = [
            tuple(self._padded(columns[key]) for key in names if key in columns)
            for names in (self.family.before, self.family.after)
        ]
        self.texts[entry["uuid"]] = Texts(around[0], text, around[1])
        return {**entry, "model_conds": {key: cond for key, cond in joined.items() if cond is not None}}

    def _padded(self, conds: Sequence[Any]) -> Padded:
        """The text of prompts, without columns where a prompt has none."""
        none = next(cond.cond for cond in conds if cond is not None)[:, :0]
        return padded([none if cond is None else cond.cond for cond in conds], self.tokens)

    def _joined(self, key: str, conds: Sequence[Any]) -> Any:
        """One of the host's conds for all prompts."""
        values: list[Any] = [getattr(cond, "cond", None) for cond in conds]
        kind = next(type(cond) for cond in conds if cond is not None)
        if key == TEXT or key in (*self.family.before, *self.family.after):
            return kind(self._padded(conds).text)
        if key == "num_tokens":
            return kind(max(values))
        if key == "attention_mask":
            return _joined_masks(conds, self.tokens)
        if all(same(values[0], value) for value in values[1:]):
            return conds[0]
        if all(isinstance(value, Tensor) and value.shape == values[0].shape for value in values):
            return kind(_rows(values))
        if same_shapes(values):
            return kind([_rows(each) for each in zip(*values, strict=True)])
        raise unlike_values(key)

    def _of_pictures(self, text: Padded) -> int:
        """How many text columns hold pictures: all that a text has more than its prompt, before it."""
        more = [length - own for length, own in zip(text.lengths, self._columns, strict=True)]
        if len(set(more)) > 1:
            raise P2PError(
                "source and edit encoded with the texts of Prompt Pair and with the same images",
                f"{' and '.join(map(str, more))} tokens more than their texts have",
                "Connect the same images to the encoders of source and edit, and copy both texts exactly.",
            )
        return max(0, more[0])

    def pictures(self, options: Mapping[str, Any]) -> int:
        """How many text columns of a call hold pictures."""
        return max((self._pictures.get(name, 0) for name in options.get("uuids", ())), default=0)


def _rows(values: Sequence[Tensor]) -> Tensor:
    """Row r of prompt r mod P: of tensors with one row each, or with a row for each row of the latent."""
    if len(values[0]) == 1:
        return torch.cat(list(values))
    rows = values[0].clone()
    for prompt, value in enumerate(values):
        rows[prompt :: len(values)] = value[prompt :: len(values)]
    return rows


def _joined_masks(conds: Sequence[Any], tokens: Tokens) -> Any:
    """Masks of text, or None where all of it is seen: the attention itself hides the padding of rows."""
    if all(cond is None or bool(cond.cond.all()) for cond in conds):
        return None
    if any(cond is None for cond in conds):
        raise P2PError(
            "an attention mask on both source and edit, or on neither",
            "one of them",
            "Encode source and edit with the same CLIP and the same nodes.",
        )
    if conds[0].cond.ndim > 2:  # of queries and keys, as Redux makes them
        return _joined_alike(conds)
    masks = padded([cond.cond[..., None] for cond in conds], tokens)
    return type(conds[0])(masks.text[..., 0])


def _joined_alike(conds: Sequence[Any]) -> Any:
    if len({cond.cond.shape for cond in conds}) > 1:
        raise P2PError(
            "prompts of equally many tokens, with an attention mask of queries and keys",
            " and ".join(str(cond.cond.shape[-1]) for cond in conds),
            "Use prompts of equal length, or a style model with strength_type multiply.",
        )
    return type(conds[0])(torch.cat([cond.cond for cond in conds]))
