"""Split Pair: source and edits of a paired result as separate outputs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from adapter import Host
from graphs import CLOSED, EDIT, SOURCE, Graph

pytestmark = pytest.mark.host

OTHER = "a red tree and a blue star on snow"


def split(graph: Graph, edit: str = EDIT, **inputs: Any) -> tuple[Any, ...]:
    return graph.host.run(graph.node["P2PSplitPair"], prompts=graph.pair(SOURCE, edit)[0], **inputs)


def blocked(value: Any) -> bool:
    from comfy_execution.graph_utils import ExecutionBlocker

    return isinstance(value, ExecutionBlocker) and value.message is None


def test_pictures(graph: Graph):
    images = torch.arange(4.0)[:, None, None, None].expand(4, 8, 8, 3)
    source, edits, *latents = split(graph, images=images)
    assert torch.equal(source, images[::2]) and torch.equal(edits, images[1::2])
    assert all(map(blocked, latents)), "what hangs on the unused outputs does not run"


def test_pictures_of_several_edits(graph: Graph):
    images = torch.arange(6.0)[:, None, None, None].expand(6, 8, 8, 3)
    source, edits, *_ = split(graph, f"{EDIT}\n---\n{OTHER}", images=images)
    assert source[:, 0, 0, 0].tolist() == [0, 3]
    assert edits[:, 0, 0, 0].tolist() == [1, 2, 4, 5]


def test_the_latent_of_a_sampling(graph: Graph, host: Host):
    prompts, positive = graph.pair(SOURCE, f"{EDIT}\n---\n{OTHER}")
    latent = {
        **host.empty_latent(64, 64, batch=2),
        "batch_index": [3, 5],
        "noise_mask": torch.ones(2, 1, 8, 8),
    }
    latent["noise_mask"][1] = 0.5
    made = host.sample(graph.swapped(prompts, **CLOSED), positive, host.encode(""), latent=latent)
    *images, source, edits = host.run(graph.node["P2PSplitPair"], prompts=prompts, latent=made)
    assert all(map(blocked, images))
    rows = made["samples"]
    assert torch.equal(source["samples"], rows[::3])
    assert torch.equal(edits["samples"], rows[[1, 2, 4, 5]])
    assert source["batch_index"] == [3, 5] and edits["batch_index"] == [3, 3, 5, 5]
    assert source["noise_mask"][:, 0, 0, 0].tolist() == [1, 0.5]
    assert edits["noise_mask"][:, 0, 0, 0].tolist() == [1, 1, 0.5, 0.5]
    assert made["batch_index"] == [3, 5], "the LATENT that came in is as it was"


def test_a_mask_for_all_samples_stays_one(graph: Graph):
    latent = {"samples": torch.zeros(4, 3, 8, 8), "noise_mask": torch.ones(1, 1, 8, 8)}
    *_, source, edits = split(graph, latent=latent)
    assert source["noise_mask"] is edits["noise_mask"] is latent["noise_mask"]


def test_both_at_once(graph: Graph):
    images, latent = torch.zeros(2, 8, 8, 3), {"samples": torch.zeros(2, 3, 8, 8)}
    assert not any(map(blocked, split(graph, images=images, latent=latent)))
