"""Presets of the edit nodes, and the calls that their windows held, shown on the node after the sampling."""

from __future__ import annotations

import logging
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from graphs import CLOSED, Graph

pytestmark = pytest.mark.host

NODES = ("PromptEdit", "WordSwap", "Refine")
SHOWN = "cross window 0-0.4: 2 of 4 steps · self window closed"


class Server:
    """What the pack uses of the host's server."""

    def __init__(self, client_id: str | None) -> None:
        self.client_id, self.sent = client_id, list[tuple[Any, ...]]()

    def send_sync(self, *message: Any) -> None:
        self.sent.append(message)


@pytest.fixture
def server(pack: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server with a front end that waits for the prompt whose node 3 runs."""
    made = Server("tab 1")
    monkeypatch.setitem(sys.modules, "server", SimpleNamespace(PromptServer=SimpleNamespace(instance=made)))
    module = sys.modules[f"{pack.__name__}.nodes.comfyui.shown_after"]
    context = SimpleNamespace(node_id="3", prompt_id="run 7")
    monkeypatch.setattr(module, "get_executing_context", lambda: context)
    return made


def drawn(
    graph: Graph, name: str = "PromptEdit", steps: int = 4, sampler: str = "euler", **widgets: Any
) -> torch.Tensor:
    prompts, positive = graph.pair()
    model = graph.on(name, prompts, **widgets)[0]
    return graph.sample(model, positive, steps=steps, sampler=sampler)


@pytest.mark.parametrize("name", NODES)
def test_a_preset_takes_the_place_of_the_numbers_of_the_node(graph: Graph, name: str) -> None:
    balanced = drawn(graph, name, cross_end=0.4, self_end=0.6)
    assert torch.equal(drawn(graph, name, preset="balanced", **CLOSED), balanced)
    assert torch.equal(drawn(graph, name, preset="custom", cross_end=0.4, self_end=0.6), balanced)
    alone = drawn(graph, name, **CLOSED)
    assert torch.equal(drawn(graph, name, preset="free"), alone) and not torch.equal(alone, balanced)


@pytest.mark.parametrize("name", NODES)
def test_a_workflow_without_the_field_draws_as_before(graph: Graph, name: str) -> None:
    """As the host calls a node for an API workflow that was saved before."""
    prompts, positive = graph.pair()
    windows: dict[str, Any] = {"cross_start": 0.0, "cross_end": 1.0, "self_start": 0.0, "self_end": 0.2}
    result = graph.node[f"P2P{name}"].execute(model=graph.host.model(), prompts=prompts, **windows)
    assert torch.equal(graph.sample(result.args[0], positive, steps=4), drawn(graph, name, **windows))


def test_an_unknown_preset(graph: Graph, error: type[Exception]) -> None:
    prompts, _ = graph.pair()
    with pytest.raises(
        error, match=r"Prompt Edit: expected preset to be one of balanced, recolour, .*, got 'fast'"
    ):
        graph.on("PromptEdit", prompts, preset="fast")


def test_after_a_sampling_the_node_shows_what_its_windows_held(graph: Graph, server: Server) -> None:
    drawn(graph, self_end=0.0)
    ((event, message, client),) = server.sent
    assert (event, client) == ("executed", "tab 1")
    output = message.pop("output")
    assert message == {"node": "3", "display_node": "3", "prompt_id": "run 7"}
    assert output["p2p.windows"] == [SHOWN]
    assert output["p2p.summary"] and output["p2p.prompts"], "what it showed before the sampling stays"


def test_each_node_of_a_chain_shows_its_own_windows(graph: Graph, server: Server) -> None:
    prompts, positive = graph.pair()
    model = graph.on("WordSwap", prompts, **CLOSED)[0]
    model = graph.on("Reweight", prompts, model, weights="star: 2", cross_end=0.5)[0]
    graph.sample(model, positive, steps=4)
    texts = [message["output"]["p2p.windows"] for _, message, _ in server.sent]
    assert texts == [
        ["cross window closed · self window closed"],
        ["window of the weights 0-0.5: 2 of 4 steps"],
    ]


@pytest.mark.real_host
@pytest.mark.parametrize("sampler", ["heun", "dpm_2", "dpmpp_2s_ancestral", "uni_pc"])
def test_all_model_calls_of_a_sampler_are_counted(graph: Graph, server: Server, sampler: str) -> None:
    calls = 0

    def count(apply_model: Any, given: dict[str, Any]) -> Any:
        nonlocal calls
        calls += 1
        return apply_model(given["input"], given["timestep"], **given["c"])

    model = graph.host.model().clone()
    model.set_model_unet_function_wrapper(count)
    prompts, positive = graph.pair()
    model = graph.on("PromptEdit", prompts, model, cross_end=1.0, self_end=0.0)[0]
    graph.sample(model, positive, steps=4, sampler=sampler)
    ((_, message, _),) = server.sent
    unit = "steps" if calls == 4 else "model calls"
    text = f"cross window 0-1: {calls} of {calls} {unit} · self window closed"
    assert message["output"]["p2p.windows"] == [text]


@pytest.mark.parametrize("client", [None, "no server"])
def test_without_a_front_end_the_log_says_it_once(
    graph: Graph,
    server: Server,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    client: str | None,
) -> None:
    server.client_id = None
    if client:
        monkeypatch.delitem(sys.modules, "server")
    with caplog.at_level(logging.INFO):
        drawn(graph, self_end=0.0)
    assert [r.getMessage() for r in caplog.records if "window" in r.getMessage()] == [
        f"Prompt-to-Prompt: {SHOWN}"
    ]
    assert server.sent == []
