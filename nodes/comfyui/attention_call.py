"""A call of the host's attention, in the one form of its many spellings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...p2p_core.errors import P2PError

Function = Callable[..., Tensor]
_NAMES = ("q", "k", "v", "heads", "mask", "attn_precision", "skip_reshape", "skip_output_reshape")


@dataclass(frozen=True, eq=False)
class AttentionCall:
    """q, k, v: [B, N, H·C], or [B, H, N, C] with `skip_reshape`; mask: 4 dimensions; others: options."""

    function: Function
    q: Tensor
    k: Tensor
    v: Tensor
    heads: int
    mask: Tensor | None
    others: Mapping[str, Any]

    @classmethod
    def of(cls, function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> AttentionCall:
        given = {**dict(zip(_NAMES, args, strict=False)), **kwargs}
        others = {name: value for name, value in given.items() if name not in _NAMES[:5]}
        q, k, v = (given[name] for name in "qkv")
        if not given.get("skip_reshape"):
            q, k, v = (t.flatten(2) for t in (q, k, v))  # SD3 gives values with heads apart
        return cls(function, q, k, v, given["heads"], _four_dimensions(given.get("mask")), others)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """The host's attention of other tensors."""
        return self.function(q, k, v, self.heads, mask=mask, **self.others)

    def of_rows(self) -> tuple[Tensor, Callable[[Tensor, Tensor, Tensor], Tensor]]:
        """Keys that carry the mask of their row as one more channel, and the attention of such keys."""
        mask = self.mask
        if mask is None or mask.shape[0] == 1:
            return self.k, lambda q, k, v: self.attend(q, k, v, mask)
        if mask.shape[1:3] != (1, 1):
            raise P2PError("a mask of keys", f"one of {tuple(mask.shape)}", "Take out the node that masks.")
        shut = _shut(~mask, self.k.dtype) if mask.dtype == torch.bool else mask
        channel = shut[:, 0, 0, :, None] if self.k.ndim == 3 else shut.mT.expand(-1, self.k.shape[1], -1, 1)

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            row = k[..., -1] if k.ndim == 3 else k[:, 0, :, -1]
            return self.attend(q, k[..., :-1], v, row[:, None, None])

        return torch.cat([self.k, channel.to(self.k.dtype)], dim=-1), attend

    def split(self, tokens: Tensor) -> Tensor:
        """A view with heads apart, [B, H, N, C]."""
        return tokens if tokens.ndim == 4 else tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    @property
    def options(self) -> dict[str, Any]:
        return self.others["transformer_options"]


def _four_dimensions(mask: Tensor | None) -> Tensor | None:
    """As the host reads it: [Q, K] and [B, Q, K] have one head, for all heads."""
    if mask is None or mask.ndim == 4:
        return mask
    return mask[:, None] if mask.ndim == 3 else mask[None, None]


def hiding(mask: Tensor | None, hidden: Tensor, dtype: torch.dtype) -> Tensor:
    """The mask with these keys hidden too, added to logits. hidden: [B, K], True where a key is not seen."""
    shut = _shut(hidden[:, None, None], dtype)
    return shut if mask is None else shut + (_shut(~mask, dtype) if mask.dtype == torch.bool else mask)


def _shut(hidden: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill(hidden, -torch.inf)
