"""Creates paired conditionings: one tensor with a row for the source and one for each edit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from comfy.conds import CONDConstant
from torch import Tensor
from torch.nn import functional as F

from ...p2p_core.errors import P2PError
from ...p2p_core.real.guidance import common_columns
from .given import require_conditioning
from .keys import PAIR

Conditioning = list[list[Any]]
Entry = dict[str, Any]  # one entry of a conditioning, as the host converts it for a sampling


@dataclass(frozen=True)
class Pair:
    """The contents of a paired entry: P rows under these keys, and the prompts if known.

    stacked: the text of all prompts, [P, T, C]. each: per prompt its text and its values under the keys, for
    models that take one prompt at a time. apart: keys whose values cannot be stacked and are only in `each`.
    """

    rows: int
    texts: tuple[str, ...] | None
    keys: frozenset[str]
    stacked: Tensor | None = field(default=None, compare=False)
    each: tuple[tuple[Tensor, dict[str, Any]], ...] = field(default=(), compare=False)
    apart: frozenset[str] = frozenset()


class PairGuard(CONDConstant):
    """Carries the Pair of a conditioning. The sampling wrapper removes it; a plain sampling fails on it."""

    def process_cond(self, batch_size: int, **kwargs: Any) -> Any:
        raise P2PError(
            "a MODEL with Word Swap (or another Prompt-to-Prompt edit)",
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
    alike = [texts is None and all(same(entries[0], other) for other in entries[1:]) for entries in sides]
    alike = [False] * len(alike) if all(alike) else alike
    return [
        entries[0] if is_alike else _pair_entry(entries, texts)
        for entries, is_alike in zip(sides, alike, strict=True)
    ]


def _pair_entry(entries: Sequence[list[Any]], texts: tuple[str, ...] | None) -> list[Any]:
    tensors, options = [entry[0] for entry in entries], [entry[1] for entry in entries]
    for option in options:
        if PAIR in option or PAIR in option.get("model_conds", {}):
            raise _unlike("unpaired conditionings", "one that is already paired")
    merged: dict[str, Any] = {}
    keys = sorted({key for option in options for key in option})
    for key in keys:
        merged[key] = _merge(key, [option.get(key) for option in options])
    own = {key for key in keys if merged[key] is not options[0].get(key)}
    apart = frozenset(key for key in keys if merged[key] is _APART)
    rows = frozenset({"cross_attn", *own})
    if len(entries) == 1:
        return [tensors[0], {**merged, PAIR: Pair(1, texts, rows)}]
    text = _stack_text(tensors)
    each = tuple((text, {key: option[key] for key in own & option.keys()}) for text, option in entries)
    merged |= {key: options[0].get(key) for key in apart}
    guard = PairGuard(Pair(len(entries), texts, rows, text, each, apart))
    merged["model_conds"] = {**merged.get("model_conds", {}), PAIR: guard}
    return [text, merged]


def _stack_text(tensors: Sequence[Tensor]) -> Tensor:
    """[1, T_i, C] each → [P, T, C], T the least common multiple; repeated columns change no attention.

    Text of other encoders than CLIP, whose chunks have 77 columns, is filled with zeros instead if the
    multiple is large: transformers take their prompts one at a time.
    """
    for tensor in tensors:
        if not (isinstance(tensor, Tensor) and tensor.ndim == 3 and len(tensor) == 1 and tensor.numel()):
            shape = tuple(getattr(tensor, "shape", ())) or type(tensor).__name__
            raise _unlike("conditionings with one prompt each, shaped [1, tokens, channels]", str(shape))
    lengths, widths = [t.shape[1] for t in tensors], {t.shape[2] for t in tensors}
    if len(widths) > 1:
        raise _unlike("text encodings of one width", f"{' and '.join(map(str, sorted(widths)))} channels")
    if any(length % 77 for length in lengths) and math.lcm(*lengths) > 4 * max(lengths):
        return torch.cat([F.pad(t, (0, 0, 0, max(lengths) - t.shape[1])) for t in tensors])
    longest = common_columns(*lengths)
    return torch.cat([t.repeat(1, longest // t.shape[1], 1) for t in tensors])


def _merge(key: str, values: Sequence[Any]) -> Any:
    """One value for all prompts: tensors per prompt are stacked, everything else must be equal."""
    first = values[0]
    if all(same(first, value) for value in values[1:]):
        return first
    if all(isinstance(v, Tensor) and v.shape == first.shape and v.shape[0] == 1 for v in values):
        return torch.cat(list(values))
    if all(value is None for value in values):
        return None
    if key not in _SHARED and all(value is None or isinstance(value, Tensor) for value in values):
        return _APART
    if key == REFERENCES:
        _require_same_sizes(values)
    if same_shapes(values):
        return _APART
    raise unlike_values(key)


def same_shapes(values: Sequence[Any]) -> bool:
    """Whether all values are lists of tensors, of as many and of the same shapes."""
    shapes = [_shapes(value) for value in values]
    return None not in shapes and all(shape == shapes[0] for shape in shapes)


def _shapes(value: Any) -> list[tuple[int, ...]] | None:
    tensors = isinstance(value, list) and all(isinstance(each, Tensor) for each in value)
    return [tuple(each.shape) for each in value] if tensors else None


def _require_same_sizes(values: Sequence[Any]) -> None:
    """Raises P2PError for reference latents of different numbers or sizes."""
    sizes = [[(*shape[:-2], *shape[:-3:-1]) for shape in _shapes(value) or ()] for value in values]
    named = ["none" if not each else ", ".join(f"{s[-2]} × {s[-1]}" for s in each) for each in sizes]
    if any(each != sizes[0] for each in sizes[1:]):
        raise P2PError(
            "reference latents of the same number and size on source and edit",
            " and ".join(dict.fromkeys(named)) + " cells",
            "Connect the same reference images to the encoders of source and edit.",
        )


def unlike_values(key: str) -> P2PError:
    return _unlike(f"the same {key!r} on source and edit", "different ones", _AFTER)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return False
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return a is b or bool(a == b)


REFERENCES = "reference_latents"
_APART = object()  # in place of values that cannot be stacked
_SHARED = frozenset({"mask", "concat_mask", "concat_latent_image"})  # tensors of the picture, not of the text
_AFTER = " Apply whatever both share (a ControlNet, an area) after the pairing."


def _unlike(expected: str, got: str, more: str = "") -> P2PError:
    return P2PError(expected, got, "Encode source and edit with the same CLIP and the same nodes." + more)


def source_of(conditioning: Conditioning) -> tuple[Conditioning, str]:
    """The CONDITIONING of the source prompt alone, for a plain MODEL, and its text ("" if unknown).

    A plain CONDITIONING is returned unchanged.
    """
    require_conditioning(conditioning)
    pairs = [pair_of(entry[1]) for entry in conditioning]
    texts = [pair.texts[0] for pair in pairs if pair is not None and pair.texts]
    return [
        _first(entry[0], entry[1], pair) for entry, pair in zip(conditioning, pairs, strict=True)
    ], "".join(texts[:1])


def _first(tensor: Tensor, options: dict[str, Any], found: Pair | None) -> list[Any]:
    """An entry with the first row of everything it holds per prompt."""
    if found is not None and found.each:
        text, values = found.each[0]
        return _first(text, {**options, **values}, None)
    stacked = found.keys if found else ()
    own = {key: value[:1] if key in stacked else value for key, value in options.items() if key != PAIR}
    if "model_conds" in own:
        own["model_conds"] = {key: cond for key, cond in own["model_conds"].items() if key != PAIR}
    return [tensor[:1], own]


def pair_of(entry: Entry) -> Pair | None:
    guard = entry.get("model_conds", {}).get(PAIR)
    return entry.get(PAIR) if guard is None else guard.cond
