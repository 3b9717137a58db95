"""Invalid input on transformers raises a P2PError that names the node, the value and the fix."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from graphs import CLOSED, EDIT, SOURCE, Graph, close, repeated
from refusals import pairing
from torch import nn

pytestmark = [pytest.mark.host, pytest.mark.real_host, pytest.mark.filterwarnings("ignore")]

try:
    from test_end_to_end import NAMES
    from text_encoders import tiny_clip
    from transformer_host import TransformerHost
except ModuleNotFoundError:  # on the stand-in, where these tests do not run
    NAMES = []

FULL = [name for name in ("Wan 2.1", "Flux.1", "Qwen-Image", "Z-Image", "SD3") if name in NAMES]
OTHER = "text of the model's own text encoder, got {got}.* Load the text encoder that belongs to the model"


def of(name: str, node: dict[str, Any]) -> Graph:
    return Graph(TransformerHost(name), node)


@pytest.mark.parametrize("name", FULL)
def test_a_conditioning_of_another_encoder(node: dict[str, Any], name: str, error: type[Exception]) -> None:
    """Its text is wider than the model's."""
    graph = of(name, node)
    prompts, _ = graph.pair()
    wide = [
        [[torch.cat([text, text], dim=2), options] for text, options in graph.host.encode(each)]
        for each in (SOURCE, EDIT)
    ]
    positive, width = pairing(graph, *wide), wide[0][0][0].shape[2]
    with pytest.raises(
        error, match="Prompt-to-Prompt: expected " + OTHER.format(got=f"text of {width} channels")
    ):
        graph.sample(graph.swapped(prompts), positive)


def test_a_clip_of_another_model(node: dict[str, Any], error: type[Exception]) -> None:
    """Wan's text encoder with SD3."""
    graph, clip = of("SD3", node), tiny_clip("wan", attends=True)
    prompts, positive = graph.host.run(node["P2PPromptPair"], clip=clip, source=SOURCE, edit=EDIT)
    with pytest.raises(error, match=OTHER.format(got="text of 16 channels")):
        graph.sample(graph.swapped(prompts), positive)


def test_blocks_of_another_pack(node: dict[str, Any], error: type[Exception]) -> None:
    """Nunchaku puts a class of its own where the host's transformer was."""
    graph = of("Flux.1", node)
    prompts, _ = graph.pair()
    wrapped = graph.host.model().clone()
    wrapped.model = type("Flux", (nn.Module,), {})()
    wrapped.model.diffusion_model = type("ComfyFluxWrapper", (nn.Module,), {})()
    refusal = r"Word Swap: expected Flux with ComfyUI's blocks .*, got ComfyFluxWrapper.*Load the model with"
    with pytest.raises(error, match=refusal):
        graph.swapped(prompts, wrapped)


def test_references_of_other_sizes_on_source_and_edit(node: dict[str, Any], error: type[Exception]) -> None:
    graph = of("Flux.1", node)
    apply = importlib.import_module("comfy_extras.nodes_edit_model").ReferenceLatent.execute
    sides = [
        apply(graph.host.encode(text), graph.host.empty_latent(64, size)).args[0]
        for text, size in ((SOURCE, 64), (EDIT, 96))
    ]
    expected = "Pair Conditioning: expected reference latents of the same number and size on source and edit"
    with pytest.raises(error, match=expected):
        pairing(graph, *sides)


@pytest.mark.parametrize("name", [name for name in FULL if name != "Z-Image"])
def test_prompts_that_fill_the_text(node: dict[str, Any], name: str) -> None:
    """As long as the encoder's default length and longer: drawn as alone."""
    graph, more = of(name, node), ", the old sea at night with stars" * 40
    texts = SOURCE + more, EDIT + more
    prompts, positive = graph.pair(*texts)
    closed = graph.sample(graph.swapped(prompts, **CLOSED), positive)
    twice = repeated(graph.host.empty_latent(64, 64), 2)
    for row, text in enumerate(texts):
        plain = graph.sample(graph.host.model(), graph.host.encode(text), latent=twice)
        assert close(closed[row], plain[row])
