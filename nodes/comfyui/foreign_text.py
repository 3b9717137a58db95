"""Errors of the host about text that the model cannot read: that of another model's text encoder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from ...p2p_core.errors import P2PError
from .advice import naming
from .conditionings import Sides
from .state import NODE

_WIDTH = (  # of what a layer was given, in torch's words
    re.compile(r"mat1 and mat2 shapes cannot be multiplied \(\d+x(\d+) and"),
    re.compile(r"but got input of size\s*\[(?:\d+, )*(\d+)\]"),
    re.compile(r"The size of tensor a \((\d+)\) must match"),
)


@contextmanager
def explained(conds: Sides) -> Iterator[None]:
    """Raises P2PError in place of torch's error about the width of a paired text."""
    try:
        yield
    except RuntimeError as error:
        entries = [entry for side in conds if "negative" not in side for entry in conds[side]]
        texts = [entry.get("cross_attn") for entry in entries]
        widths = {text.shape[-1] for text in texts if isinstance(text, Tensor)}
        found = [int(match[1]) for pattern in _WIDTH if (match := pattern.search(str(error)))]
        if not widths & set(found):
            raise
        with naming(NODE):
            raise P2PError(
                "text of the model's own text encoder",
                f"text of {found[0]} channels",
                "Load the text encoder that belongs to the model, with its type.",
            ) from error
