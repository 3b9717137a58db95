"""The example workflows that need no checkpoint, run up to their sampler on any host."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

API = Path(__file__).resolve().parents[2] / "examples_workflows" / "api"
SAMPLER = "KSampler"

Workflow = dict[str, Any]
RunNode = Callable[[str, dict[str, Any]], Sequence[Any]]
"""The outputs of a node, from its class and its inputs by name."""


def workflow_of(name: str) -> Workflow:
    return json.loads((API / f"{name}.json").read_text("utf-8"))


def _on_the_demo_model(name: str) -> bool:
    return any(node["class_type"] == "P2PDemoModel" for node in workflow_of(name).values())


NAMES = tuple(name for name in sorted(file.stem for file in API.glob("*.json")) if _on_the_demo_model(name))


def final_latents(workflow: Workflow, run_node: RunNode) -> Tensor:
    """The output of the workflow's only sampler, [R, C, h, w]. Runs only the nodes that it needs."""

    @cache
    def outputs(node_id: str) -> Sequence[Any]:
        node = workflow[node_id]
        return run_node(node["class_type"], {name: value(given) for name, given in node["inputs"].items()})

    def value(given: Any) -> Any:
        return outputs(given[0])[given[1]] if isinstance(given, list) else given

    (sampler,) = (node_id for node_id, node in workflow.items() if node["class_type"] == SAMPLER)
    return outputs(sampler)[0]["samples"]
