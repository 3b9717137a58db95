"""Local Blend: where its mask is 0, the edit's latent equals the source's to the last bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from adapter import Host
from graphs import CLOSED, EDIT, OPEN, SOURCE, Graph, close, differ, drawn
from test_samplers import BY_THE_BATCH, names

pytestmark = [pytest.mark.host, pytest.mark.filterwarnings("ignore")]  # some samplers emit warnings

Tensor = torch.Tensor
OTHER = "a red circle and a blue tree on grass"
AROUND: dict[str, Any] = {"source_words": "circle", "edit_words": "house", "threshold": 0.9, "pooling": False}
LEFT, TOP, CORNER = torch.zeros(3, 1, 8, 8)
LEFT[..., :4] = TOP[:, :3] = CORNER[:, :2, :2] = 1.0
WIDE: dict[str, Any] = {
    **AROUND,
    "threshold": 0.5,
    "mask": 1 - CORNER,
}  # much of the image, never all of it


def blended(
    graph: Graph, edit: str = EDIT, windows: dict[str, Any] | None = OPEN, again: Any = None,
    blend: dict[str, Any] = AROUND, **options: Any,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """A sampling with Local Blend on Word Swap (windows None: on a plain MODEL): latent and Blend Mask."""
    prompts, positive = graph.pair(SOURCE, edit)
    model = None if windows is None else graph.swapped(prompts, **windows)
    model, store = graph.on("LocalBlend", prompts, model, **{"start": 0.0, **blend})
    return read(graph, model, positive, store, **options)


def read(graph: Graph, model: Any, positive: Any, store: Any, **options: Any) -> tuple[Tensor, Tensor]:
    rows = graph.sample(model, positive, **options)
    return rows, mask_of(graph, store, rows)


def mask_of(graph: Graph, store: Any, rows: Tensor) -> Tensor:
    """Blend Mask, one value per latent cell."""
    (mask,) = graph.host.run(graph.node["P2PBlendMask"], store=store, latent={"samples": rows})
    assert mask.shape[-2:] == tuple(8 * side for side in rows.shape[-2:])
    cells = mask[:, ::8, ::8]
    assert torch.equal(cells.repeat_interleave(8, dim=1).repeat_interleave(8, dim=2), mask)
    return cells


def outside(mask: Tensor, source: Tensor, edit: Tensor) -> float:
    """The largest difference of two latents [C, h, w] where the mask is 0; it must not be 0 everywhere."""
    kept = mask.reshape(source.shape[-2:]) == 0
    assert kept.any() and not kept.all(), "the mask has two sides"
    assert torch.isfinite(edit).all() and torch.isfinite(source).all()
    return float((edit - source).abs()[:, kept].max())


# Outside the mask


@pytest.mark.parametrize("sampler", names())
def test_outside_the_mask_the_edit_is_the_source_with_every_sampler(graph: Graph, sampler: str):
    options = {"sampler": sampler, "steps": 3}
    sources = []
    for windows in (OPEN, CLOSED):
        rows, mask = blended(graph, windows=windows, blend=WIDE, **options)
        assert outside(mask, rows[0], rows[1]) == 0.0
        assert differ(rows[1], rows[0])
        sources.append(rows[0])
    if sampler not in BY_THE_BATCH:
        sources.append(graph.edited(**options)[0])
        assert all(torch.equal(source, sources[-1]) for source in sources), "as without Local Blend"


def test_the_sampler_goes_on_from_what_was_blended(graph: Graph, host: Host):
    """In each step after the first, another pack sees the source outside the mask."""
    from comfy.patcher_extension import WrappersMP

    seen: list[float] = []

    def noting(executor: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        seen.append(outside(LEFT[0], x[0], x[1]))
        return executor(x, *args, **kwargs)

    prompts, positive = graph.pair()
    model = host.model().clone()
    model.add_wrapper_with_key(WrappersMP.PREDICT_NOISE, "another pack", noting)
    model, _ = graph.on("LocalBlend", prompts, model, mask=LEFT, start=0.0)
    graph.sample(model, positive, steps=3)
    assert seen == [0.0] * 3


def test_before_the_start_the_edit_goes_its_own_way(graph: Graph, host: Host):
    from comfy.patcher_extension import WrappersMP

    seen: list[float] = []

    def noting(executor: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        seen.append(outside(LEFT[0], x[0], x[1]))
        return executor(x, *args, **kwargs)

    prompts, positive = graph.pair()
    model = host.model().clone()
    model.add_wrapper_with_key(WrappersMP.PREDICT_NOISE, "another pack", noting)
    model, _ = graph.on("LocalBlend", prompts, model, mask=LEFT, start=0.45)
    rows = graph.sample(model, positive, steps=4)
    assert seen[0] == 0.0 and min(seen[1:3]) > 0.0 and seen[3] == 0.0
    assert outside(LEFT[0], rows[0], rows[1]) == 0.0


def test_without_guidance(graph: Graph):
    rows, mask = blended(graph, cfg=1.0)
    assert outside(mask, rows[0], rows[1]) == 0.0


def test_part_of_the_way_from_a_given_latent(graph: Graph, host: Host):
    rows, mask = blended(graph, blend=WIDE, latent=drawn(host), denoise=0.5, steps=4)
    assert outside(mask, rows[0], rows[1]) == 0.0 and differ(rows[1], rows[0])


def test_with_a_noise_mask(graph: Graph, host: Host):
    latent = {**drawn(host), "noise_mask": LEFT[None]}
    rows, mask = blended(graph, latent=latent, steps=3)
    assert torch.equal(rows[0], graph.edited(latent=latent, steps=3)[0])
    assert outside(mask, rows[0], rows[1]) == 0.0


@pytest.mark.real_host
def test_a_sampling_that_stops_early_with_a_noise_mask(graph: Graph, host: Host):
    """The host then passes a copy to the model, so the sampler continues from unblended rows."""
    import comfy.sample
    import comfy.samplers

    prompts, positive = graph.pair()
    model, _ = graph.on("LocalBlend", prompts, mask=TOP, start=0.2)
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", 4)[:-2]
    latent, euler = drawn(host)["samples"], comfy.samplers.sampler_object("euler")
    args = (2.0, euler, sigmas, positive, host.encode(""), latent)
    noise = comfy.sample.prepare_noise(latent, 5)
    with torch.inference_mode():
        rows = comfy.sample.sample_custom(model, noise, *args, noise_mask=LEFT[None], disable_pbar=True)
    assert outside(TOP, rows[0], rows[1]) == 0.0 and differ(rows[1], rows[0])


def test_each_sample_of_a_batch_has_a_mask_of_its_own(graph: Graph, host: Host):
    latent = host.empty_latent(64, 64, batch=2)
    rows, masks = blended(graph, latent={**latent, "batch_index": [0, 1]}, steps=3)
    assert masks.shape == (2, 8, 8)
    for sample, mask in enumerate(masks):
        assert outside(mask, rows[2 * sample], rows[2 * sample + 1]) == 0.0
        alone = {**host.empty_latent(64, 64), "batch_index": [sample]}
        assert torch.equal(blended(graph, latent=alone, steps=3)[1][0], mask)


@pytest.mark.parametrize("size", [(96, 64), (64, 96)])
def test_a_picture_that_is_not_square(graph: Graph, host: Host, size: tuple[int, int]):
    rows, mask = blended(graph, latent=host.empty_latent(*size), steps=3)
    assert mask.shape == (1, size[1] // 8, size[0] // 8)
    assert outside(mask, rows[0], rows[1]) == 0.0


def test_every_edit_of_every_sample_has_a_mask_of_its_own(graph: Graph, host: Host):
    words = {**AROUND, "source_words": "", "edit_words": "house, tree"}
    latent = {**host.empty_latent(64, 64, batch=2), "batch_index": [0, 1]}
    rows, masks = blended(graph, f"{EDIT}\n---\n{OTHER}", blend=words, latent=latent, steps=3)
    assert masks.shape == (4, 8, 8), "the edits of the first sample, then of the next"
    for place, mask in enumerate(masks):
        sample, edit = divmod(place, 2)
        assert outside(mask, rows[3 * sample], rows[3 * sample + 1 + edit]) == 0.0
    for edit, text in enumerate((EDIT, OTHER)):
        alone, own = blended(
            graph, text, blend={**words, "edit_words": ("house", "tree")[edit]}, latent=latent, steps=3
        )
        assert torch.equal(masks[edit::2], own)
        assert close(rows[edit + 1 :: 3], alone[1::2], 1e-4)


def test_without_an_edit_node_two_prompts_are_blended(graph: Graph):
    rows, mask = blended(graph, windows=None, blend=WIDE, steps=3)
    assert torch.equal(rows[0], graph.plain(SOURCE, steps=3)[0])
    assert outside(mask, rows[0], rows[1]) == 0.0 and differ(rows[1], rows[0])


def test_a_reweighted_source_is_blended(graph: Graph):
    prompts, positive = graph.pair(SOURCE, "")
    model, every = graph.on("Reweight", prompts, weights="circle: 4")
    for given in (prompts, every):
        blend = {**WIDE, "edit_words": "circle", "start": 0.0}
        model_, store = graph.on("LocalBlend", given, model, **blend)
        rows, mask = read(graph, model_, positive, store, steps=3)
        assert outside(mask, rows[0], rows[1]) == 0.0 and differ(rows[1], rows[0])


def test_the_order_of_local_blend_and_the_edit_does_not_matter(graph: Graph):
    prompts, positive = graph.pair()
    rows, mask = blended(graph, steps=3)
    model, store = graph.on("LocalBlend", prompts, **AROUND, start=0.0)
    model = graph.swapped(prompts, model, **OPEN)
    other, other_mask = read(graph, model, positive, store, steps=3)
    assert torch.equal(other, rows) and torch.equal(other_mask, mask)


# The mask of the words


def test_a_threshold_of_0_keeps_nothing_of_the_source(graph: Graph):
    rows, mask = blended(graph, blend={**AROUND, "threshold": 0.0}, steps=3)
    assert bool((mask == 1).all())
    assert torch.equal(rows, graph.edited(windows=OPEN, steps=3))


def test_a_threshold_of_1_makes_an_empty_mask_and_the_edit_is_the_source(graph: Graph):
    rows, mask = blended(graph, blend={**AROUND, "threshold": 1.0}, steps=3)
    assert bool((mask == 0).all())
    assert torch.equal(rows[1], rows[0]) and torch.equal(rows[0], graph.edited(steps=3)[0])


def test_a_higher_threshold_makes_a_smaller_mask_and_pooling_a_larger_one(graph: Graph):
    """With one step, all masks are from the same maps."""

    def mask(**blend: Any) -> Tensor:
        return blended(graph, blend={**AROUND, **blend}, steps=1)[1]

    low, high, pooled = mask(threshold=0.3), mask(threshold=0.9), mask(threshold=0.9, pooling=True)
    for smaller, larger in ((high, low), (high, pooled)):
        assert bool((smaller <= larger).all()) and smaller.sum() < larger.sum()


def test_subtracted_words_are_cut_out_of_the_mask(graph: Graph):
    """With one step, all masks are from the same maps."""
    half, subtract = {**AROUND, "threshold": 0.5}, {"subtract_words": "circle, house"}
    high, whole, less = (
        blended(graph, blend=blend, steps=1)[1]
        for blend in (AROUND, half, {**half, **subtract, "subtract_threshold": 0.9})
    )
    assert bool((high <= whole).all()) and high.sum() > 0
    assert torch.equal(less, whole - high)


def test_layers_choose_whose_maps_make_the_mask(graph: Graph):
    masks = [blended(graph, blend={**AROUND, "layers": layers}, steps=2)[1] for layers in ("auto", "middle")]
    assert not torch.equal(*masks)


def test_a_soft_edge_fades_out_and_ends(graph: Graph):
    _, hard = blended(graph, blend={"mask": CORNER}, steps=1)
    rows, soft = blended(graph, blend={"mask": CORNER, "soft_edge": 3}, steps=3)
    assert torch.equal(hard, CORNER)
    assert soft[0, 0].tolist() == [1, 1, 0.75, 0.5, 0.25, 0, 0, 0]
    assert outside(soft, rows[0], rows[1]) == 0.0


# The user's mask


def test_a_mask_is_intersected_with_the_words(graph: Graph):
    """With one step, both masks are from the same maps."""
    half = {**AROUND, "threshold": 0.5}
    _, words = blended(graph, blend=half, steps=1)
    _, both = blended(graph, blend={**half, "mask": 1 - CORNER}, steps=1)
    assert torch.equal(both, words * (1 - CORNER))
    rows, mask = blended(graph, blend={**half, "mask": 1 - CORNER}, steps=3)
    assert outside(mask, rows[0], rows[1]) == 0.0


def test_a_mask_takes_the_place_of_the_words(graph: Graph):
    rows, mask = blended(graph, blend={**AROUND, "mask": LEFT, "mask_mode": "replace"}, steps=3)
    assert torch.equal(mask, LEFT)
    assert outside(mask, rows[0], rows[1]) == 0.0


@pytest.mark.parametrize("mode", ["intersect", "replace"])
def test_a_mask_alone_needs_no_words(graph: Graph, mode: str):
    rows, mask = blended(graph, blend={"mask": LEFT, "mask_mode": mode}, steps=3)
    assert torch.equal(mask, LEFT)
    assert outside(mask, rows[0], rows[1]) == 0.0


@pytest.mark.parametrize("size", [(64, 64), (16, 48), (2, 2)])
def test_a_mask_of_another_size_is_averaged_over_the_cells(graph: Graph, size: tuple[int, int]):
    large = torch.zeros(1, *size)
    large[..., : size[1] // 2] = 1.0
    rows, mask = blended(graph, blend={"mask": large}, steps=2)
    assert torch.equal(mask, LEFT)
    assert outside(mask, rows[0], rows[1]) == 0.0


def test_a_cell_that_the_mask_covers_partly_is_blended_partly(graph: Graph):
    large = torch.zeros(1, 64, 64)
    large[..., :30] = 1.0
    rows, mask = blended(graph, blend={"mask": large}, steps=2)
    assert mask[0, 0].tolist() == [1, 1, 1, 0.75, 0, 0, 0, 0]
    assert outside(mask, rows[0], rows[1]) == 0.0


def test_a_mask_without_a_batch_is_one_mask(graph: Graph):
    rows, mask = blended(graph, blend={"mask": LEFT[0]}, steps=2)
    assert torch.equal(mask, LEFT) and outside(mask, rows[0], rows[1]) == 0.0


def test_a_mask_for_each_edit(graph: Graph, host: Host):
    masks = torch.cat([LEFT, CORNER])
    latent = host.empty_latent(64, 64, batch=2)
    rows, found = blended(graph, f"{EDIT}\n---\n{OTHER}", blend={"mask": masks}, latent=latent, steps=2)
    assert torch.equal(found, masks.repeat(2, 1, 1))
    for place, mask in enumerate(found):
        sample, edit = divmod(place, 2)
        assert outside(mask, rows[3 * sample], rows[3 * sample + 1 + edit]) == 0.0


def test_a_mask_for_each_edited_picture(graph: Graph, host: Host):
    masks = torch.cat([LEFT, CORNER])
    rows, found = blended(graph, blend={"mask": masks}, latent=host.empty_latent(64, 64, batch=2), steps=2)
    assert torch.equal(found, masks)
    for sample, mask in enumerate(found):
        assert outside(mask, rows[2 * sample], rows[2 * sample + 1]) == 0.0


# Several


def test_two_local_blends_keep_what_either_keeps(graph: Graph):
    prompts, positive = graph.pair()
    model, first = graph.on("LocalBlend", prompts, graph.swapped(prompts, **OPEN), mask=LEFT, start=0.0)
    model, second = graph.on("LocalBlend", prompts, model, mask=TOP, start=0.0)
    rows, mask = read(graph, model, positive, second, steps=3)
    assert torch.equal(mask, TOP) and torch.equal(mask_of(graph, first, rows), LEFT)
    assert torch.equal(rows[0], graph.edited(steps=3)[0])
    assert outside(LEFT * TOP, rows[0], rows[1]) == 0.0 and differ(rows[1], rows[0])


def test_what_comes_before_local_blend_has_no_blend(graph: Graph):
    prompts, positive = graph.pair()
    swapped = graph.swapped(prompts, **OPEN)
    before = graph.sample(swapped, positive)
    model, _ = graph.on("LocalBlend", prompts, swapped, mask=LEFT)
    assert differ(graph.sample(model, positive), before)
    assert torch.equal(graph.sample(swapped, positive), before)


def test_a_start_that_the_sampling_never_passes_is_refused(graph: Graph, error: type[Exception]):
    with pytest.raises(
        error, match=r"Prompt-to-Prompt: .* got a start of 1\. Lower the start of Local Blend"
    ):
        blended(graph, blend={**AROUND, "start": 1.0})
