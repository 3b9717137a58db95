"""The example workflows' final latents on this ComfyUI are those that were recorded."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from golden.record import Golden, golden_latents
from golden.workflows import NAMES, final_latents, workflow_of

pytestmark = pytest.mark.real_host


@pytest.fixture(scope="module")
def golden(host: Any, pytestconfig: pytest.Config) -> Iterator[Golden]:
    with golden_latents(host.name, pytestconfig) as found:
        yield found


@pytest.mark.parametrize("name", NAMES)
def test_latents_are_golden(golden: Golden, host: Any, node: dict[str, Any], name: str) -> None:
    import torch

    stock = importlib.import_module("nodes").NODE_CLASS_MAPPINGS

    def run_node(kind: str, inputs: dict[str, Any]) -> Sequence[Any]:
        if kind in node:
            return host.run(node[kind], **inputs)
        instance = stock[kind]()
        return getattr(instance, instance.FUNCTION)(**inputs)

    with torch.inference_mode():
        golden.check(name, final_latents(workflow_of(name), run_node))
