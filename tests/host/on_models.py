"""The demo model and three transformers, for tests that hold for every model."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from graphs import Graph

DEMO = "demo model"
TRANSFORMERS = ("Wan 2.1", "Flux.1", "Qwen-Image")  # one with separate attention, two with joint attention
MODELS = [DEMO, *(pytest.param(name, marks=pytest.mark.real_host) for name in TRANSFORMERS)]


def graph_of(name: str, demo: Graph) -> Graph:
    return demo if name == DEMO else Graph(_host(name), demo.node)


@functools.cache
def _host(name: str) -> Any:
    from transformer_host import TransformerHost

    return TransformerHost(name)
