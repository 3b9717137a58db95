"""What cannot be used is refused by a P2PError that names node, value and mend; the MODEL is as it was."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from adapter import Host
from graphs import EDIT, OPEN, SOURCE, Graph, state

pytestmark = pytest.mark.host

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


# Prompt Pair


@pytest.mark.parametrize("empty", ["", "   ", "\n"])
def test_an_empty_prompt(graph: Graph, refused: Refused, empty: str):
    refused("Prompt Pair", repr(empty), "Write a source prompt.", graph.pair, empty, EDIT)


@pytest.mark.parametrize("title", ["Prompt Edit", "Word Swap", "Refine", "Local Blend"])
def test_an_edit_without_an_edit_prompt(graph: Graph, host: Host, refused: Refused, title: str):
    prompts, _ = graph.pair(SOURCE, " ")
    mend = "Write the changed prompt into Prompt Pair's edit"
    words = {"source_words": "circle"} if title == "Local Blend" else {}
    refused(title, "none", mend, graph.on, title.replace(" ", ""), prompts, **words)


def test_an_empty_prompt_among_several(graph: Graph, refused: Refused):
    refused("Prompt Pair", "''", "Write an edit prompt.", graph.pair, SOURCE, f"{EDIT}\n---\n\n---\n{EDIT}")


@pytest.mark.parametrize("clip", [None, SimpleNamespace(tokenizer=SimpleNamespace(t5xxl=None)), object()])
def test_a_text_encoder_that_is_no_clip(graph: Graph, host: Host, refused: Refused, clip: Any):
    value = type(getattr(clip, "tokenizer", clip)).__name__
    mend = "Connect the CLIP of a Stable Diffusion checkpoint."
    refused(
        "Prompt Pair", value, mend, host.run, graph.node["P2PPromptPair"], clip=clip, source=SOURCE, edit=EDIT
    )


# Pair Conditioning


def pairing(graph: Graph, source: Any, edit: Any) -> Any:
    return graph.host.run(graph.node["P2PPairConditioning"], source=source, edit=edit)[0]


def changed(conditioning: Any, **options: Any) -> Any:
    return [[tensor, {**own, **options}] for tensor, own in conditioning]


MEND = "Encode source and edit with the same CLIP and the same nodes."
UNLIKE: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "of another width": ("channels", lambda c: [[torch.cat([c[0][0]] * 2, dim=2), c[0][1]]]),
    "of tokens that do not go together": (
        "77 and 401 tokens",
        lambda c: [[c[0][0].repeat(1, 6, 1)[:, :401], c[0][1]]],
    ),
    "of two prompts": ("(2, 77", lambda c: [[torch.cat([c[0][0]] * 2), c[0][1]]]),
    "without a tensor": ("NoneType", lambda c: [[None, c[0][1]]]),
    "of two entries": ("1 and 2", lambda c: [*c, *c]),
    "of no entry": ("1 and 0", lambda c: []),
    "with an area": ("different ones", lambda c: changed(c, area=(8, 8, 0, 0))),
    "with another strength": ("different ones", lambda c: changed(c, strength=0.5)),
    "with masks of another size": ("different ones", lambda c: changed(c, mask=torch.ones(1, 4, 4))),
    "with other lists": ("different ones", lambda c: changed(c, reference_latents=[torch.ones(1, 3, 4, 4)])),
}


@pytest.mark.parametrize("kind", UNLIKE)
def test_conditionings_that_cannot_be_paired(graph: Graph, host: Host, refused: Refused, kind: str):
    value, change = UNLIKE[kind]
    source, edit = host.encode(SOURCE), host.encode(EDIT)
    if "mask" in kind or "lists" in kind:
        source = changed(source, mask=torch.zeros(1, 8, 8), reference_latents=[torch.zeros(1, 3, 4, 4)])
        edit = changed(edit, mask=torch.zeros(1, 8, 8), reference_latents=[torch.zeros(1, 3, 4, 4)])
    mend = "Shorten the longer prompt" if "tokens" in kind else MEND
    refused("Pair Conditioning", value, mend, pairing, graph, source, change(edit))


def test_a_conditioning_that_is_a_pair_already(graph: Graph, host: Host, refused: Refused):
    _, paired = graph.pair()
    refused(
        "Pair Conditioning", "one that is a pair already", MEND, pairing, graph, host.encode(SOURCE), paired
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
    mend = "Swap start and end." if value in ("0.6-0.2", "0.8-0.2") else "Set start and end between 0 and 1."
    refused("Word Swap", value, mend, graph.swapped, prompts, **widgets)


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

NODES: dict[str, dict[str, Any]] = {
    "Word Swap": {},
    "Refine": {},
    "Prompt Edit": {},
    "Reweight": {"weights": "star: 2"},
    "Local Blend": {"source_words": "circle"},
    "Attention Store": {},
}
TOKEN_EDITS = ["Word Swap", "Refine", "Prompt Edit"]


def put(graph: Graph, title: str, prompts: Any = None, model: Any = None, **widgets: Any) -> tuple[Any, ...]:
    """A node on a MODEL, with widgets that would do but for these."""
    prompts = prompts or graph.pair()[0]
    return graph.on(title.replace(" ", ""), prompts, model, **{**NODES[title], **widgets})


@pytest.mark.parametrize("title", NODES)
def test_prompts_of_another_pair_in_the_chain(graph: Graph, refused: Refused, title: str):
    other, _ = graph.pair(SOURCE, "a red tree and a blue star on grass")
    mend = "Connect all Prompt-to-Prompt nodes of one MODEL to the same Prompt Pair."
    for first in NODES:
        model = put(graph, first)[0]
        before = state(model)
        refused(title, "'a red tree and a blue star on grass'", mend, put, graph, title, other, model)
        assert state(model) == before


@pytest.mark.parametrize("title", NODES)
def test_a_node_on_a_model_without_text(graph: Graph, host: Host, refused: Refused, title: str):
    model = host.model_without_text()
    before, mend = state(model), "Load a Stable Diffusion checkpoint."
    refused(title, type(model.model).__name__, mend, put, graph, title, model=model)
    assert state(model) == before


@pytest.mark.parametrize("title", NODES)
def test_layers_that_meet_nothing(graph: Graph, refused: Refused, title: str):
    refused(title, "'1/64'", "its resolutions 1/", put, graph, title, layers="1/64")
    refused(title, "'inner 3'", "Name stages", put, graph, title, layers="inner 3")
    refused(title, "''", "Name stages", put, graph, title, layers="")


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
    mend = "Write 1 for no change, 0 to take the word out, more to strengthen it, less than 0 to oppose it."
    refused("Reweight", repr(weights), mend, put, graph, "Reweight", weights=f"house: 2, {weights}")


@pytest.mark.parametrize("weights", ["", " \n", "---"])
def test_no_weights(graph: Graph, refused: Refused, weights: str):
    refused("Reweight", repr(weights), "Write at least one.", put, graph, "Reweight", weights=weights)


def test_weights_of_words_that_are_not_there(graph: Graph, refused: Refused):
    mend = "Use one of its words: a, red, house"
    for word in ("lion", "circle", "star[2]", "red star"):
        refused("Reweight", repr(word), mend, put, graph, "Reweight", weights=f"star: 2, {word}: 2")
    pair, _ = graph.pair(SOURCE, f"{EDIT}\n---\na tree on grass")
    mend = "Use one of its words: a, tree, on, grass."
    refused("Reweight", "'star'", mend, put, graph, "Reweight", pair, weights="star: 2\n---\nstar: 2")
    alone, _ = graph.pair(SOURCE, "")
    mend = "Use one of its words: a, red, circle"
    refused("Reweight", "'house'", mend, put, graph, "Reweight", alone, weights="house: 2")


def test_blocks_of_weights_that_are_not_one_for_each_edit(graph: Graph, refused: Refused):
    mend, three = "Separate them by a line of three dashes", "star: 2\n---\nstar: 3\n---\nstar: 4"
    refused("Reweight", "3 blocks", mend, put, graph, "Reweight", weights=three)
    pair, _ = graph.pair(SOURCE, f"{EDIT}\n---\n{EDIT}")
    refused("Reweight", "3 blocks", mend, put, graph, "Reweight", pair, weights=three)
    alone, _ = graph.pair(SOURCE, "")
    model = put(graph, "Reweight", alone, weights="star: 2\n---\nstar: 3")[0]
    refused("Reweight", "3 blocks", mend, put, graph, "Reweight", alone, model, weights=three)


# Local Blend


@pytest.mark.parametrize("widget", ["threshold", "subtract_threshold", "start"])
@pytest.mark.parametrize("value", [1.5, -0.1, float("nan")])
def test_a_threshold_or_start_outside_0_to_1(graph: Graph, refused: Refused, widget: str, value: float):
    mend = "Set it between 0 and 1."
    refused("Local Blend", f"{value:g}", mend, put, graph, "Local Blend", **{widget: value})


def test_a_soft_edge_of_less_than_none(graph: Graph, refused: Refused):
    refused("Local Blend", "-1", "Set it to 0 for a hard edge.", put, graph, "Local Blend", soft_edge=-1)


@pytest.mark.parametrize("words", [{}, {"subtract_words": "star"}, {"source_words": " ,\n"}])
def test_a_blend_without_words_or_a_mask(graph: Graph, refused: Refused, words: dict[str, str]):
    mend = "Name the words that change, or connect a MASK."
    refused("Local Blend", "neither", mend, put, graph, "Local Blend", **{"source_words": "", **words})


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
    mend = f"Use one of its words: {words}"
    refused("Local Blend", repr(word), mend, put, graph, "Local Blend", **{field: f"star, {word}"})


MASKS = {
    "an empty one": torch.zeros(1, 8, 8),
    "one with NaN or infinity": torch.full((1, 8, 8), float("nan")),
    "one from 0 to 2": torch.tensor([[[0.0, 2.0]]]),
    "one from -1 to 1": torch.tensor([[[-1.0, 1.0]]]),
}


@pytest.mark.parametrize("got", MASKS)
def test_a_mask_that_is_none(graph: Graph, refused: Refused, got: str):
    mend = "Paint the part of the picture that may change, or leave the mask unconnected."
    refused("Local Blend", got, mend, put, graph, "Local Blend", mask=MASKS[got])


def test_a_wrong_number_of_masks(graph: Graph, host: Host, refused: Refused):
    _, positive = graph.pair()
    model, _ = put(graph, "Local Blend", mask=torch.ones(3, 8, 8))
    mend, latent = "Connect one of these numbers of masks.", host.empty_latent(64, 64, batch=2)
    refused("Prompt-to-Prompt", "3 masks", mend, sampling, graph, model, positive, latent=latent)


# Attention Store and what reads it


def test_words_of_a_store_that_no_prompt_has(graph: Graph, refused: Refused):
    mend = "Use one of its words: a, red, circle"
    for word in ("lion", "star[2]"):
        refused("Attention Store", repr(word), mend, put, graph, "Attention Store", words=f"house, {word}")


def test_a_window_of_a_store_that_is_none(graph: Graph, refused: Refused):
    mend = "Swap start and end."
    refused("Attention Store", "0.6-0.2", mend, put, graph, "Attention Store", start=0.6, end=0.2)
    mend = "Set start and end between 0 and 1."
    refused("Attention Store", "0-1.5", mend, put, graph, "Attention Store", end=1.5)


def test_self_attention_of_a_resolution_that_the_model_lacks(graph: Graph, refused: Refused):
    _, positive = graph.pair()
    model, _ = put(graph, "Attention Store", self_attention="1/8")
    refused("Prompt-to-Prompt", "1/8", "Choose one of 1/", sampling, graph, model, positive)


@pytest.mark.parametrize("title", ["Attention Store", "Local Blend"])
def test_a_latent_that_is_not_a_number(graph: Graph, host: Host, refused: Refused, title: str):
    _, positive = graph.pair()
    model, _ = put(graph, title)
    latent = {"samples": torch.full_like(graph.plain(SOURCE)[:1], float("nan"))}
    mend = "Run the model in a wider precision (--force-fp32)"
    refused("Prompt-to-Prompt", "NaN or infinity in ", mend, sampling, graph, model, positive, latent=latent)


READERS = {
    "Blend Mask": "Local Blend",
    "Attention Maps": "Attention Store",
    "Self-Attention Components": "Attention Store",
}


def read(graph: Graph, title: str, store: Any, rows: torch.Tensor, **inputs: Any) -> tuple[Any, ...]:
    node = graph.node["P2P" + title.replace(" ", "").replace("-", "")]
    return graph.host.run(node, store=store, latent={"samples": rows}, **inputs)


def stored(graph: Graph, title: str = "Attention Store", edit: str = EDIT, **widgets: Any) -> tuple[Any, Any]:
    """A store after a sampling, and the latent of it."""
    prompts, positive = graph.pair(SOURCE, edit)
    model, store = put(graph, title, prompts, **widgets)
    return store, graph.sample(model, positive)


@pytest.mark.parametrize("title", READERS)
def test_a_store_that_was_never_filled(graph: Graph, refused: Refused, title: str):
    _, store = put(graph, READERS[title])
    mend = "Connect the LATENT of the sampler whose MODEL went through the store, and queue again."
    refused(title, "one that was never filled", mend, read, graph, title, store, graph.plain(SOURCE))


@pytest.mark.parametrize("title", READERS)
def test_a_store_of_a_run_of_another_size(graph: Graph, refused: Refused, title: str):
    store, rows = stored(graph, READERS[title])
    assert read(graph, "Blend Mask" if title == "Blend Mask" else "Attention Maps", store, rows)
    mend = "Connect the LATENT of the sampler whose MODEL went through the store, and queue again."
    others = {"4 of 8 × 8": torch.cat([rows, rows]), "1 of 8 × 8": rows[:1], "2 of 4 × 8": rows[..., :4]}
    for got, other in others.items():
        refused(title, got, mend, read, graph, title, store, other)


def test_a_mask_of_a_store_without_one(graph: Graph, refused: Refused):
    store, rows = stored(graph)
    mend = "Connect Local Blend's store."
    refused("Blend Mask", "one of Attention Store", mend, read, graph, "Blend Mask", store, rows)


def test_maps_of_a_store_without_any(graph: Graph, refused: Refused):
    closed = stored(graph, start=0.5, end=0.5)
    by_mask = stored(graph, "Local Blend", source_words="", mask=torch.ones(1, 8, 8))
    for store, rows in (closed, by_mask):
        refused(
            "Attention Maps", "one without", "Widen the window", read, graph, "Attention Maps", store, rows
        )


def test_words_that_are_not_in_the_store(graph: Graph, refused: Refused):
    store, rows = stored(graph, words="star, red house")
    for word, got in (("grass", "'grass'"), ("lion", "'lion', which no prompt has"), ("house", "'house'")):
        mend = "Recorded are: star, red house."
        refused("Attention Maps", got, mend, read, graph, "Attention Maps", store, rows, words=word)


def test_layers_that_are_not_in_the_store(graph: Graph, refused: Refused):
    store, rows = stored(graph, layers="middle", self_attention="none")
    mend = "blocks (middle 0)"
    refused("Attention Maps", "'input'", mend, read, graph, "Attention Maps", store, rows, layers="input")


def test_steps_of_a_store_with_one_mean(graph: Graph, refused: Refused):
    store, rows = stored(graph)
    mend = "Set the step groups of Attention Store to 2 or more"
    refused("Attention Maps", "one mean", mend, read, graph, "Attention Maps", store, rows, view="steps")


@pytest.mark.parametrize("value", ["x", True, None])
def test_a_choice_that_its_list_does_not_have(graph: Graph, host: Host, refused: Refused, value: Any):
    """ComfyUI 0.3.64 lets any value through."""
    prompts, _ = graph.pair()
    store, rows = stored(graph)
    mend, blend = "Choose one of them", {"source_words": "circle", "mask_mode": value}
    refused("Attention Store", repr(value), mend, graph.on, "AttentionStore", prompts, self_attention=value)
    refused("Local Blend", repr(value), mend, graph.on, "LocalBlend", prompts, **blend)
    refused("Attention Maps", repr(value), mend, read, graph, "Attention Maps", store, rows, view=value)


@pytest.mark.parametrize("widget", ["threshold", "opacity"])
@pytest.mark.parametrize("value", [1.5, -0.1, float("nan")])
def test_maps_with_a_threshold_or_opacity_outside_0_to_1(
    graph: Graph, refused: Refused, widget: str, value: float
):
    store, rows = stored(graph, words="star")
    mend = "Set it between 0 and 1."
    refused(
        "Attention Maps", f"{value:g}", mend, read, graph, "Attention Maps", store, rows, **{widget: value}
    )


def test_pictures_of_another_number_or_shape_than_the_maps(graph: Graph, refused: Refused):
    store, rows = stored(graph, words="star")
    for shape in ((3, 64, 64, 3), (2, 64, 128, 3), (2, 64, 64, 4)):
        got = f"{shape[2]} × {shape[1]}" if shape[2] == 128 else str(list(shape))
        images = torch.zeros(shape)
        refused("Attention Maps", got, "", read, graph, "Attention Maps", store, rows, images=images)


def test_components_of_a_store_without_self_attention(graph: Graph, refused: Refused):
    store, rows = stored(graph)
    mend = "Choose a resolution that the MODEL has as self-attention of Attention Store"
    title = "Self-Attention Components"
    refused(title, "one without", mend, read, graph, title, store, rows)


@pytest.mark.parametrize("count", [0, 17])
def test_more_components_than_cells(graph: Graph, refused: Refused, count: int):
    store, rows = stored(graph, self_attention="1/2")
    title, mend = "Self-Attention Components", "Choose fewer, or a higher resolution in Attention Store."
    refused(title, str(count), mend, read, graph, title, store, rows, count=count)


# A sampling


def sampling(graph: Graph, model: Any, positive: Any, **options: Any) -> torch.Tensor:
    before = state(model)
    try:
        return graph.sample(model, positive, **options)
    finally:
        assert state(model) == before


def test_a_paired_conditioning_with_a_plain_model(graph: Graph, host: Host, refused: Refused):
    _, paired = graph.pair()
    got, mend = "a plain MODEL with a paired CONDITIONING of 2 prompts", "Connect the MODEL output"
    refused("Prompt Pair", got, mend, sampling, graph, host.model(), paired)
    refused("Prompt Pair", got, mend, sampling, graph, host.model(), host.encode(SOURCE), negative=paired)


def test_a_patched_model_with_a_plain_conditioning(graph: Graph, host: Host, refused: Refused):
    model = graph.swapped(graph.pair()[0], **OPEN)
    mend = "Connect the CONDITIONING of Prompt Pair"
    refused("Prompt-to-Prompt", "a plain one", mend, sampling, graph, model, host.encode(SOURCE))


def test_a_paired_conditioning_of_other_prompts(graph: Graph, host: Host, refused: Refused):
    model = graph.swapped(graph.pair()[0], **OPEN)
    mend = "Connect the sampler's CONDITIONING and the MODEL's nodes to the same Prompt Pair."
    for edit in ("a red tree on grass", f"{EDIT}\n---\n{EDIT}"):
        _, other = graph.pair(SOURCE, edit)
        refused("Prompt-to-Prompt", f"{SOURCE!r} → ", mend, sampling, graph, model, other)
    _, three = graph.pair(SOURCE, f"{EDIT}\n---\n{EDIT}")
    _, paired = graph.pair()
    refused("Prompt-to-Prompt", SOURCE, mend, sampling, graph, model, paired, negative=three)


def test_a_conditioning_of_other_tokens(graph: Graph, host: Host, refused: Refused):
    """Other nodes encoded them, so that only the sampling sees that they are not of the prompts' length."""
    model = graph.swapped(graph.pair()[0], **OPEN)
    cut = [[[tensor[:, :50], options]] for tensor, options in (host.encode(SOURCE)[0], host.encode(EDIT)[0])]
    paired = pairing(graph, *cut)
    negative = [[host.encode("")[0][0][:, :50], {}]]
    mend = "Write all text into the prompts of Prompt Pair"
    refused("Prompt-to-Prompt", "one of 50", mend, sampling, graph, model, paired, negative=negative)


# Split Pair


def test_nothing_to_split(graph: Graph, host: Host, refused: Refused):
    prompts, _ = graph.pair()
    node = graph.node["P2PSplitPair"]
    refused("Split Pair", "neither", "Connect VAE Decode or the sampler.", host.run, node, prompts=prompts)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_batch_that_does_not_divide(graph: Graph, host: Host, refused: Refused, rows: int):
    prompts, _ = graph.pair()
    node, mend = graph.node["P2PSplitPair"], "Connect what the sampler with the paired CONDITIONING made."
    images, latent = torch.zeros(rows, 8, 8, 3), {"samples": torch.zeros(rows, 3, 8, 8)}
    refused("Split Pair", f"{rows} rows", mend, host.run, node, prompts=prompts, images=images)
    refused("Split Pair", f"{rows} rows", mend, host.run, node, prompts=prompts, latent=latent)


def test_a_source_prompt_alone_is_not_split(graph: Graph, host: Host, refused: Refused):
    prompts, _ = graph.pair(SOURCE, "")
    node, mend = graph.node["P2PSplitPair"], "Connect the prompts output of Reweight"
    images = torch.zeros(1, 8, 8, 3)
    refused("Split Pair", "a source prompt alone", mend, host.run, node, prompts=prompts, images=images)
