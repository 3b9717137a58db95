"""A random prompt pair through all nodes: it works, or raises a P2PError that says how to fix it."""

from __future__ import annotations

from random import Random
from typing import Any

import torch
from graphs import Graph
from random_prompts import Case, case

TOKEN_EDITS = ("PromptEdit", "WordSwap", "Refine")
WINDOWS = {"cross_end": 1.0, "self_end": 0.5}


def outcome(graph: Graph, error: type[Exception], seed: int, sampled: bool) -> str:
    """ "drawn", "built" or "refused"; raises AssertionError, naming the case, for anything else."""
    random = Random(seed)
    made = case(random)
    try:
        model, positive = _built(graph, error, random, made)
        if sampled:
            rows = graph.sample(model, positive, steps=1, cfg=1.0)
            assert torch.isfinite(rows).all(), f"seed {seed}: not a number: {made}"
        return "drawn" if sampled else "built"
    except error as refusal:
        assert refusal.hint and refusal.node, f"seed {seed}: no hint or node: {refusal}: {made}"  # type: ignore[attr-defined]
        return "refused"
    except AssertionError:
        raise
    except Exception as trouble:
        raise AssertionError(f"seed {seed}: {type(trouble).__name__}: {trouble}: {made}") from trouble


def _built(graph: Graph, error: type[Exception], random: Random, made: Case) -> tuple[Any, Any]:
    """(MODEL, CONDITIONING): a token edit and, if they are not rejected, the nodes that can follow it."""
    prompts, positive = graph.pair(made.source, made.edit)
    name = random.choice(TOKEN_EDITS)
    model = graph.on(name, prompts, **WINDOWS)[0]
    more: list[tuple[str, dict[str, Any]]] = [
        (name, {**WINDOWS, "word_windows": made.word_windows}),
        ("Reweight", {"weights": made.weights}),
        ("LocalBlend", {"source_words": made.blend, "start": 0.0}),
        ("LocalBlend", {"edit_words": made.blend, "start": 0.0}),
    ]
    for node, widgets in more:
        try:
            model = graph.on(node, prompts, model, **widgets)[0]
        except error as refusal:
            assert refusal.hint and refusal.node == _title(node), str(refusal)  # type: ignore[attr-defined]
    _check_mixing(model, len(prompts.prompts))
    return model, positive


def _title(name: str) -> str:
    return "".join(f" {c}" if c.isupper() else c for c in name).strip()


def _check_mixing(model: Any, rows: int) -> None:
    """The mixing of every edit in the middle block, while the windows are open and once they are closed."""
    from importlib import import_module

    plan = model.model_options["transformer_options"]["p2p.plan"]
    core = type(plan).__module__.removesuffix(".plan")
    layer = import_module(f"{core}.architecture.layers").Layer("middle", 0, 0, 4)
    mixing_of = import_module(f"{core}.edits.columns").mixing_of
    assert plan.describe()
    for progress in (0.0, 0.3, 0.9):
        keys = plan.mixing_keys(layer, progress)
        assert len(keys) == rows - 1
        for key in keys:
            mixing = None if key is None else mixing_of(plan.prompts, key)
            if mixing is not None:
                parts = [t for t in vars(mixing).values() if isinstance(t, torch.Tensor)]
                assert parts and all(torch.isfinite(part).all() for part in parts)
