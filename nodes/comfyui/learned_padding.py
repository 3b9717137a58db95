"""Rows of unequal length in a model that pads its text with learned tokens (Z-Image).

Alone, a prompt of T tokens is followed by learned ones up to a multiple of 32, and the image's positions
start after those. In a batch the text is as long as its longest prompt; so for the time of one call each
row's embedded text gets its learned tokens, and its image tokens get their own positions. Clones of a MODEL
share its modules, so the hooks ignore calls of other threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from threading import get_ident
from typing import Any

import torch
from torch import Tensor

from ...p2p_core.architecture.dit import Tokens


@contextmanager
def own_padding(
    transformer: Any, tokens: Tokens, lengths: Sequence[int] | None, columns: int
) -> Iterator[None]:
    """lengths: the text columns of each row, None where all have `columns`."""
    if lengths is None or tokens.multiple == 1:
        yield
        return

    thread = get_ident()

    def fill(module: Any, args: Any, text: Tensor) -> Tensor:
        if get_ident() != thread:
            return text
        places = torch.arange(text.shape[1], device=text.device)
        filled = places >= torch.tensor(lengths, device=text.device)[:, None]
        return text.where(~filled[..., None], transformer.cap_pad_token.to(text))

    def move(module: Any, args: tuple[Tensor], rotations: Tensor) -> Tensor:
        if get_ident() != thread:
            return rotations
        (ids,) = args  # [1, N, axes]: the first axis counts text columns, and is one number in the image
        own = ids.repeat(len(lengths), 1, 1)
        starts = torch.tensor([tokens.padded(count) + 1 for count in lengths]).to(own)
        in_image = own[..., 0] == tokens.padded(columns) + 1
        own[..., 0] = torch.where(in_image, starts[:, None], own[..., 0])
        return module.forward(own)

    with ExitStack() as hooks:
        for module, hook in ((transformer.cap_embedder, fill), (transformer.rope_embedder, move)):
            hooks.callback(module.register_forward_hook(hook).remove)
        yield
