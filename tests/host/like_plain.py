"""Runs of tiny models that must equal plain ones, whatever a CONDITIONING carries."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from typing import Any

import torch
from graphs import CLOSED, EDIT, NEGATIVE, OPEN, SOURCE, Graph, differ, repeated
from torch import Tensor

with contextlib.suppress(ModuleNotFoundError):  # missing on the stand-in, where these tests do not run
    from families import TinyHost

Sides = tuple[Any, Any]
Change = Callable[[Any, Any, int], Sides]


def of(name: str, node: dict[str, Any]) -> Graph:
    return Graph(TinyHost(name), node)


def stock(name: str, *args: Any, module: str = "nodes", **inputs: Any) -> Any:
    """All outputs of a stock node."""
    kind = getattr(importlib.import_module(module), name)
    with torch.inference_mode():
        if hasattr(kind, "execute"):
            return kind.execute(*args, **inputs).args
        return getattr(kind(), kind.FUNCTION)(*args, **inputs)


def require_like_plain(graph: Graph, change: Change, batch: int = 1, **options: Any) -> None:
    """Rows must equal plain runs, with an edit. change: gets both sides and the rows per sample."""
    host, prompts, positive = graph.host, *graph.pair()
    latent = options.pop("latent", None) or host.empty_latent(64, 64, batch)

    def run(model: Any, conditioning: Any, latent: Any, rows: int) -> Tensor:
        sides = change(conditioning, host.encode(NEGATIVE), rows)
        return host.sample(model, *sides, latent=latent, **options)["samples"]

    closed, opened = (run(graph.swapped(prompts, **way), positive, latent, 1) for way in (CLOSED, OPEN))
    twice = repeated(latent, 2)
    source, edit = (run(host.model(), host.encode(text), twice, 2) for text in (SOURCE, EDIT))
    unchanged = host.sample(host.model(), host.encode(SOURCE), host.encode(NEGATIVE), latent=twice, **options)
    assert differ(source, unchanged["samples"]), "it does something"
    assert torch.equal(closed[::2], source[::2]) and torch.equal(closed[1::2], edit[1::2])
    assert torch.equal(opened[::2], source[::2]) and differ(opened[1::2], closed[1::2])
