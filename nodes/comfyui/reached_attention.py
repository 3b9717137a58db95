"""Attention that the host's override does not reach: ERNIE-Image, PixArt, HunyuanDiT.

These models call the host's attention without the options of the model call, so no override sees them. Object
patches give each of their modules that attends a copy of its own `forward`. In the copy, the name of the
host's attention means one that adds the options of the model call that is running.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FunctionType, MethodType
from typing import Any

from torch import Tensor

from .families import family_of
from .options import Options

_NAME = "optimized_attention"
_running: ContextVar[Options | None] = ContextVar(
    "transformer options of the running model call", default=None
)


@contextmanager
def running(options: Options) -> Iterator[None]:
    """While a model call with these transformer options runs in this thread."""
    token = _running.set(options)
    try:
        yield
    finally:
        _running.reset(token)


def patch_attention(model: Any) -> None:
    """Add the object patches to a MODEL, if its family needs them."""
    family = family_of(model)
    if family is None or family.passes_options:
        return
    for name, module in model.model.diffusion_model.named_modules():
        forward = type(module).forward
        if _NAME in forward.__code__.co_names:
            model.add_object_patch(f"diffusion_model.{name}.forward", MethodType(_reached(forward), module))


def _reached(forward: Any) -> Callable[..., Any]:
    """A copy of a function whose calls of attention carry the options of the running model call."""
    names = forward.__globals__

    def attention(*args: Any, **kwargs: Any) -> Tensor:
        options = _running.get()
        return names[_NAME](*args, **kwargs, **({} if options is None else {"transformer_options": options}))

    own = {**names, _NAME: attention}
    copied = FunctionType(forward.__code__, own, forward.__name__, forward.__defaults__, forward.__closure__)
    copied.__kwdefaults__ = forward.__kwdefaults__
    return copied
