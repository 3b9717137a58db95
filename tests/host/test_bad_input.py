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
    node, mend = graph.node["P2P" + title.replace(" ", "")], "Write the changed prompt into Prompt Pair's edit"
    words = {"source_words": "circle"} if title == "Local Blend" else {}
    refused(title, "none", mend, host.run, node, model=host.model(), prompts=prompts, **words)


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
    "of far more tokens": ("77 and 385 tokens", lambda c: [[c[0][0].repeat(1, 5, 1), c[0][1]]]),
    "of tokens that do not go together": (
        "77 and 100 tokens",
        lambda c: [[c[0][0].repeat(1, 2, 1)[:, :100], c[0][1]]],
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
    refused("Pair Conditioning", value, MEND, pairing, graph, source, change(edit))


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
        ({"cross_start": -0.1}, "-0.1-0.8"),
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


def test_layers_that_are_none(graph: Graph, refused: Refused):
    prompts, _ = graph.pair()
    refused("Word Swap", "'inner 3'", "Name stages", graph.swapped, prompts, layers="middle, inner 3")


def test_other_prompts_further_down_the_chain(graph: Graph, refused: Refused):
    first = graph.swapped(graph.pair()[0])
    other, _ = graph.pair(SOURCE, "a red tree and a blue star on grass")
    mend = "Connect all Prompt-to-Prompt nodes of one MODEL to the same Prompt Pair."
    before = state(first)
    refused("Word Swap", "'a red tree and a blue star on grass'", mend, graph.swapped, other, first)
    assert state(first) == before


def test_a_model_without_text(graph: Graph, host: Host, refused: Refused):
    prompts, _ = graph.pair()
    model = host.model_without_text()
    before, mend = state(model), "Load a Stable Diffusion checkpoint."
    refused("Word Swap", type(model.model).__name__, mend, graph.swapped, prompts, model)
    assert state(model) == before


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
    prompts, paired = graph.pair()
    model = graph.swapped(prompts, **OPEN)
    mend = "Connect the CONDITIONING of Prompt Pair"
    for positive in (host.encode(SOURCE), [*paired, *host.encode(SOURCE)]):
        refused("Prompt-to-Prompt", "a plain one", mend, sampling, graph, model, positive)
    negative = [*paired, *host.encode("")]
    refused("Prompt-to-Prompt", "a plain one", mend, sampling, graph, model, paired, negative=negative)


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
    mend = "Connect the CONDITIONING of the same Prompt Pair to the sampler."
    refused("Prompt-to-Prompt", "50 key tokens", mend, sampling, graph, model, paired, negative=negative)


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


def test_layers_that_the_model_lacks(graph: Graph, refused: Refused):
    prompts, _ = graph.pair(SOURCE, EDIT)
    refused("Word Swap", "'input 90-99'", "Use 'all'", graph.swapped, prompts, layers="input 90-99")
