"""A MODEL that went into a node is unmodified, whatever happens to the node's output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from adapter import Host
from graphs import OPEN, SOURCE, Graph, Patch, own_attention, state, with_patch

pytestmark = pytest.mark.host


class Scene:
    """A MODEL, a clone of it, and Word Swap on it."""

    def __init__(self, graph: Graph, patch: Patch = own_attention) -> None:
        self.graph = graph
        self.model = with_patch(graph.host.model(), patch, "middle", 0)
        self.clone = self.model.clone()
        self.models = [graph.host.model(), self.model, self.clone]
        self.before = [state(model) for model in self.models]
        self.picture = graph.plain(SOURCE)
        self.prompts, self.positive = graph.pair()
        self.swapped = graph.swapped(self.prompts, self.model, **OPEN)
        self.models.append(self.swapped)
        self.before.append(state(self.swapped))

    def check(self) -> None:
        assert [state(model) for model in self.models] == self.before
        assert torch.equal(self.graph.plain(SOURCE, model=self.graph.host.model()), self.picture)


def test_a_bypassed_node_leaves_no_trace(graph: Graph, host: Host):
    """The rest of the graph is sampled as if the pack were not installed."""
    scene = Scene(graph)
    assert not any("p2p" in str(key) for key in _keys(state(scene.model)))
    assert any("p2p" in str(key) for key in _keys(state(scene.swapped)))
    graph.sample(scene.swapped, scene.positive)
    assert torch.equal(graph.plain(SOURCE, model=scene.clone), scene.picture)
    scene.check()


def _keys(value: Any) -> list[Any]:
    return [*value, *(k for inner in value.values() for k in _keys(inner))] if isinstance(value, dict) else []


def test_a_success_leaves_every_model_as_it_was(graph: Graph):
    scene = Scene(graph)
    first = graph.sample(scene.swapped, scene.positive)
    assert torch.equal(graph.sample(scene.swapped, scene.positive), first)
    scene.check()


@pytest.mark.parametrize("at_call", [1, 2])
@pytest.mark.parametrize("raised", ["error", "interrupt"])
def test_what_ends_a_sampling_leaves_every_model_as_it_was(
    graph: Graph, host: Host, raised: str, at_call: int
):
    exception = RuntimeError if raised == "error" else host.interrupt
    calls_left: list[int] = []
    scene = Scene(graph, ending(exception(), calls_left))
    first = graph.sample(scene.swapped, scene.positive)
    calls_left.append(at_call)
    with pytest.raises(exception):
        graph.sample(scene.swapped, scene.positive)
    scene.check()
    assert torch.equal(graph.sample(scene.swapped, scene.positive), first)


def ending(exception: BaseException, calls_left: list[int]) -> Patch:
    """Raises at the n-th call after `calls_left` was set to n."""

    def patch(
        q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, extra_options: dict[str, Any]
    ) -> torch.Tensor:
        if calls_left:
            left = calls_left.pop() - 1
            if not left:
                raise exception
            calls_left.append(left)
        return own_attention(q, k, v, extra_options)

    return patch


@pytest.mark.real_host
def test_an_interrupt_from_the_front_end(graph: Graph, host: Host):
    """The stop button sets a flag that the host's own layers check."""
    import comfy.model_management as management

    def stopping(
        q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, extra_options: dict[str, Any]
    ) -> torch.Tensor:
        management.interrupt_current_processing()
        management.throw_exception_if_processing_interrupted()
        raise AssertionError("not reached")

    scene = Scene(graph, stopping)
    with pytest.raises(host.interrupt):
        graph.sample(scene.swapped, scene.positive)
    scene.check()


def test_nodes_share_no_state(graph: Graph):
    """Two MODELs made from one, sampled alternately."""
    prompts, positive = graph.pair()
    a, b = graph.swapped(prompts, **OPEN), graph.swapped(prompts, **OPEN, layers="middle")
    samplings: list[Callable[[], torch.Tensor]] = [
        lambda: graph.sample(a, positive), lambda: graph.sample(b, positive), lambda: graph.plain(SOURCE)
    ]  # fmt: skip
    first = [sampling() for sampling in samplings]
    assert all(map(torch.equal, [sampling() for sampling in samplings], first))


def test_a_clone_of_a_patched_model_samples_like_it(graph: Graph):
    prompts, positive = graph.pair()
    model = graph.swapped(prompts, **OPEN)
    assert torch.equal(graph.sample(model.clone().clone(), positive), graph.sample(model, positive))
