"""One call of a transformer: its attention calls, told apart by their lengths and the host's names."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from torch import Tensor
from torch.nn import functional as F

from ...p2p_core.architecture.dit import Layout
from ...p2p_core.architecture.layers import Layer
from ...p2p_core.errors import P2PError
from .attention_call import AttentionCall, hiding
from .families import Family

Kind = Literal["text", "self", "cross", "joint"]


@dataclass(frozen=True, eq=False)
class ModelCall:
    """One call of the model: where its tokens stand, and how many attention calls of each kind it made.

    texts: how many calls of text alone it starts with. hidden: [B, T], text columns that a row does not see.
    turns: how many attention calls each block makes where only their order tells them apart, else 0.
    others: (queries, keys) of calls in a block that fit no kind.
    """

    family: Family
    layers: tuple[Layer, ...]
    layout: Layout
    texts: int = 0
    hidden: Tensor | None = None
    turns: int = 0
    made: Counter[str] = field(default_factory=Counter)
    others: list[tuple[int, int]] = field(default_factory=list)

    def kind(self, call: AttentionCall) -> Kind | None:
        """What a call of attention is, None for one that is neither of the text alone nor of a block."""
        queries, keys, layout = call.q.shape[-2], call.k.shape[-2], self.layout
        if self.turns:
            return self._in_turn(queries, keys)
        if "block_index" not in call.options:
            if self.made["text"] < self.texts and queries == keys == layout.text.count:
                return "text"
            if self.family.named:
                return None
        if self.family.tokens.joint:
            queried = queries in (layout.total, layout.without_reference)
            return "joint" if queried and keys == layout.total else None
        if queries != layout.image.count:
            return None
        fits = {"self": keys == layout.image.count, "cross": keys == layout.text.count}
        if all(fits.values()):  # as many text columns as image tokens: every block starts with self-attention
            return "self" if self.made["self"] == self.made["cross"] else "cross"
        return "self" if fits["self"] else "cross" if fits["cross"] else None

    def _in_turn(self, queries: int, keys: int) -> Kind | None:
        """LTX-2: of the video itself and text, of the audio itself and text, of the video and audio."""
        image, text = self.layout.image.count, self.layout.text.count
        fits = (
            *(queries == keys == image, queries == image and keys == text),
            *(queries == keys, keys == text, queries == image, keys == image),
        )[: self.turns]
        next_turn = self.made["turn"]
        found = (turn for turn in range(next_turn, next_turn + self.turns) if fits[turn % self.turns])
        if (turn := next(found, None)) is None:
            return None
        self.made["turn"] = turn + 1
        kinds: tuple[Kind | None, ...] = ("self", "cross", "self", "cross", None, None)
        return kinds[turn % self.turns]

    def seen(self, call: AttentionCall) -> AttentionCall:
        """The call with its rows' padding hidden."""
        if self.hidden is None:
            return call
        keys, text = call.k.shape[-2], self.layout.text
        start = 0 if keys == text.count else text.start
        hidden = F.pad(self.hidden, (start, keys - start - self.hidden.shape[1]))
        return replace(call, mask=hiding(call.mask, hidden, call.q.dtype))

    def layer(self, kind: Kind, options: dict[str, Any]) -> Layer:
        """The layer of the next call of a kind, by the host's name, else by its place in the call."""
        if "block_index" in options:
            stage, number = self.family.stage(options.get("block_type")), options["block_index"]
            found = (layer for layer in self.layers if (layer.stage, layer.number) == (stage, number))
        elif self.turns:
            found = iter(self.layers[(self.made["turn"] - 1) // self.turns :])
        else:
            first: Kind = "self" if kind == "cross" else kind  # every block starts with self-attention
            found = iter(self.layers[self.made[first] - 1 :])
        if (layer := next(found, None)) is None:
            raise P2PError(
                f"{len(self.layers)} {kind}-attention calls of {self.family.name}",
                "more",
                "Take out the nodes that change how this model attends.",
            )
        return layer
