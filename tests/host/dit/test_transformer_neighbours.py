"""Other packs and nodes on a transformer's MODEL: each works or raises an error with advice."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import pytest
import torch
from graphs import Graph
from like_plain import Change, require_chain, require_like_plain

pytestmark = [pytest.mark.host, pytest.mark.real_host, pytest.mark.filterwarnings("ignore")]

try:
    from test_end_to_end import NAMES
    from transformer_host import TransformerHost
    from transformer_neighbours import NEIGHBOURS, core, forward_without_options
except ModuleNotFoundError:  # on the stand-in, where these tests do not run
    NAMES, NEIGHBOURS = [], {}

FULL = [name for name in ("Flux.1", "Qwen-Image", "Z-Image", "SD3", "Wan 2.1") if name in NAMES]
FAMILIES = {  # that a neighbour does something to, where those are not all of them
    "cached blocks": ["Flux.1", "Qwen-Image", "Z-Image", "Wan 2.1"],
    "cached calls": ["Flux.1", "Wan 2.1"],
    "shift of SD3": ["SD3", "Wan 2.1"],
    "shift of AuraFlow": ["Qwen-Image", "Z-Image"],
    "shift of Flux": ["Flux.1"],
    "scaled RoPE": ["Flux.1", "Z-Image"],
    "CFG-Zero*": ["Wan 2.1", "Z-Image"],
    "CFG Norm": ["Qwen-Image"],
    "APG": ["Qwen-Image"],
    "TCFG": ["Flux.1"],
    "Rescale CFG": ["SD3"],
    "Renorm CFG": ["Z-Image"],
    "Skip Layer Guidance": ["Flux.1", "Qwen-Image", "Wan 2.1"],
    "Skip Layer Guidance, simple": ["Flux.1"],
    "Skip Layer Guidance (SD3)": ["SD3"],
    "perturbed tokens": ["Flux.1", "Wan 2.1"],
    "NAG of the host": ["Flux.1"],
}
CASES = [
    (name, neighbour) for neighbour in NEIGHBOURS for name in FAMILIES.get(neighbour, FULL) if name in NAMES
]
NEW = {"NAG of the host": "nodes_nag", "scaled RoPE": "nodes_rope"}  # modules of the host


def of(name: str, node: dict[str, Any]) -> Graph:
    return Graph(TransformerHost(name), node)


@pytest.mark.parametrize(("name", "neighbour"), CASES)
def test_before_and_after_word_swap_it_is_the_same(node: dict[str, Any], name: str, neighbour: str) -> None:
    module = f"comfy_extras.{NEW.get(neighbour, 'nodes_slg')}"
    if not importlib.util.find_spec(module):
        pytest.skip("this ComfyUI has no such node")
    require_chain(of(name, node), NEIGHBOURS[neighbour], steps=3)


REFERENCES = [name for name in ("Flux.1", "Flux.2", "Flux.2 Klein", "Qwen-Image") if name in NAMES]


def referenced(graph: Graph, batch: int = 1) -> Change:
    """Reference Latent on both sides, with one latent or one per sample."""
    shape = graph.host.empty_latent(64, 96)["samples"].shape[1:]
    samples = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(3))

    def change(positive: Any, negative: Any, rows: int) -> Any:
        latent = {"samples": samples.repeat_interleave(rows, dim=0) if batch > 1 else samples}
        node = importlib.import_module("comfy_extras.nodes_edit_model").ReferenceLatent
        return tuple(node.execute(side, latent).args[0] for side in (positive, negative))

    return change


@pytest.mark.parametrize("name", REFERENCES)
def test_reference_latents(node: dict[str, Any], name: str) -> None:
    graph = of(name, node)
    require_like_plain(graph, referenced(graph))
    require_like_plain(graph, referenced(graph, batch=2), batch=2)


@pytest.mark.parametrize("name", [name for name in ("Flux.2 Klein",) if name in NAMES])
def test_keys_of_reference_latents_in_a_cache(node: dict[str, Any], name: str) -> None:
    """Flux KV Cache: after the first step, their queries are gone. The host's works without guidance only."""
    graph = of(name, node)
    require_like_plain(graph, referenced(graph), on=core("nodes_flux", "FluxKVCache"), steps=3)


@pytest.mark.parametrize("name", FULL)
def test_blocks_that_do_not_use_comfyuis_attention_are_refused(
    node: dict[str, Any], name: str, error: Any
) -> None:
    graph = of(name, node)
    with pytest.raises(
        error,
        match=r"attention calls in the first model call of .+, got 0\. Remove .*TeaCache",
    ):
        graph.edited(model=forward_without_options(graph.host.model()))
