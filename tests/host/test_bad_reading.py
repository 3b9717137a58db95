"""Stores, samplings and finished pairs: misuse raises a P2PError that names node, value and fix."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from adapter import Host
from graphs import EDIT, OPEN, SOURCE, Graph
from refusals import Refused, pairing, put, sampling

pytestmark = pytest.mark.host


# Attention Store and its readers


def test_words_of_a_store_that_no_prompt_has(graph: Graph, refused: Refused):
    hint = "Use one of its words: a, red, circle"
    for word in ("lion", "star[2]"):
        refused("Attention Store", repr(word), hint, put, graph, "Attention Store", words=f"house, {word}")


def test_a_window_of_a_store_that_is_none(graph: Graph, refused: Refused):
    hint = "Swap start and end."
    refused("Attention Store", "0.6-0.2", hint, put, graph, "Attention Store", start=0.6, end=0.2)
    hint = "Set start and end between 0 and 1."
    refused("Attention Store", "0-1.5", hint, put, graph, "Attention Store", end=1.5)


def test_self_attention_of_a_resolution_that_the_model_lacks(graph: Graph, refused: Refused):
    refused("Attention Store", "1/8", "Choose one of 1/", put, graph, "Attention Store", self_attention="1/8")


@pytest.mark.parametrize("title", ["Attention Store", "Local Blend"])
def test_a_latent_that_is_not_a_number(graph: Graph, host: Host, refused: Refused, title: str):
    _, positive = graph.pair()
    model, _ = put(graph, title)
    latent = {"samples": torch.full_like(graph.plain(SOURCE)[:1], float("nan"))}
    hint = "Run the model in a higher precision (--force-fp32)"
    refused("Prompt-to-Prompt", "NaN or infinity in ", hint, sampling, graph, model, positive, latent=latent)


READERS = {
    "Blend Mask": "Local Blend",
    "Attention Maps": "Attention Store",
    "Self-Attention Components": "Attention Store",
}


def read(graph: Graph, title: str, store: Any, rows: torch.Tensor, **inputs: Any) -> tuple[Any, ...]:
    node = graph.node["P2P" + title.replace(" ", "").replace("-", "")]
    return graph.host.run(node, store=store, latent={"samples": rows}, **inputs)


def stored(graph: Graph, title: str = "Attention Store", edit: str = EDIT, **widgets: Any) -> tuple[Any, Any]:
    """A store after a sampling, and its latent."""
    prompts, positive = graph.pair(SOURCE, edit)
    model, store = put(graph, title, prompts, **widgets)
    return store, graph.sample(model, positive)


@pytest.mark.parametrize("title", READERS)
def test_a_store_that_was_never_filled(graph: Graph, refused: Refused, title: str):
    _, store = put(graph, READERS[title])
    hint = "Connect the LATENT of the sampler whose MODEL has the store's node, and queue again."
    refused(title, "one that was never filled", hint, read, graph, title, store, graph.plain(SOURCE))


@pytest.mark.parametrize("title", READERS)
def test_a_store_of_a_run_of_another_size(graph: Graph, refused: Refused, title: str):
    store, rows = stored(graph, READERS[title])
    assert read(graph, "Blend Mask" if title == "Blend Mask" else "Attention Maps", store, rows)
    hint = "Connect the LATENT of the sampler whose MODEL has the store's node, and queue again."
    others = {"4 of 8 × 8": torch.cat([rows, rows]), "1 of 8 × 8": rows[:1], "2 of 4 × 8": rows[..., :4]}
    for got, other in others.items():
        refused(title, got, hint, read, graph, title, store, other)


def test_a_mask_of_a_store_without_one(graph: Graph, refused: Refused):
    store, rows = stored(graph)
    hint = "Connect Local Blend's store."
    refused("Blend Mask", "one of Attention Store", hint, read, graph, "Blend Mask", store, rows)


def test_maps_of_a_store_without_any(graph: Graph, refused: Refused):
    closed = stored(graph, start=0.5, end=0.5)
    by_mask = stored(graph, "Local Blend", source_words="", mask=torch.ones(1, 8, 8))
    for store, rows in (closed, by_mask):
        refused(
            "Attention Maps", "one without", "Widen the window", read, graph, "Attention Maps", store, rows
        )


def test_words_that_are_not_in_the_store(graph: Graph, refused: Refused):
    store, rows = stored(graph, words="star, red house")
    for word, got in (("grass", "'grass'"), ("lion", "'lion', which is in no prompt"), ("house", "'house'")):
        hint = "Recorded words: star, red house."
        refused("Attention Maps", got, hint, read, graph, "Attention Maps", store, rows, words=word)


def test_layers_that_are_not_in_the_store(graph: Graph, refused: Refused):
    store, rows = stored(graph, layers="middle", self_attention="none")
    hint = "blocks (middle 0)"
    refused("Attention Maps", "'input'", hint, read, graph, "Attention Maps", store, rows, layers="input")


def test_steps_of_a_store_with_one_mean(graph: Graph, refused: Refused):
    store, rows = stored(graph)
    hint = "Set the step groups of Attention Store to 2 or more"
    refused("Attention Maps", "one mean", hint, read, graph, "Attention Maps", store, rows, view="steps")


@pytest.mark.parametrize("value", ["x", True, None])
def test_a_choice_that_its_list_does_not_have(graph: Graph, host: Host, refused: Refused, value: Any):
    """ComfyUI 0.3.64 lets any value through."""
    prompts, _ = graph.pair()
    store, rows = stored(graph)
    hint, blend = "Choose one of them", {"source_words": "circle", "mask_mode": value}
    refused("Attention Store", repr(value), hint, graph.on, "AttentionStore", prompts, self_attention=value)
    refused("Local Blend", repr(value), hint, graph.on, "LocalBlend", prompts, **blend)
    refused("Attention Maps", repr(value), hint, read, graph, "Attention Maps", store, rows, view=value)


@pytest.mark.parametrize("widget", ["threshold", "opacity"])
@pytest.mark.parametrize("value", [1.5, -0.1, float("nan")])
def test_maps_with_a_threshold_or_opacity_outside_0_to_1(
    graph: Graph, refused: Refused, widget: str, value: float
):
    store, rows = stored(graph, words="star")
    hint = "Set it between 0 and 1."
    refused(
        "Attention Maps", f"{value:g}", hint, read, graph, "Attention Maps", store, rows, **{widget: value}
    )


def test_pictures_of_another_number_or_shape_than_the_maps(graph: Graph, refused: Refused):
    store, rows = stored(graph, words="star")
    for shape in ((3, 64, 64, 3), (2, 64, 128, 3), (2, 64, 64, 4)):
        got = f"{shape[2]} × {shape[1]}" if shape[2] == 128 else str(list(shape))
        images = torch.zeros(shape)
        refused("Attention Maps", got, "", read, graph, "Attention Maps", store, rows, images=images)


def test_components_of_a_store_without_self_attention(graph: Graph, refused: Refused):
    store, rows = stored(graph)
    hint = "Set self_attention of Attention Store to a resolution that the MODEL has"
    title = "Self-Attention Components"
    refused(title, "one without", hint, read, graph, title, store, rows)


@pytest.mark.parametrize("count", [0, 17])
def test_more_components_than_cells(graph: Graph, refused: Refused, count: int):
    store, rows = stored(graph, self_attention="1/2")
    title, hint = "Self-Attention Components", "Choose fewer, or a higher resolution in Attention Store."
    refused(title, str(count), hint, read, graph, title, store, rows, count=count)


# A sampling


def test_a_paired_conditioning_with_a_plain_model(graph: Graph, host: Host, refused: Refused):
    _, paired = graph.pair()
    got, hint = "a plain MODEL with a paired CONDITIONING of 2 prompts", "Connect the MODEL output"
    refused("Prompt Pair", got, hint, sampling, graph, host.model(), paired)
    refused("Prompt Pair", got, hint, sampling, graph, host.model(), host.encode(SOURCE), negative=paired)


def test_a_patched_model_with_a_plain_conditioning(graph: Graph, host: Host, refused: Refused):
    model = graph.swapped(graph.pair()[0], **OPEN)
    hint = "Connect the CONDITIONING of Prompt Pair"
    refused("Prompt-to-Prompt", "a plain one", hint, sampling, graph, model, host.encode(SOURCE))


def test_a_paired_conditioning_of_other_prompts(graph: Graph, host: Host, refused: Refused):
    model = graph.swapped(graph.pair()[0], **OPEN)
    hint = "Connect the sampler's CONDITIONING and the MODEL's nodes to the same Prompt Pair."
    for edit in ("a red tree on grass", f"{EDIT}\n---\n{EDIT}"):
        _, other = graph.pair(SOURCE, edit)
        refused("Prompt-to-Prompt", f"{SOURCE!r} → ", hint, sampling, graph, model, other)
    _, three = graph.pair(SOURCE, f"{EDIT}\n---\n{EDIT}")
    _, paired = graph.pair()
    refused("Prompt-to-Prompt", SOURCE, hint, sampling, graph, model, paired, negative=three)


def test_a_conditioning_of_other_tokens(graph: Graph, host: Host, refused: Refused):
    """Other nodes encoded them, so only the sampling can see that they lack the prompts' length."""
    model = graph.swapped(graph.pair()[0], **OPEN)
    cut = [[[tensor[:, :50], options]] for tensor, options in (host.encode(SOURCE)[0], host.encode(EDIT)[0])]
    paired = pairing(graph, *cut)
    negative = [[host.encode("")[0][0][:, :50], {}]]
    hint = "Write all text into the prompts of Prompt Pair"
    refused("Prompt-to-Prompt", "one with 50", hint, sampling, graph, model, paired, negative=negative)


# Split Pair


def test_nothing_to_split(graph: Graph, host: Host, refused: Refused):
    prompts, _ = graph.pair()
    node = graph.node["P2PSplitPair"]
    refused("Split Pair", "neither", "Connect VAE Decode or the sampler.", host.run, node, prompts=prompts)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_batch_that_does_not_divide(graph: Graph, host: Host, refused: Refused, rows: int):
    prompts, _ = graph.pair()
    node = graph.node["P2PSplitPair"]
    hint = "Connect the result of the sampler that has the paired CONDITIONING."
    images, latent = torch.zeros(rows, 8, 8, 3), {"samples": torch.zeros(rows, 3, 8, 8)}
    refused("Split Pair", f"{rows} rows", hint, host.run, node, prompts=prompts, images=images)
    refused("Split Pair", f"{rows} rows", hint, host.run, node, prompts=prompts, latent=latent)


def test_a_source_prompt_alone_is_not_split(graph: Graph, host: Host, refused: Refused):
    prompts, _ = graph.pair(SOURCE, "")
    node, hint = graph.node["P2PSplitPair"], "Connect the prompts output of Reweight"
    images = torch.zeros(1, 8, 8, 3)
    refused("Split Pair", "a source prompt alone", hint, host.run, node, prompts=prompts, images=images)
