"""Where the tokens of a diffusion transformer stand: text, image and reference latents on one token axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from torch import Tensor

from ..errors import P2PError

Part = Literal["text", "image", "reference"]
Side = Literal["left", "right"]
Grid = tuple[int, int, int]  # frames, height and width in image tokens


@dataclass(frozen=True)
class Span:
    """`count` tokens from `start` on, on the token axis of a call."""

    start: int
    count: int

    @property
    def stop(self) -> int:
        return self.start + self.count

    def of(self, tokens: Tensor) -> Tensor:
        """A view of these tokens. tokens: [..., N, C]."""
        return tokens.narrow(-2, self.start, self.count)

    def others(self, tokens: Tensor) -> Tensor:
        """All tokens but these, [..., N - count, C]."""
        before, after = tokens[..., : self.start, :], tokens[..., self.stop :, :]
        return before if not after.shape[-2] else torch.cat([before, after], dim=-2)

    def put(self, tokens: Tensor, others: Tensor) -> Tensor:
        """`tokens` here, `others` around them: the inverse of `of` and `others`."""
        return torch.cat([others[..., : self.start, :], tokens, others[..., self.start :, :]], dim=-2)


NO_TOKENS = Span(0, 0)


@dataclass(frozen=True)
class Layout:
    """The token axis of an attention call of `total` tokens.

    text: the text columns, with what pads them. image: the image tokens, without what pads them; row-major
    over `grid`. In a model with separate cross-attention text and image both start at 0. before, after: how
    many of the text columns, at either end, are of other encoders than the prompt's, or of pictures in the
    text. reference: the tokens of reference latents.
    """

    text: Span
    image: Span
    total: int
    grid: Grid
    tokens: Tokens
    before: int = 0
    after: int = 0
    reference: Span = NO_TOKENS

    @property
    def without_reference(self) -> int:
        """The tokens before the references, where those are last: all queries if their keys are cached."""
        if self.tokens.order[-1] != "reference":
            return self.total
        return max(self.text.stop, self.image.start + self.tokens.padded(self.image.count))

    def prompt(self, columns: int) -> Span:
        """Where a prompt of `columns` stands among the text columns. P2PError where it does not fit."""
        own = self.text.count - self.before - self.after
        start = self.tokens.place(columns, own)
        if start < 0 or start + columns > own:
            raise P2PError(
                f"a conditioning of at least {columns} tokens, as its prompts have",
                f"{own} tokens",
                "Encode source and edit with the prompts that the edit was made for.",
                topic="other columns",
            )
        return Span(self.before + start, columns)

    def of_prompts(self, columns: Sequence[int]) -> Span:
        """The tokens that prompts of so many columns may change, on the token axis of the call."""
        spans = [self.prompt(count) for count in columns]
        first = 0 if self.before else min(span.start for span in spans)
        ends_late = self.after or self.tokens.multiple > 1  # learned padding sees the prompt
        last = self.text.count if ends_late else max(span.stop for span in spans)
        return Span(self.text.start + first, last - first)


@dataclass(frozen=True)
class Tokens:
    """How a family lays out its tokens.

    joint: text and image share one softmax. order: what comes first in it. registers: tokens before all
    others. patch: latent cells on the side of an image token. multiple: text and image are each padded with
    learned tokens to a multiple of it. side: where a shorter prompt of a batch is padded. fill: columns to
    which the model itself pads a prompt, on its left.
    """

    joint: bool = True
    order: tuple[Part, ...] = ("text", "image", "reference")
    registers: int = 0
    patch: int = 2
    multiple: int = 1
    side: Side = "right"
    fill: int = 0

    def grid(self, latent: Sequence[int]) -> Grid:
        """The grid of a latent [..., C, H, W] or [..., C, T, H, W], given by its shape."""
        frames = latent[2] if len(latent) == 5 else 1
        return frames, -(-latent[-2] // self.patch), -(-latent[-1] // self.patch)

    def layout(
        self, text: int, latent: Sequence[int], reference: int = 0, before: int = 0, after: int = 0
    ) -> Layout:
        """text: columns of the conditioning; reference: tokens of reference latents.

        before, after: columns of other text encoders, around those of the conditioning.
        """
        grid, columns = self.grid(latent), before + text + after
        image = prod(grid)
        if not self.joint:
            return Layout(Span(0, columns), Span(0, image), image, grid, self, before, after)
        counts = {"text": self.padded(columns), "image": self.padded(image), "reference": reference}
        starts: dict[Part, int] = {}
        total = self.registers
        for part in self.order:
            starts[part] = total
            total += counts[part]
        spans = Span(starts["text"], counts["text"]), Span(starts["image"], image)
        references = Span(starts.get("reference", total), reference)
        return Layout(*spans, total, grid, self, before, after, references)

    def padded(self, count: int) -> int:
        """`count` tokens with the learned ones that fill up a multiple."""
        return -(-count // self.multiple) * self.multiple

    def place(self, columns: int, text: int) -> int:
        """Where a prompt of `columns` starts among `text` columns."""
        return text - columns if self.side == "left" else max(0, self.fill - columns)
