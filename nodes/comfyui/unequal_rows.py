"""Rows of prompts of unequal length, where padding and a mask alone do not make each row what it is alone.

In a batch the text is as long as its longest prompt. For the time of one model call, forward hooks give each
row what the model would compute from its own number of text columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from threading import get_ident
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .families import Family

Hooks = list[tuple[Any, Callable[..., Any]]]  # modules and forward hooks with keywords


@contextmanager
def each_as_alone(
    transformer: Any, family: Family, lengths: Sequence[int] | None, columns: int
) -> Iterator[None]:
    """lengths: the text columns of each row, None where all have `columns`."""
    with ExitStack() as hooks:
        for module, hook in _hooks(transformer, family, lengths, columns) if lengths is not None else ():
            own = _on_this_thread(hook)
            hooks.callback(module.register_forward_hook(own, with_kwargs=True).remove)
        yield


def _on_this_thread(hook: Callable[..., Any]) -> Callable[..., Any]:
    """A hook that leaves calls of other threads alone: clones of a MODEL share its modules."""
    thread = get_ident()
    return lambda *call: hook(*call) if get_ident() == thread else call[-1]


def _hooks(transformer: Any, family: Family, lengths: Sequence[int], columns: int) -> Hooks:
    if family.tokens.multiple > 1:
        return _learned_padding(transformer, family, lengths, columns)
    name = type(transformer).__name__
    if name in ("OmniGen2Transformer2DModel", "BooguTransformer2DModel"):
        return [(transformer.rope_embedder, _own_positions(lengths))]
    if name == "ErnieImageModel":
        return [(transformer.pos_embed, _from_own_start(lengths, columns))]
    if name == "HunyuanVideo":
        return [(transformer.txt_in, _row_by_row(lengths))]
    return []


def _learned_padding(transformer: Any, family: Family, lengths: Sequence[int], columns: int) -> Hooks:
    """Z-Image: learned tokens fill a prompt up to a multiple of 32, and image positions start after those."""
    tokens = family.tokens

    def fill(module: Any, args: Any, kwargs: Any, text: Tensor) -> Tensor:
        places = torch.arange(text.shape[1], device=text.device)
        filled = places >= torch.tensor(lengths, device=text.device)[:, None]
        return text.where(~filled[..., None], transformer.cap_pad_token.to(text))

    def move(module: Any, args: tuple[Tensor], kwargs: Any, rotations: Tensor) -> Tensor:
        (ids,) = args  # [1, N, axes]: the first axis counts text columns, and is one number in the image
        own = ids.repeat(len(lengths), 1, 1)
        starts = torch.tensor([tokens.padded(count) + 1 for count in lengths]).to(own)
        in_image = own[..., 0] == tokens.padded(columns) + 1
        own[..., 0] = torch.where(in_image, starts[:, None], own[..., 0])
        return module.forward(own)

    return [(transformer.cap_embedder, fill), (transformer.rope_embedder, move)]


def _own_positions(lengths: Sequence[int]) -> Callable[..., Any]:
    """Omnigen 2, Boogu: the positions of an image start at the number of its text columns."""

    def place(module: Any, args: tuple[Any, ...], kwargs: Any, out: Any) -> Any:
        text, reference, image, _, *rest = module.forward(*args[:2], list(lengths), *args[3:])
        return text, reference, image, torch.cat([text, reference, image], dim=1), *rest

    return place


def _from_own_start(lengths: Sequence[int], columns: int) -> Callable[..., Any]:
    """ERNIE-Image: positions count from the start of a prompt, which is padded on its left."""

    def count(module: Any, args: tuple[Tensor], kwargs: Any, rotations: Tensor) -> Tensor:
        own = args[0].clone()  # [B, N, axes]
        own[..., 0] -= torch.tensor([columns - length for length in lengths]).to(own)[:, None]
        return module.forward(own)

    return count


def _row_by_row(lengths: Sequence[int]) -> Callable[..., Any]:
    """Hunyuan: a module that averages over all text columns."""

    def embed(module: Any, args: tuple[Any, ...], kwargs: Any, out: Tensor) -> Tensor:
        text, times, _ = args
        rows = [
            module.forward(text[row : row + 1, :count], times[row : row + 1], None, **kwargs)
            for row, count in enumerate(lengths)
        ]
        return torch.cat([F.pad(row, (0, 0, 0, text.shape[1] - row.shape[1])) for row in rows])

    return embed
