"""A paired sampling matches plain ones: the same source and, without control, the same edit."""

from __future__ import annotations

import pytest
import torch
from adapter import Host
from graphs import CLOSED, EDIT, OPEN, SOURCE, Graph, close, differ, drawn, noting, with_patch

pytestmark = pytest.mark.host

LONG = f"{SOURCE} {'a ' * 70}"  # more than 77 tokens on every host
TOO_LONG = "a " * 350  # five times 77: the host cannot batch it with a positive of 77 in one call


def halves(graph: Graph, windows: dict = OPEN, source: str = SOURCE, edit: str = EDIT, **options):
    rows = graph.edited(source, edit, windows, **options)
    return rows[::2], rows[1::2]


# One sample


def test_the_source_is_that_of_a_plain_run(graph: Graph):
    source, edit = halves(graph)
    assert torch.equal(source, graph.plain(SOURCE)[::2])
    assert differ(edit, source)


def test_the_edit_with_closed_windows_is_that_of_a_plain_run(graph: Graph):
    source, edit = halves(graph, CLOSED)
    assert torch.equal(source, graph.plain(SOURCE)[::2])
    assert torch.equal(edit, graph.plain(EDIT)[1::2])


def test_source_and_edit_are_bit_for_bit_those_of_runs_alone(graph: Graph, host: Host):
    """Compared with stock nodes only, without repeated rows."""
    latent = host.empty_latent(64, 64, batch=2)
    twice = graph.plain(SOURCE, latent=latent)
    alone = graph.plain(SOURCE, rows=1, latent=latent)
    if not torch.equal(alone, twice[::2]):
        pytest.skip("the kernels of this machine round differently for 4 and for 8 rows")
    source, edit = halves(graph, CLOSED, latent=latent)
    assert torch.equal(source, alone)
    assert torch.equal(edit, graph.plain(EDIT, rows=1, latent=latent))


def test_open_windows_change_the_edit(graph: Graph):
    plain = graph.plain(EDIT)[1::2]
    for windows in (
        OPEN,
        {**CLOSED, "cross_end": 1.0},
        {**CLOSED, "self_end": 1.0},
        {**CLOSED, "cross_end": 0.4},
    ):
        source, edit = halves(graph, windows)
        assert differ(edit, source) and differ(edit, plain), windows


def test_equal_prompts_give_equal_pictures(graph: Graph):
    for windows in (OPEN, CLOSED, {**CLOSED, "cross_end": 0.5}):
        source, edit = halves(graph, windows, edit=SOURCE)
        assert close(edit, source), windows


def test_a_word_with_a_closed_window_is_drawn_by_its_own_attention(graph: Graph):
    cross = {**CLOSED, "cross_end": 1.0}
    _, edit = halves(graph, {**cross, "word_windows": "house: 0"})
    _, swapped = halves(graph, cross)
    assert differ(edit, swapped) and differ(edit, graph.plain(EDIT)[1::2])


# How the host samples


def test_without_guidance(graph: Graph):
    source, edit = halves(graph, CLOSED, cfg=1.0)
    assert torch.equal(source, graph.plain(SOURCE, cfg=1.0)[::2])
    assert torch.equal(edit, graph.plain(EDIT, cfg=1.0)[1::2])


@pytest.mark.parametrize("windows", [OPEN, CLOSED])
def test_cond_and_uncond_in_two_calls(graph: Graph, host: Host, windows: dict):
    calls: list[list[int]] = []
    negative = host.encode(TOO_LONG)
    prompts, positive = graph.pair()
    model = graph.swapped(prompts, with_patch(host.model(), noting(calls), "middle", 0), **windows)
    rows = graph.sample(model, positive, negative=negative)
    assert sorted(calls[:2]) == [[0], [1]]
    assert torch.equal(rows[::2], graph.plain(SOURCE, negative=negative)[::2])
    if windows is CLOSED:
        assert torch.equal(rows[1::2], graph.plain(EDIT, negative=negative)[1::2])


def test_one_call_or_two_make_the_same_edit(graph: Graph, host: Host):
    """Repeating a negative prompt to another number of columns does not change it."""
    tensor, options = host.encode("snow")[0]
    in_two = [[tensor.repeat(1, 5, 1), options]]
    calls: list[list[int]] = []
    prompts, positive = graph.pair()
    model = graph.swapped(prompts, with_patch(host.model(), noting(calls), "middle", 0))
    one, two = (graph.sample(model, positive, negative=n) for n in ([[tensor, options]], in_two))
    assert [0] in calls and any(len(call) == 2 for call in calls)
    assert close(one, two, 1e-4)


def test_each_sample_of_a_batch_is_the_one_of_its_own_run(graph: Graph, host: Host):
    batch = {**host.empty_latent(64, 64, batch=3), "batch_index": [0, 1, 2]}
    together = graph.edited(latent=batch)
    for i in range(3):
        alone = graph.edited(latent={**host.empty_latent(64, 64), "batch_index": [i]})
        assert close(together[2 * i : 2 * i + 2], alone), i


def test_part_of_the_way_from_a_given_latent(graph: Graph, host: Host):
    latent = drawn(host)
    source, edit = halves(graph, CLOSED, latent=latent, denoise=0.5)
    assert torch.equal(source, graph.plain(SOURCE, latent=latent, denoise=0.5)[::2])
    assert torch.equal(edit, graph.plain(EDIT, latent=latent, denoise=0.5)[1::2])
    assert differ(halves(graph, latent=latent, denoise=0.5)[1], edit)


def test_windows_count_from_pure_noise_even_with_less_denoise(graph: Graph, host: Host):
    """A window of the first half ends when half of the schedule is sampled."""
    latent, first_half = drawn(host), {**CLOSED, "cross_end": 0.3, "self_end": 0.3}
    _, edit = halves(graph, first_half, latent=latent, denoise=0.3)
    assert torch.equal(edit, graph.plain(EDIT, latent=latent, denoise=0.3)[1::2])


def test_a_picture_that_is_not_square(graph: Graph, host: Host):
    latent = host.empty_latent(384, 192)
    source, edit = halves(graph, latent=latent, steps=2)
    assert edit.shape[-2:] == (24, 48)
    assert torch.equal(source, graph.plain(SOURCE, latent=latent, steps=2)[::2])
    assert differ(edit, source)


def test_a_noise_mask_of_each_sample(graph: Graph, host: Host):
    latent = drawn(host, batch=2)
    mask = torch.zeros(2, 1, 8, 8)
    mask[0, :, :4], mask[1, :, :, 4:] = 1.0, 1.0
    latent["noise_mask"] = mask
    source, edit = halves(graph, CLOSED, latent=latent)
    assert torch.equal(source, graph.plain(SOURCE, latent=latent)[::2])
    assert torch.equal(edit, graph.plain(EDIT, latent=latent)[1::2])
    kept = mask.expand_as(edit) == 0
    assert close(edit[kept], latent["samples"][kept])


# Prompts


def test_several_edits_stand_in_order(graph: Graph):
    other = "a red tree and a blue star on snow"
    rows = graph.edited(SOURCE, f"{EDIT}\n---\n{other}", CLOSED)
    for i, text in enumerate((SOURCE, EDIT, other)):
        assert torch.equal(rows[i::3], graph.plain(text, rows=3)[i::3]), text
    swapped = graph.edited(SOURCE, f"{EDIT}\n---\n{other}", OPEN)
    assert torch.equal(swapped[0], rows[0])
    assert close(swapped[:2], graph.edited(SOURCE, EDIT, OPEN), 1e-4)
    assert close(swapped[::2], graph.edited(SOURCE, other, OPEN), 1e-4)


def test_several_edits_of_several_samples(graph: Graph, host: Host):
    latent = host.empty_latent(64, 64, batch=2)
    rows = graph.edited(SOURCE, f"{EDIT}\n---\n{SOURCE}", OPEN, latent=latent)
    assert close(rows[2::3], rows[::3])
    assert torch.equal(rows[::3], graph.plain(SOURCE, rows=3, latent=latent)[::3])


@pytest.mark.parametrize(
    ("source", "edit"), [(LONG, EDIT), (SOURCE, LONG), (LONG, LONG.replace("circle", "house"))]
)
def test_prompts_of_more_than_one_chunk(graph: Graph, source: str, edit: str):
    before, after = halves(graph, CLOSED, source, edit)
    assert close(before, graph.plain(source)[::2], 1e-4)
    assert close(after, graph.plain(edit)[1::2], 1e-4)
    swapped_source, swapped = halves(graph, OPEN, source, edit)
    assert torch.equal(swapped_source, before)
    assert torch.isfinite(swapped).all() and differ(swapped, after)


def test_equal_prompts_of_more_than_one_chunk(graph: Graph):
    source, edit = halves(graph, OPEN, LONG, LONG)
    assert close(edit, source)


def test_words_with_weights(graph: Graph):
    weighted = SOURCE.replace("circle", "(circle:1.3)"), EDIT.replace("house", "(house:1.3)")
    source, edit = halves(graph, OPEN, *weighted)
    assert torch.equal(source, graph.plain(weighted[0])[::2])
    assert differ(source, graph.plain(SOURCE)[::2]) and differ(edit, source)
    _, closed = halves(graph, CLOSED, *weighted)
    assert torch.equal(closed, graph.plain(weighted[1])[1::2])


def test_prompts_with_different_numbers_of_words(graph: Graph):
    source, edit = halves(graph, OPEN, edit="a red old farm house and a blue star on grass")
    assert torch.equal(source, graph.plain(SOURCE)[::2])
    assert differ(edit, source)


def test_conditionings_that_other_nodes_encoded(graph: Graph, host: Host):
    prompts, positive = graph.pair()
    (paired,) = host.run(
        graph.node["P2PPairConditioning"], source=host.encode(SOURCE), edit=host.encode(EDIT)
    )
    model = graph.swapped(prompts, **OPEN)
    assert torch.equal(graph.sample(model, paired), graph.sample(model, positive))


# Negative prompts


def test_a_negative_prompt_for_each_sample(graph: Graph, host: Host):
    latent = host.empty_latent(64, 64, batch=2)
    encoded = [host.encode(text)[0] for text in ("snow", "a blue star")]
    options = {
        k: torch.cat([e[1][k] for e in encoded]) if k == "pooled_output" and v is not None else v
        for k, v in encoded[0][1].items()
    }
    both = [[torch.cat([e[0] for e in encoded]), options]]
    twice = [[both[0][0].repeat_interleave(2, dim=0), {**options}]]
    source, edit = halves(graph, CLOSED, latent=latent, negative=both)
    assert torch.equal(source, graph.plain(SOURCE, latent=latent, negative=twice)[::2])
    assert torch.equal(edit, graph.plain(EDIT, latent=latent, negative=twice)[1::2])


def test_more_negative_prompts_than_samples(graph: Graph, host: Host):
    """The host uses the first one for the only sample, and its edit gets the same one."""
    both = [[torch.cat([host.encode(text)[0][0] for text in ("snow", "a blue star")]), {}]]
    first = [[host.encode("snow")[0][0], {}]]
    assert torch.equal(graph.edited(negative=both), graph.edited(negative=first))


def test_a_paired_negative_prompt_is_not_edited(graph: Graph, host: Host):
    _, negative = graph.pair("snow", "a blue star")
    prompts, positive = graph.pair()
    rows = graph.sample(graph.swapped(prompts, **CLOSED), positive, negative=negative)
    assert torch.equal(rows[0], graph.plain(SOURCE, negative=host.encode("snow"))[0])
    assert torch.equal(rows[1], graph.plain(EDIT, negative=host.encode("a blue star"))[1])
    swapped = graph.sample(graph.swapped(prompts, **OPEN), positive, negative=negative)
    assert torch.equal(swapped[0], rows[0])
