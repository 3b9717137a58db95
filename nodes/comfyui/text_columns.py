"""Which tokens of which text encoder stand in which columns of a CONDITIONING.

The host's text encoders cut templates, drop padding, and put the output of several networks side by side.
Here their own code runs with networks that give each token its number instead of a vector.
"""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, groupby
from typing import Any

import torch
from torch import Tensor, nn

from .encoders import Chunks, unknown_clip

Column = tuple[str, int]  # name of an encoder and number of a token, "" where no encoder is loaded
Stretch = tuple[str, tuple[int, ...]]  # columns of one encoder in a row

_EACH = 2**20  # more tokens than an encoder has; float32 holds 16 times as many whole numbers
_LAYERS = 2  # of an encoder that gives all its layers


def text_columns(clip: Any, tokens: Mapping[str, Chunks]) -> list[Stretch]:
    """The text columns that a diffusion model gets, in order, as stretches of tokens of one encoder.

    Raises P2PError for a CLIP that is made of no text encoders.
    """
    model = clip.cond_stage_model
    names = list(tokens)
    parts = {part: _probe_of(own, names.index(_name(part, names))) for part, own in _encoders(model, names)}
    if not parts:
        raise unknown_clip(clip)
    plain = {name: [[(t[0], 1.0) for t in chunk] for chunk in chunks] for name, chunks in tokens.items()}
    with torch.no_grad():
        out = _with(model, {**_projections(model), **parts}).encode_token_weights(plain)
    columns, extra = out[0][0], (out[2] if len(out) > 2 else {})
    if not (_projections(model) or _are_numbers(columns, len(names))):  # another node replaced the encoding
        raise unknown_clip(clip)
    if "t5xxl_ids" in extra:  # Anima: the model's own text network attends from these tokens
        return [("t5xxl", tuple(range(len(extra["t5xxl_ids"]))))]
    found = _stretches(columns, tokens)
    if "conditioning_llama3" in extra:  # HiDream: the last layer and then each block's own
        more = _stretches(extra["conditioning_llama3"][0, -1], tokens)
        found += [*more, *((f"{name} by block", numbers) for name, numbers in more)]
    return found


def _encoders(model: nn.Module, names: Sequence[str]) -> Iterator[tuple[str, nn.Module]]:
    for part, own in model.named_children():
        if hasattr(own, "transformer") and _name(part, names) in names:
            yield part, own


def _name(part: str, names: Sequence[str]) -> str:
    """Under which name a part of the model gets its tokens."""
    name = part.removeprefix("clip_")
    found = next((n for n in names if name == n), next((n for n in names if name.startswith(n)), name))
    return names[0] if found not in names and len(names) == 1 else found


class _Embedding(nn.Module):
    """Vectors of tokens, all 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = torch.zeros(1, width)

    def forward(self, tokens: Tensor, **_: Any) -> Tensor:
        return torch.zeros(*tokens.shape, self.weight.shape[1])


class _Probe(nn.Module):
    """Stands for the network of an encoder. layers: how many it gives at once, 0 for one as it is."""

    def __init__(self, number: int, width: int, layers: int) -> None:
        super().__init__()
        self.number, self.width, self.layers = number, width, layers

    def get_input_embeddings(self) -> nn.Module:
        return _Embedding(self.width)

    def forward(
        self, ids: Any, *_: Any, embeds: Any = None, capture_layers: Sequence[int] = (), **__: Any
    ) -> Any:
        rows, count = (ids if embeds is None else embeds).shape[:2]
        numbers = torch.arange(rows * count).reshape(rows, count, 1) + self.number * _EACH + 1
        if capture_layers:
            return {"hidden_states": [numbers.float()] * len(capture_layers)}
        if self.layers:
            states = numbers[:, None].expand(-1, self.layers, -1, -1)
        else:
            states = numbers.expand(-1, -1, self.width)
        pooled = torch.zeros(rows, self.width)
        return states.float(), states.float(), pooled, pooled


def _probe_of(encoder: Any, number: int) -> nn.Module:
    """The encoder with a probe for its network, on the CPU."""
    layer = getattr(encoder, "layer", None)
    layers = len(layer) if isinstance(layer, list) else _LAYERS * (layer == "all")
    width = encoder.transformer.get_input_embeddings().weight.shape[-1]
    probed = _with(encoder, {"transformer": _Probe(number, width, layers)})
    probed.execution_device = None
    return probed


class _Through(nn.Module):
    """Stands for a projection of all layers. [B, T, layers] or [B, layers, T, 1] → [B, T, layers]."""

    def forward(self, states: Tensor) -> Tensor:
        return states.movedim(1, -1).flatten(2) if states.ndim == 4 else states


def _projections(model: nn.Module) -> dict[str, nn.Module]:
    return {name: _Through() for name, _ in model.named_children() if name.endswith("projection")}


def _with(module: nn.Module, parts: Mapping[str, nn.Module]) -> Any:
    """A copy of a module with other parts; the module itself stays as it is."""
    other = copy.copy(module)
    other.__dict__["_modules"] = {**module.__dict__["_modules"], **parts}
    return other


def _are_numbers(columns: Tensor, encoders: int) -> bool:
    return bool(((columns >= 0) & (columns == columns.round()) & (columns <= encoders * _EACH)).all())


def _stretches(columns: Tensor, tokens: Mapping[str, Chunks]) -> list[Stretch]:
    """columns: [T, C], where a channel has 0 or the number of the token."""
    chunks = {name: [len(chunk) for chunk in each] for name, each in tokens.items()}
    found = _columns(columns.amax(-1), tokens)
    return [
        (name, tuple(number for _, number in group))
        for (name, _), group in groupby(found, key=lambda c: (c[0], _chunk(c[1], chunks.get(c[0], []))))
    ]


def _columns(numbers: Tensor, tokens: Mapping[str, Chunks]) -> Iterator[Column]:
    names = list(tokens)
    if bool((numbers < 0).any()):  # LTX-2 normalises; it has cut the padding on the left
        count = sum(map(len, tokens[names[0]]))
        yield from ((names[0], token) for token in range(count - len(numbers), count))
        return
    before: Column = ("", -1)
    for number in map(int, numbers.tolist()):
        encoder, token = divmod(number - 1, _EACH)
        before = (names[encoder], token) if number else (before[0], before[1] + 1)  # masked columns are 0
        yield before


def _chunk(token: int, lengths: Sequence[int]) -> int:
    """The number of the chunk that has this token."""
    return bisect_right(list(accumulate(lengths)), token)
