"""Invalid input raises a P2PError that names the node, the value and the fix; the MODEL is unmodified."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from adapter import Host
from graphs import EDIT, SOURCE, Graph, state
from refusals import NODES, Refused, pairing, put, sampling

pytestmark = pytest.mark.host


# Prompt Pair


@pytest.mark.parametrize("empty", ["", "   ", "\n"])
def test_an_empty_prompt(graph: Graph, refused: Refused, empty: str):
    refused("Prompt Pair", repr(empty), "Write a source prompt.", graph.pair, empty, EDIT)


@pytest.mark.parametrize("title", ["Prompt Edit", "Word Swap", "Refine", "Local Blend"])
def test_an_edit_without_an_edit_prompt(graph: Graph, host: Host, refused: Refused, title: str):
    prompts, _ = graph.pair(SOURCE, " ")
    hint = "Write the changed prompt into Prompt Pair's edit"
    words = {"source_words": "circle"} if title == "Local Blend" else {}
    refused(title, "none", hint, graph.on, title.replace(" ", ""), prompts, **words)


def test_an_empty_prompt_among_several(graph: Graph, refused: Refused):
    refused("Prompt Pair", "''", "Write an edit prompt.", graph.pair, SOURCE, f"{EDIT}\n---\n\n---\n{EDIT}")


@pytest.mark.parametrize("clip", [None, SimpleNamespace(tokenizer=SimpleNamespace(t5xxl=None)), object()])
def test_a_text_encoder_that_is_no_clip(graph: Graph, host: Host, refused: Refused, clip: Any):
    value = type(getattr(clip, "tokenizer", clip)).__name__
    hint = "Use the text encoder that belongs to the model."
    refused(
        "Prompt Pair", value, hint, host.run, graph.node["P2PPromptPair"], clip=clip, source=SOURCE, edit=EDIT
    )


# Pair Conditioning


def changed(conditioning: Any, **options: Any) -> Any:
    return [[tensor, {**own, **options}] for tensor, own in conditioning]


HINT = "Encode source and edit with the same CLIP and the same nodes."
UNLIKE: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "of another width": ("channels", lambda c: [[torch.cat([c[0][0]] * 2, dim=2), c[0][1]]]),
    "of two prompts": ("(2, 77", lambda c: [[torch.cat([c[0][0]] * 2), c[0][1]]]),
    "without a tensor": ("NoneType", lambda c: [[None, c[0][1]]]),
    "of two entries": ("1 and 2", lambda c: [*c, *c]),
    "of no entry": ("1 and 0", lambda c: []),
    "with an area": ("different ones", lambda c: changed(c, area=(8, 8, 0, 0))),
    "with another strength": ("different ones", lambda c: changed(c, strength=0.5)),
    "with masks of another size": ("different ones", lambda c: changed(c, mask=torch.ones(1, 4, 4))),
    "with other lists": ("different ones", lambda c: changed(c, more_latents=[torch.ones(1, 3, 4, 8)])),
}


@pytest.mark.parametrize("kind", UNLIKE)
def test_conditionings_that_cannot_be_paired(graph: Graph, host: Host, refused: Refused, kind: str):
    value, change = UNLIKE[kind]
    source, edit = host.encode(SOURCE), host.encode(EDIT)
    if "mask" in kind or "lists" in kind:
        source = changed(source, mask=torch.zeros(1, 8, 8), more_latents=[torch.zeros(1, 3, 4, 4)])
        edit = changed(edit, mask=torch.zeros(1, 8, 8), more_latents=[torch.zeros(1, 3, 4, 4)])
    refused("Pair Conditioning", value, HINT, pairing, graph, source, change(edit))


def test_text_that_does_not_fit_the_prompts(graph: Graph, host: Host, refused: Refused):
    """Text encoders of transformers may give any number of tokens; a U-Net's gives 77 or a multiple."""
    prompts, _ = graph.pair()
    text, own = host.encode(EDIT)[0]
    long = [[text.repeat(1, 6, 1)[:, :401], own]]
    paired = pairing(graph, host.encode(SOURCE), long)
    model = graph.swapped(prompts)
    refused(
        "Prompt-to-Prompt",
        "401",
        "Write all text into the prompts of Prompt Pair",
        graph.sample,
        model,
        paired,
    )


def test_a_conditioning_that_is_a_pair_already(graph: Graph, host: Host, refused: Refused):
    _, paired = graph.pair()
    refused(
        "Pair Conditioning", "one that is already paired", HINT, pairing, graph, host.encode(SOURCE), paired
    )


# Word Swap


@pytest.mark.parametrize(
    ("widgets", "value"),
    [
        ({"cross_end": 1.2}, "0-1.2"),
        ({"cross_start": -0.1}, "-0.1-0.4"),
        ({"self_start": 0.6, "self_end": 0.2}, "0.6-0.2"),
        ({"self_end": float("nan")}, "0-nan"),
        ({"word_windows": "house: 0.8-0.2"}, "0.8-0.2"),
        ({"word_windows": "house: 3"}, "'house: 3'"),
    ],
)
def test_a_window_that_is_none(graph: Graph, refused: Refused, widgets: dict[str, Any], value: str):
    prompts, _ = graph.pair()
    hint = "Swap start and end." if value in ("0.6-0.2", "0.8-0.2") else "Set start and end between 0 and 1."
    refused("Word Swap", value, hint, graph.swapped, prompts, **widgets)


def test_a_window_for_a_word_that_is_not_there(graph: Graph, refused: Refused):
    prompts, _ = graph.pair()
    words = "Use one of its words: a, red, house, and, a, blue, star, on, grass."
    refused("Word Swap", "'lion'", words, graph.swapped, prompts, word_windows="house: 0.2\nlion: 0.4")
    refused("Word Swap", "'blue[2]'", words, graph.swapped, prompts, word_windows="blue[2]: 0.4")
    refused(
        "Word Swap",
        "'house 0.4'",
        "Write the word, a colon",
        graph.swapped,
        prompts,
        word_windows="house 0.4",
    )


# Every node that patches a MODEL

TOKEN_EDITS = ["Word Swap", "Refine", "Prompt Edit"]


@pytest.mark.parametrize("title", NODES)
def test_prompts_of_another_pair_in_the_chain(graph: Graph, refused: Refused, title: str):
    other, _ = graph.pair(SOURCE, "a red tree and a blue star on grass")
    hint = "Connect all Prompt-to-Prompt nodes of one MODEL to the same Prompt Pair."
    for first in NODES:
        model = put(graph, first)[0]
        before = state(model)
        refused(title, "'a red tree and a blue star on grass'", hint, put, graph, title, other, model)
        assert state(model) == before


@pytest.mark.parametrize("title", NODES)
def test_a_node_on_a_model_that_is_not_supported(graph: Graph, host: Host, refused: Refused, title: str):
    model = host.model_without_text()
    before, hint = state(model), "Load a checkpoint of a supported model."
    name = f"{type(model.model).__name__}, a class of model whose text columns are not known"
    refused(title, name, hint, put, graph, title, model=model)
    assert state(model) == before


def test_what_is_supported_is_listed(graph: Graph, host: Host, error: type[Exception]):
    supported = r"expected a U-Net .SD1.x, SD2.x, SDXL. or one of the supported transformers .*Z-Image.*, got"
    with pytest.raises(error, match=supported):
        put(graph, "Word Swap", model=host.model_without_text())


@pytest.mark.parametrize("title", NODES)
def test_layers_that_meet_nothing(graph: Graph, refused: Refused, title: str):
    refused(title, "'1/64'", "its resolutions 1/", put, graph, title, layers="1/64")
    refused(title, "'inner 3'", "List stages", put, graph, title, layers="inner 3")
    refused(title, "''", "List stages", put, graph, title, layers="")


@pytest.mark.parametrize("title", TOKEN_EDITS)
def test_word_windows_of_a_word_that_is_not_there(graph: Graph, refused: Refused, title: str):
    words = "Use one of its words: a, red, house, and, a, blue, star, on, grass."
    refused(title, "'lion'", words, put, graph, title, word_windows="house: 0.2\nlion: 0.4")


@pytest.mark.parametrize("title", [*TOKEN_EDITS, "Reweight"])
@pytest.mark.parametrize("kind", ["cross", "self"])
def test_a_window_that_is_reversed_or_no_part_of_the_sampling(
    graph: Graph, refused: Refused, title: str, kind: str
):
    def window(start: float, end: float) -> dict[str, Any]:
        return {f"{kind}_start": start, f"{kind}_end": end}

    refused(title, "0.6-0.2", "Swap start and end.", put, graph, title, **window(0.6, 0.2))
    for end, value in ((1.2, "0-1.2"), (float("nan"), "0-nan")):
        refused(title, value, "Set start and end between 0 and 1.", put, graph, title, **window(0.0, end))


# Reweight


@pytest.mark.parametrize("weights", ["star: lots", "star", "star: nan", "star: inf", ": 2", "star: 1: 2x"])
def test_weights_that_are_no_numbers(graph: Graph, refused: Refused, weights: str):
    hint = "1 = unchanged, > 1 = stronger, 0 = removed, < 0 = push away from it."
    refused("Reweight", repr(weights), hint, put, graph, "Reweight", weights=f"house: 2, {weights}")


@pytest.mark.parametrize("weights", ["", " \n", "---"])
def test_no_weights(graph: Graph, refused: Refused, weights: str):
    refused("Reweight", repr(weights), "Write at least one.", put, graph, "Reweight", weights=weights)


def test_weights_of_words_that_are_not_there(graph: Graph, refused: Refused):
    hint = "Use one of its words: a, red, house"
    for word in ("lion", "circle", "star[2]", "red star"):
        refused("Reweight", repr(word), hint, put, graph, "Reweight", weights=f"star: 2, {word}: 2")
    pair, _ = graph.pair(SOURCE, f"{EDIT}\n---\na tree on grass")
    hint = "Use one of its words: a, tree, on, grass."
    refused("Reweight", "'star'", hint, put, graph, "Reweight", pair, weights="star: 2\n---\nstar: 2")
    alone, _ = graph.pair(SOURCE, "")
    hint = "Use one of its words: a, red, circle"
    refused("Reweight", "'house'", hint, put, graph, "Reweight", alone, weights="house: 2")


def test_blocks_of_weights_that_are_not_one_for_each_edit(graph: Graph, refused: Refused):
    hint, three = "Separate blocks with a line of three dashes", "star: 2\n---\nstar: 3\n---\nstar: 4"
    refused("Reweight", "3 blocks", hint, put, graph, "Reweight", weights=three)
    pair, _ = graph.pair(SOURCE, f"{EDIT}\n---\n{EDIT}")
    refused("Reweight", "3 blocks", hint, put, graph, "Reweight", pair, weights=three)
    alone, _ = graph.pair(SOURCE, "")
    model = put(graph, "Reweight", alone, weights="star: 2\n---\nstar: 3")[0]
    refused("Reweight", "3 blocks", hint, put, graph, "Reweight", alone, model, weights=three)


# Local Blend


@pytest.mark.parametrize("widget", ["threshold", "subtract_threshold", "start"])
@pytest.mark.parametrize("value", [1.5, -0.1, float("nan")])
def test_a_threshold_or_start_outside_0_to_1(graph: Graph, refused: Refused, widget: str, value: float):
    hint = "Set it between 0 and 1."
    refused("Local Blend", f"{value:g}", hint, put, graph, "Local Blend", **{widget: value})


def test_a_soft_edge_of_less_than_none(graph: Graph, refused: Refused):
    refused("Local Blend", "-1", "Set it to 0 for a hard edge.", put, graph, "Local Blend", soft_edge=-1)


@pytest.mark.parametrize("words", [{}, {"subtract_words": "star"}, {"source_words": " ,\n"}])
def test_a_blend_without_words_or_a_mask(graph: Graph, refused: Refused, words: dict[str, str]):
    hint = "List the words that change, or connect a MASK."
    refused("Local Blend", "neither", hint, put, graph, "Local Blend", **{"source_words": "", **words})


@pytest.mark.parametrize(
    ("field", "word"),
    [
        ("source_words", "house"),
        ("source_words", "lion"),
        ("edit_words", "circle"),
        ("edit_words", "a[3]"),
        ("subtract_words", "lion"),
    ],
)
def test_words_of_a_blend_that_are_not_in_their_prompt(graph: Graph, refused: Refused, field: str, word: str):
    words = "a, red, house" if field == "edit_words" else "a, red, circle"
    hint = f"Use one of its words: {words}"
    refused("Local Blend", repr(word), hint, put, graph, "Local Blend", **{field: f"star, {word}"})


MASKS = {
    "an empty mask": torch.zeros(1, 8, 8),
    "one with NaN or infinity": torch.full((1, 8, 8), float("nan")),
    "one from 0 to 2": torch.tensor([[[0.0, 2.0]]]),
    "one from -1 to 1": torch.tensor([[[-1.0, 1.0]]]),
}


@pytest.mark.parametrize("got", MASKS)
def test_a_mask_that_is_none(graph: Graph, refused: Refused, got: str):
    hint = "Paint the part of the image that may change, or leave the mask unconnected."
    refused("Local Blend", got, hint, put, graph, "Local Blend", mask=MASKS[got])


def test_a_wrong_number_of_masks(graph: Graph, host: Host, refused: Refused):
    _, positive = graph.pair()
    model, _ = put(graph, "Local Blend", mask=torch.ones(3, 8, 8))
    hint, latent = "Connect one of these numbers of masks.", host.empty_latent(64, 64, batch=2)
    refused("Prompt-to-Prompt", "3 masks", hint, sampling, graph, model, positive, latent=latent)
