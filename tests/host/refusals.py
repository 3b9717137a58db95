"""Calls for tests of invalid input, to be used with the fixture `refused`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from graphs import Graph, state

Refused = Callable[..., Any]


# Calls


NODES: dict[str, dict[str, Any]] = {
    "Word Swap": {},
    "Refine": {},
    "Prompt Edit": {},
    "Reweight": {"weights": "star: 2"},
    "Local Blend": {"source_words": "circle"},
    "Attention Store": {},
}


def put(graph: Graph, title: str, prompts: Any = None, model: Any = None, **widgets: Any) -> tuple[Any, ...]:
    """A node on a MODEL, with valid widgets except for these."""
    prompts = prompts or graph.pair()[0]
    return graph.on(title.replace(" ", ""), prompts, model, **{**NODES[title], **widgets})


def pairing(graph: Graph, source: Any, edit: Any) -> Any:
    return graph.host.run(graph.node["P2PPairConditioning"], source=source, edit=edit)[0]


def sampling(graph: Graph, model: Any, positive: Any, **options: Any) -> torch.Tensor:
    before = state(model)
    try:
        return graph.sample(model, positive, **options)
    finally:
        assert state(model) == before
