"""A real server under random edits; `make stress` runs two hundred."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from benchmarks.host.stress import drawn_again, interrupted, one, pictures, reference
from tools.comfyui.server import PACK, Server, trouble_of

pytest_plugins = ("server_fixtures",)
pytestmark = [pytest.mark.real_host, pytest.mark.server]

REFERENCES = PACK / "example_workflows" / "api"


@pytest.fixture(scope="module")
def nodes(server: Server) -> Any:
    return server.get_json("/object_info")


@pytest.fixture(scope="module")
def before(server: Server) -> list[np.ndarray]:
    return pictures(server, reference(server))


def unchanged(server: Server, before: list[np.ndarray]) -> bool:
    return all(map(np.array_equal, pictures(server, reference(server, anew=True)), before))


def test_random_edits_are_drawn_or_reported(server: Server, nodes: Any, before: list[np.ndarray]):
    outcomes = [one(server, nodes, seed) for seed in range(10)]
    assert any("drawn" in outcome for outcome in outcomes)
    assert any("error with a hint" in outcome or "rejected" in outcome for outcome in outcomes)
    assert unchanged(server, before)


@pytest.mark.parametrize("after", [0.1, 0.7])
def test_the_stop_button(server: Server, before: list[np.ndarray], after: float):
    interrupted(server, longer(1), after)
    assert unchanged(server, before)


def test_edits_that_are_queued_on_each_other(server: Server, before: list[np.ndarray]):
    graph = longer(2)
    drawn_again(server, graph, pictures(server, server.run(graph)))
    assert unchanged(server, before)


def test_views_drawn_anew_from_a_cached_sampling(server: Server):
    """The store still holds the maps of a sampling that does not run again."""
    graph = json.loads((REFERENCES / "p2p_attention_maps.json").read_text("utf-8"))
    assert not trouble_of(server.run(graph))
    view = next(node for node in graph.values() if node["class_type"] == "P2PAttentionMaps")
    view["inputs"]["opacity"] = 0.31
    entry = server.run(graph)
    kept = next(body["nodes"] for kind, body in entry["status"]["messages"] if kind == "execution_cached")
    assert not trouble_of(entry) and any(graph[name]["class_type"] == "KSampler" for name in kept)


def longer(seed: int) -> dict[str, Any]:
    """The example workflow with another seed."""
    graph = json.loads((REFERENCES / "p2p_word_swap.json").read_text("utf-8"))
    for node in graph.values():
        if node["class_type"] == "KSampler":
            node["inputs"] |= {"seed": seed, "steps": 8}
    return graph
