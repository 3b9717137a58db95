"""A host's attention for tests, and a watcher for the tensors that are created."""

from __future__ import annotations

from collections.abc import Sequence

from einops import rearrange
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from p2p_core.attention.editing import Attend


def attention(heads: int) -> Attend:
    """A host's attention: heads merged in the last dimension, no map materialised."""

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (rearrange(t, "b n (h c) -> b h n c", h=heads) for t in (q, k, v))
        return rearrange(F.scaled_dot_product_attention(q, k, v), "b h n c -> b n (h c)")

    return attend


class Shapes(TorchDispatchMode):
    """Records the last two dimensions of every operation's result."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[Sequence[int]] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, Tensor):
                self.seen.add(tuple(tensor.shape[-2:]))
        return result
