"""How a refusal is looked at: its parts, and that the MODEL is as it was."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from adapter import Host
from graphs import SOURCE, Graph, state

Refused = Callable[..., Any]


@pytest.fixture
def refused(graph: Graph, host: Host, error: type[Exception]) -> Iterator[Refused]:
    """Calls something that has to be refused, with a message of these parts in order."""
    model, picture = host.model(), graph.plain(SOURCE)
    before = state(model)

    def check(
        node: str, value: str, mend: str, function: Callable[..., Any], *args: Any, **options: Any
    ) -> None:
        with pytest.raises(error) as caught:
            function(*args, **options)
        parts = re.escape(node) + r": expected .+, got .*" + re.escape(value) + r".*\. .*" + re.escape(mend)
        assert re.search(parts, str(caught.value), re.DOTALL), str(caught.value)

    yield check
    assert state(model) == before
    assert torch.equal(graph.plain(SOURCE, model=model), picture)


# What is asked to refuse


NODES: dict[str, dict[str, Any]] = {
    "Word Swap": {},
    "Refine": {},
    "Prompt Edit": {},
    "Reweight": {"weights": "star: 2"},
    "Local Blend": {"source_words": "circle"},
    "Attention Store": {},
}


def put(graph: Graph, title: str, prompts: Any = None, model: Any = None, **widgets: Any) -> tuple[Any, ...]:
    """A node on a MODEL, with widgets that would do but for these."""
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
