"""Prompt-to-Prompt together with patches of other packs, and with itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from adapter import Host
from graphs import (
    CLOSED,
    EDIT,
    OPEN,
    SOURCE,
    Graph,
    Patch,
    Seen,
    close,
    comparing,
    differ,
    own_attention,
    with_patch,
)

pytestmark = pytest.mark.host

KEYS = [("middle", 0), ("middle", 0, 0)]


def doubling(calls: list[int]) -> Patch:
    """Doubles a block's input, and records each call."""

    def patch(
        q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, extra_options: dict[str, Any]
    ) -> torch.Tensor:
        calls.append(1)
        return 2 * own_attention(q, k, v, extra_options)

    return patch


def edited(graph: Graph, model: Any = None, after: Any = None, windows: dict = OPEN) -> torch.Tensor:
    """A paired sampling with Word Swap on `model`, with `after` applied to the result."""
    prompts, positive = graph.pair()
    swapped = graph.swapped(prompts, model, **windows)
    return graph.sample(after(swapped) if after else swapped, positive)


# Other packs


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("name", ["attn1", "attn2"])
def test_a_replacement_composes_before_and_after_word_swap(graph: Graph, host: Host, key: tuple, name: str):
    calls: list[int] = []
    patch = doubling(calls)
    other = with_patch(host.model(), patch, *key, name=name)
    plain = [graph.plain(text, model=other)[row] for row, text in enumerate((SOURCE, EDIT))]
    alone = len(calls) // 2
    before = edited(graph, other)
    assert len(calls) == 3 * alone
    after = edited(graph, after=lambda model: with_patch(model, patch, *key, name=name))
    assert torch.equal(before, after)
    assert torch.equal(before[0], plain[0])
    assert differ(before[0], graph.plain(SOURCE)[0]) and differ(before[1], plain[1])
    assert torch.equal(edited(graph, other, windows=CLOSED)[1], plain[1])


def test_a_replacement_is_asked_once_a_call(graph: Graph, host: Host):
    """A word with its own window needs a second attention call, which goes to the host's attention."""
    calls: list[int] = []
    other = with_patch(host.model(), doubling(calls), "middle", 0)
    graph.plain(SOURCE, model=other)
    alone = len(calls)
    edited(graph, other, windows={**CLOSED, "cross_end": 1.0, "word_windows": "house: 0"})
    assert len(calls) == 2 * alone


def test_a_block_with_two_replacements_calls_the_one_that_the_host_would(graph: Graph, host: Host):
    general: list[int] = []
    special: list[int] = []
    model = with_patch(host.model(), doubling(general), "middle", 0)
    model = with_patch(model, doubling(special), "middle", 0, 0)
    rows = edited(graph, model)
    assert special and not general
    assert torch.equal(rows[0], graph.plain(SOURCE, model=model)[0])


def test_a_wrapper_that_samples_twice_gets_the_same_twice(graph: Graph):
    from comfy.patcher_extension import WrappersMP

    results = []

    def twice(executor: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        results.extend(executor(*args, **kwargs) for _ in range(2))
        return results[-1]

    prompts, positive = graph.pair()
    first = graph.host.model().clone()
    first.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, "another pack", twice)
    graph.sample(graph.swapped(prompts, first, **OPEN), positive)
    assert torch.equal(*results)


@pytest.mark.real_host
def test_perturbed_attention_guidance_has_its_effect(graph: Graph, host: Host):
    """The stock node replaces the middle block's self-attention for its own pass."""
    from comfy_extras.nodes_pag import PerturbedAttentionGuidance

    (guided,) = host.run(PerturbedAttentionGuidance, model=host.model(), scale=5.0)
    plain = graph.plain(SOURCE, model=guided)[0]
    assert differ(plain, graph.plain(SOURCE)[0])
    before = edited(graph, guided)
    after = edited(graph, after=lambda model: host.run(PerturbedAttentionGuidance, model=model, scale=5.0)[0])
    assert torch.equal(before[0], plain) and torch.equal(before, after)
    assert differ(before[1], edited(graph)[1])


@pytest.mark.real_host
def test_attention_lists_of_other_packs_are_kept(graph: Graph, host: Host):
    model = host.model().clone()
    model.set_model_attn2_output_patch(lambda n, extra_options: 2 * n)
    rows = edited(graph, model)
    assert torch.equal(rows[0], graph.plain(SOURCE, model=model)[0])
    assert differ(rows[0], graph.plain(SOURCE)[0])


@pytest.mark.real_host
def test_the_chosen_attention_backend_is_used(graph: Graph, host: Host):
    calls = []

    def override(function: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        calls.append(function)
        return 0.5 * function(*args, **kwargs)

    model = host.model().clone()
    model.model_options["transformer_options"]["optimized_attention_override"] = override
    rows = edited(graph, model)
    assert calls
    assert torch.equal(rows[0], graph.plain(SOURCE, model=model)[0])


@pytest.mark.real_host
def test_a_node_that_cuts_the_picture_is_refused(graph: Graph, host: Host, error: Any):
    """HyperTile and similar nodes put tiles of an image side by side in the batch."""
    model = host.model().clone()
    model.set_model_attn1_patch(
        lambda *nkv_options: tuple(t.unflatten(1, (2, -1)).flatten(0, 1) for t in nkv_options[:3])
    )
    model.set_model_attn1_output_patch(lambda n, extra_options: n.unflatten(0, (-1, 2)).flatten(1, 2))
    graph.plain(SOURCE, model=model)
    prompts, positive = graph.pair()
    with pytest.raises(error, match=r"Prompt-to-Prompt: expected a batch of .*, got 8 rows.*HyperTile"):
        graph.sample(graph.swapped(prompts, model, **OPEN), positive)


# Itself


@pytest.mark.parametrize("name", ["attn1", "attn2"])
def test_only_the_positive_side_is_edited(graph: Graph, host: Host, name: str):
    """There, the edit uses the source's queries; in the first step, with equal noise, all rows do."""
    seen: Seen = {}
    edited(graph, with_patch(host.model(), comparing(seen), "middle", 0, name=name))
    (positive,), (negative,) = ([same for (at, _), same in seen.items() if at == side] for side in (0, 1))
    assert all(positive) and not any(negative[1:])


@pytest.mark.parametrize(("layers", "edited_block"), [("middle", ("middle", 0)), ("output 0", ("output", 0))])
def test_only_the_layers_asked_for_are_edited(graph: Graph, host: Host, layers: str, edited_block: tuple):
    blocks: dict[tuple, Seen] = {("middle", 0): {}, ("output", 0): {}}
    model = host.model()
    for block, seen in blocks.items():
        model = with_patch(model, comparing(seen), *block)
    edited(graph, model, windows={**CLOSED, "cross_end": 1.0, "layers": layers})
    for block, seen in blocks.items():
        (positive,) = (same for (side, _), same in seen.items() if side == 0)
        assert all(positive) if block == edited_block else not any(positive[1:])


def test_two_word_swaps_add_up(graph: Graph):
    prompts, positive = graph.pair()
    cross, self_attention = {**CLOSED, "cross_end": 0.8}, {**CLOSED, "self_end": 0.4}
    chained = graph.swapped(prompts, graph.swapped(prompts, **cross), **self_attention)
    both = graph.swapped(prompts, **{**cross, "self_end": 0.4})
    assert torch.equal(graph.sample(chained, positive), graph.sample(both, positive))


def test_the_same_word_swap_twice_is_one(graph: Graph):
    prompts, positive = graph.pair()
    once = graph.swapped(prompts, **OPEN)
    twice = graph.swapped(prompts, once, **OPEN)
    assert close(graph.sample(twice, positive), graph.sample(once, positive))


def test_layers_of_two_word_swaps_add_up(graph: Graph):
    prompts, positive = graph.pair()
    model = None
    for layers in ("input", "middle", "output"):
        model = graph.swapped(prompts, model, **OPEN, layers=layers)
    assert torch.equal(graph.sample(model, positive), edited(graph))
    middle = graph.sample(graph.swapped(prompts, **OPEN, layers="middle"), positive)
    assert differ(middle, edited(graph))
