"""Runs of tiny models that must equal plain ones, whatever a CONDITIONING carries."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from typing import Any

import torch
from graphs import CLOSED, EDIT, NEGATIVE, OPEN, SOURCE, Graph, close, differ, repeated, state
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


def require_like_plain(
    graph: Graph,
    change: Change,
    batch: int = 1,
    on: Callable[[Any], Any] = lambda model: model,
    **options: Any,
) -> None:
    """Rows must equal plain runs, with an edit. change: gets both sides and the rows per sample; on: a node
    on the MODEL.
    """
    host, prompts, positive = graph.host, *graph.pair()
    latent = options.pop("latent", None) or host.empty_latent(64, 64, batch)

    def run(model: Any, conditioning: Any, latent: Any, rows: int) -> Tensor:
        sides = change(conditioning, host.encode(NEGATIVE), rows)
        return host.sample(on(model), *sides, latent=latent, **options)["samples"]

    closed, opened = (run(graph.swapped(prompts, **way), positive, latent, 1) for way in (CLOSED, OPEN))
    twice = repeated(latent, 2)
    source, edit = (run(host.model(), host.encode(text), twice, 2) for text in (SOURCE, EDIT))
    unchanged = host.sample(host.model(), host.encode(SOURCE), host.encode(NEGATIVE), latent=twice, **options)
    assert differ(source, unchanged["samples"]), "it does something"
    assert torch.equal(closed[::2], source[::2]) and torch.equal(closed[1::2], edit[1::2])
    assert torch.equal(opened[::2], source[::2]) and not close(opened[1::2], closed[1::2])


def require_chain(graph: Graph, apply: Callable[[Any], Any], **options: Any) -> None:
    """Another pack's change of a MODEL, before Word Swap and after it, must give the same rows.

    The source must be that of a plain run with the change; so must an edit with closed windows. Both the
    change and the edit must have an effect, and no MODEL may keep anything of either.
    """
    clean, prompts, positive = graph.host.model(), *graph.pair()
    kept = state(clean)
    plain = [graph.plain(text, model=apply(clean), **options)[row] for row, text in enumerate((SOURCE, EDIT))]

    def sampled(windows: Any, order: str) -> Tensor:
        model = apply(clean) if order == "before" else clean
        swapped = graph.swapped(prompts, model, **windows)
        return graph.sample(swapped if order == "before" else apply(swapped), positive, **options)

    before, after = sampled(OPEN, "before"), sampled(OPEN, "after")
    assert torch.equal(before, after), "the order of the nodes matters"
    assert torch.equal(before[0], plain[0]), "the source is not that of a plain run with the change"
    assert torch.equal(sampled(CLOSED, "after")[1], plain[1]), "a closed edit is not the plain run"
    alone = graph.edited(windows=OPEN, **options)
    assert not close(before[0], alone[0]) and not close(before[1], alone[1]), "the change has no effect"
    assert not close(before[1], plain[1]), "the edit has no effect"
    assert state(clean) == kept and torch.equal(graph.plain(SOURCE, model=clean), graph.plain(SOURCE))
