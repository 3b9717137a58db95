"""Remember Source on transformers: prompts of unequal length, joint and separate attention."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from graphs import NEGATIVE, Graph, close, differ
from test_end_to_end import EDITS, NAMES, Flow
from torch import Tensor

pytestmark = [pytest.mark.host, pytest.mark.real_host]

FAMILIES = ("Flux.1", "Qwen-Image", "Z-Image", "SD3", "Wan 2.1", "HunyuanImage")
HALF = {"cross_start": 0.0, "cross_end": 0.5, "self_start": 0.0, "self_end": 0.5}


@pytest.fixture
def shown(pack: ModuleType, monkeypatch: Any) -> Iterator[list[str]]:
    """What the node shows; the pack's memory is empty before and after."""
    memory = importlib.import_module(f"{pack.__name__}.nodes.comfyui.remembering").MEMORY
    sampling, texts = importlib.import_module(f"{pack.__name__}.nodes.comfyui.sampling"), list[str]()
    monkeypatch.setattr(
        sampling, "show_after", lambda all: texts.extend(t for _, t in all if t.startswith("source"))
    )
    memory.make_room(0, 0, 0)
    yield texts
    memory.make_room(0, 0, 0)


def sampled(flow: Flow, edit: str, keep: bool, cfg: float, **widgets: Any) -> Tensor:
    prompts, positive = flow.pair(edit)
    model = flow.edited(prompts, **HALF)
    if keep:
        model = flow.run(flow.node["P2PRememberSource"], model=model, **widgets)[0]
    negative = flow.encoded(NEGATIVE)
    return flow.graph.host.sample(model, positive, negative, latent=flow.latent, steps=4, cfg=cfg)["samples"]


@pytest.mark.parametrize("cfg", [3.0, 1.0])
@pytest.mark.parametrize("name", [name for name in FAMILIES if name in NAMES])
def test_the_edit_is_that_of_a_run_without_memory(graph: Graph, shown: list[str], name: str, cfg: float):
    flow, other = Flow(graph, name), EDITS["shorter and longer"]
    first, again = sampled(flow, EDITS["equal"], True, cfg), sampled(flow, other, True, cfg)
    fresh = sampled(flow, other, False, cfg)
    assert shown[0].startswith("source recorded: ") and shown[1].startswith("source reused: 0.")
    assert torch.equal(first[0], again[0]) and close(again, fresh, 1e-4) and differ(first[1], again[1])


@pytest.mark.parametrize("name", [name for name in FAMILIES if name in NAMES])
def test_with_attention_kept_no_source_row_is_computed(graph: Graph, shown: list[str], name: str):
    flow, other = Flow(graph, name), "a photo of a red cat, lying on grass"
    first, again = (sampled(flow, edit, True, 3.0, keep_attention=True) for edit in (EDITS["equal"], other))
    fresh = sampled(flow, other, False, 3.0)
    assert shown[1] == "source reused: 0.50 of a full run"
    assert torch.equal(first[0], again[0]) and close(again, fresh, 1e-4) and differ(first[1], again[1])
