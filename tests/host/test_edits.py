"""Prompt Edit, Word Swap and Refine on whole samplings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from adapter import Host
from graphs import CLOSED, EDIT, OPEN, SOURCE, Graph, Seen, close, comparing, differ, with_patch

pytestmark = pytest.mark.host

Tensor = torch.Tensor
METHODS = ["WordSwap", "Refine", "PromptEdit"]
CROSS: dict[str, Any] = {**CLOSED, "cross_end": 1.0}
SELF: dict[str, Any] = {**CLOSED, "self_end": 1.0}
ADDED = "a red circle and a small blue star on grass at night"
MIXED = "a yellow house and a star on grass at night"
OTHER = "a red circle on snow"
CAP = 2**15  # more image tokens than any layer here has


def edited(graph: Graph, name: str, edit: str = EDIT, source: str = SOURCE, windows: dict[str, Any] = OPEN,
           **options: Any) -> Tensor:  # fmt: skip
    """A paired sampling with one node of the pack; its widgets are among `windows`."""
    prompts, positive = graph.pair(source, edit)
    return graph.sample(graph.on(name, prompts, **windows)[0], positive, **options)


def shown(graph: Graph, name: str, source: str, edit: str, model: Any = None, **widgets: Any) -> Any:
    """What a node returns."""
    prompts, _ = graph.pair(source, edit)
    model = model or graph.host.model()
    return graph.host.result(graph.node[f"P2P{name}"], model=model, prompts=prompts, **widgets)


# In words


@pytest.mark.parametrize(
    ("source", "edit", "told"),
    [
        (
            "a cat on grass",
            "a fluffy dog on grass at night",
            "swap: cat → fluffy dog · added: at night · kept: 3 words",
        ),
        ("a cat and a dog on grass", "a cat on grass", "removed: and a dog · kept: 4 words"),
        ("a cat", "a dog", "swap: cat → dog · kept: 1 word"),
        ("a cat", "a cat", "nothing to change · kept: 2 words"),
        (
            "a cat on grass",
            "a dog on grass\n---\na cat on grass at night",
            "swap: cat → dog · kept: 3 words\nadded: at night · kept: 4 words",
        ),
    ],
)
def test_prompt_edit_says_what_it_will_do(graph: Graph, source: str, edit: str, told: str):
    result = shown(graph, "PromptEdit", source, edit)
    assert result.args[1] == told
    assert result.ui["p2p.summary"] == [told]


def test_word_swap_and_refine_say_it_on_the_node(graph: Graph):
    pair = "a cat on grass", "a fluffy dog on grass at night"
    swap = shown(graph, "WordSwap", *pair)
    assert swap.ui == {"p2p.summary": ["swap: cat → fluffy dog, grass → grass at night · kept: 2 words"]}
    refine = shown(graph, "Refine", *pair)
    told = ["added: fluffy dog, at night · removed: cat · kept: 3 words"]
    assert refine.ui == {"p2p.summary": told}
    assert len(swap.args) == len(refine.args) == 1


def test_reweight_says_the_weights(graph: Graph):
    model = shown(graph, "PromptEdit", "a cat", "a dog").args[0]
    weighted = shown(graph, "Reweight", "a cat", "a dog", model, weights="dog: 2.5, a: -1")
    told = "swap: cat → dog · kept: 1 word · weights: dog × 2.5, a × -1"
    assert weighted.ui == {"p2p.summary": [told]}


# The source


STEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "swap": ("WordSwap", OPEN),
    "refine": ("Refine", OPEN),
    "edit": ("PromptEdit", OPEN),
    "reweight": ("Reweight", {**OPEN, "weights": "house: 4, star: -1"}),
    "blend": ("LocalBlend", {"source_words": "star", "start": 0.0}),
    "store": ("AttentionStore", {"self_attention": "1/2"}),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("edit", [EDIT, MIXED])
def test_the_source_is_bit_for_bit_the_one_without_the_node(graph: Graph, step: str, edit: str):
    name, widgets = STEPS[step]
    rows = edited(graph, name, edit, windows=widgets)
    assert torch.equal(rows[0], graph.plain(SOURCE)[0])
    assert differ(rows[1], rows[0])


def test_all_steps_on_one_model_leave_the_source_as_it_is(graph: Graph):
    prompts, positive = graph.pair(SOURCE, MIXED)
    model = graph.host.model()
    for name, widgets in STEPS.values():
        model = graph.on(name, prompts, model, **widgets)[0]
    assert torch.equal(graph.sample(model, positive)[0], graph.plain(SOURCE)[0])


# Token edits


@pytest.mark.parametrize("name", METHODS)
def test_equal_prompts_give_equal_pictures(graph: Graph, name: str):
    for windows in (OPEN, {**CLOSED, "cross_end": 0.5}, {**OPEN, "word_windows": "star: 0.2-0.6"}):
        source, edit = edited(graph, name, SOURCE, windows=windows, steps=3)
        assert close(edit, source, 1e-4), windows


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("edit", [EDIT, ADDED, MIXED, OTHER])
def test_closed_windows_are_the_edit_prompt_alone(graph: Graph, name: str, edit: str):
    rows = edited(graph, name, edit, windows=CLOSED)
    assert torch.equal(rows[0], graph.plain(SOURCE)[0])
    assert torch.equal(rows[1], graph.plain(edit)[1])


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("edit", [ADDED, MIXED, OTHER])
def test_open_windows_change_the_edit(graph: Graph, name: str, edit: str):
    plain = graph.plain(edit)[1]
    for windows in (CROSS, SELF):
        assert differ(edited(graph, name, edit, windows=windows)[1], plain), windows


def test_prompt_edit_swaps_what_word_swap_swaps_and_adds_what_refine_adds(graph: Graph):
    swap, refine, both = ({e: edited(graph, name, e) for e in (EDIT, ADDED, MIXED)} for name in METHODS)
    assert torch.equal(both[EDIT], swap[EDIT]) and differ(both[EDIT][1], refine[EDIT][1])
    assert torch.equal(both[ADDED], refine[ADDED]) and differ(both[ADDED][1], swap[ADDED][1])
    assert differ(both[MIXED][1], swap[MIXED][1]) and differ(both[MIXED][1], refine[MIXED][1])


def test_a_word_has_a_window_of_its_own_with_a_start_and_an_end(graph: Graph):
    """A window that opens after the last step acts like a closed one; one over all steps like none."""
    whole = edited(graph, "PromptEdit", windows=CROSS, steps=4)
    closed = edited(graph, "PromptEdit", windows={**CROSS, "word_windows": "house: 0"}, steps=4)
    late, early = (
        edited(graph, "PromptEdit", windows={**CROSS, "word_windows": f"house: {w}"}, steps=4)
        for w in ("0.5-1", "0-0.5")
    )
    rows = [whole[1], closed[1], late[1], early[1]]
    assert all(differ(a, b) for i, a in enumerate(rows) for b in rows[:i])
    again = edited(graph, "PromptEdit", windows={**CROSS, "word_windows": "house: 0-1"}, steps=4)
    assert torch.equal(again, whole)


@pytest.mark.parametrize("edit", [EDIT, f"{ADDED}\n---\n{MIXED}\n---\n{OTHER}"])
@pytest.mark.parametrize("name", METHODS)
def test_each_of_several_edits_is_the_one_of_its_own_run(graph: Graph, name: str, edit: str):
    rows = edited(graph, name, edit)
    for row, text in enumerate(edit.split("\n---\n"), 1):
        assert close(rows[[0, row]], edited(graph, name, text), 1e-4), text


@pytest.mark.parametrize("name", METHODS)
def test_two_samples_at_once_are_those_of_two_runs(graph: Graph, host: Host, name: str):
    edit = f"{EDIT}\n---\n{MIXED}"
    both = edited(graph, name, edit, latent={**host.empty_latent(64, 64, batch=2), "batch_index": [3, 5]})
    for sample, index in enumerate((3, 5)):
        one = {**host.empty_latent(64, 64), "batch_index": [index]}
        assert close(both[3 * sample : 3 * sample + 3], edited(graph, name, edit, latent=one), 1e-4)


def test_a_removed_word_is_drawn_no_more(graph: Graph):
    """The edit differs from the source, although all its words use the source's attention."""
    rows = edited(graph, "PromptEdit", "a red circle on grass", windows=CROSS)
    assert differ(rows[1], rows[0]) and differ(rows[1], graph.plain("a red circle on grass")[1])


# Layers


@pytest.mark.parametrize("name", METHODS)
def test_a_cap_under_every_layer_closes_the_self_attention_window(graph: Graph, name: str):
    capped = edited(graph, name, MIXED, windows={**OPEN, "self_token_cap": 1})
    assert torch.equal(capped, edited(graph, name, MIXED, windows=CROSS))
    assert torch.equal(
        edited(graph, name, MIXED, windows={**OPEN, "self_token_cap": CAP}), edited(graph, name, MIXED)
    )


def test_a_cap_between_two_resolutions_leaves_the_larger_one_out(graph: Graph, host: Host):
    seen: Seen = {}
    noted(graph, host, "attn1", seen, SELF)
    small, large = sorted(tokens for side, tokens in seen if side == 0)
    for cap, injected in ((large, {small, large}), (small, {small}), (large - 1, {small})):
        seen.clear()
        noted(graph, host, "attn1", seen, {**SELF, "self_token_cap": cap})
        assert {tokens for (side, tokens), same in seen.items() if side == 0 and all(same)} == injected


@pytest.mark.parametrize("attention", ["attn1", "attn2"])
def test_layers_are_chosen_by_resolution(graph: Graph, host: Host, attention: str):
    windows, seen = (SELF if attention == "attn1" else CROSS), Seen()
    noted(graph, host, attention, seen, windows)
    for tokens in (tokens for side, tokens in list(seen) if side == 0):
        scale = int((64 / tokens) ** 0.5)  # of a latent of 8 × 8
        chosen: Seen = {}
        noted(graph, host, attention, chosen, {**windows, "layers": f"1/{scale}"})
        assert {t for (side, t), same in chosen.items() if side == 0 and all(same)} == {tokens}


def noted(graph: Graph, host: Host, attention: str, seen: Seen, windows: dict[str, Any]) -> None:
    """Samples with Prompt Edit. seen: by number of queries, whether source and edit have equal queries."""
    model = host.model()
    for block in [("middle", 0), *((stage, n) for stage in ("input", "output") for n in range(12))]:
        model = with_patch(model, comparing(seen), *block, name=attention)
    prompts, positive = graph.pair()
    graph.sample(graph.on("PromptEdit", prompts, model, **windows)[0], positive)
