"""CONDITIONINGs of several parts: averages, other texts, inpainting images, regions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from graphs import CLOSED, EDIT, OPEN, SOURCE, differ, repeated
from like_plain import (
    Sides,
    of,
    require_like_plain,
    stock,
)

pytestmark = [pytest.mark.host, pytest.mark.real_host]


# Averages, other encoders, other texts


@pytest.mark.parametrize("name", ["SD1.5", "SDXL"])
def test_an_average_with_another_prompt(node: dict[str, Any], name: str):
    graph = of(name, node)
    style = graph.host.encode("a small photo of snow")
    require_like_plain(graph, lambda p, n, _: (stock("ConditioningAverage", p, style, 0.7)[0], n))


def test_sdxl_texts_with_sizes(node: dict[str, Any]):
    """CLIP Text Encode (SDXL) on both sides of Pair Conditioning."""
    graph = of("SDXL", node)
    sizes = (1024, 512, 0, 64, 1024, 512)

    def encoded(text: str) -> Any:
        module, names = "comfy_extras.nodes_clip_sdxl", ("width", "height", "crop_w", "crop_h")
        inputs = dict(zip((*names, "target_width", "target_height"), sizes, strict=True))
        texts = {"text_g": text, "text_l": text}
        return stock("CLIPTextEncodeSDXL", clip=graph.host.clip(), **inputs, **texts, module=module)[0]

    (paired,) = graph.host.run(node["P2PPairConditioning"], source=encoded(SOURCE), edit=encoded(EDIT))
    prompts, positive = graph.pair()
    latent = repeated(graph.host.empty_latent(64, 64), 2)
    closed, opened = (graph.sample(graph.swapped(prompts, **way), paired) for way in (CLOSED, OPEN))
    for row, text in enumerate((SOURCE, EDIT)):
        assert torch.equal(closed[row], graph.sample(graph.host.model(), encoded(text), latent=latent)[row])
    assert torch.equal(opened[0], closed[0]) and differ(opened[1], closed[1])
    assert differ(closed, graph.sample(graph.swapped(prompts, **CLOSED), positive))


def test_text_that_is_not_in_the_prompt_is_refused(node: dict[str, Any], error: type[Exception]):
    """Conditioning (Concat) before Pair Conditioning: its columns would be mistaken for repeated ones."""
    graph = of("SD1.5", node)
    style = graph.host.encode("a small photo of snow")
    sides = [stock("ConditioningConcat", graph.host.encode(text), style)[0] for text in (SOURCE, EDIT)]
    (paired,) = graph.host.run(node["P2PPairConditioning"], source=sides[0], edit=sides[1])
    prompts, _ = graph.pair()
    with pytest.raises(error, match=r"tokens of its prompts, got one with 154\. .*Concat"):
        graph.sample(graph.swapped(prompts), paired)


# Inpainting


@pytest.mark.parametrize(
    ("name", "batch"),
    [("SD1.5 inpainting", 1), ("SD1.5 inpainting", 2), ("SD2.x inpainting", 1), ("SDXL inpainting", 2)],
)
def test_inpainting_models(node: dict[str, Any], name: str, batch: int):
    """Inpaint Model Conditioning: each sample has its own image, mask and noise mask."""
    graph = of(name, node)
    latents = torch.randn(batch, 4, 8, 8, generator=torch.Generator().manual_seed(9))
    masks = torch.zeros(batch, 1, 64, 64)
    for i in range(batch):
        masks[i, ..., 16 * i : 32 + 16 * i] = 1.0

    def change(positive: Any, negative: Any, rows: int) -> Sides:
        import node_helpers

        values = {"concat_latent_image": latents * 0.5, "concat_mask": masks}
        values = {key: value.repeat_interleave(rows, dim=0) for key, value in values.items()}
        return tuple(node_helpers.conditioning_set_values(side, values) for side in (positive, negative))

    require_like_plain(graph, change, latent={"samples": latents, "noise_mask": masks})


def test_pictures_of_instruct_pix2pix(node: dict[str, Any]):
    graph = of("SD1.5 InstructPix2Pix", node)
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(9))

    def change(positive: Any, negative: Any, _: int) -> Sides:
        import node_helpers

        both = {"concat_latent_image": latents}
        return tuple(node_helpers.conditioning_set_values(side, both) for side in (positive, negative))

    require_like_plain(graph, change)


# Regions


def in_area(conditioning: Any, x: int) -> Any:
    """In one half of the image: left at 0, right at 32 pixels."""
    return stock("ConditioningSetArea", conditioning, 32, 64, x, 0, 1.0)[0]


def combined(*conditionings: Any) -> Any:
    result = conditionings[0]
    for other in conditionings[1:]:
        (result,) = stock("ConditioningCombine", result, other)
    return result


BACKGROUND, TREE = "a small tree on snow", "a large tree on snow"


@pytest.mark.parametrize("whole", [False, True])
def test_a_region_without_an_edit(node: dict[str, Any], whole: bool):
    """A plain conditioning combined with a paired one: it is the same for source and edit."""
    graph = of("SD1.5", node)
    plain = graph.host.encode(BACKGROUND)

    def change(positive: Any, negative: Any, _: int) -> Sides:
        return combined(in_area(positive, 0), plain if whole else in_area(plain, 32)), negative

    require_like_plain(graph, change)


def test_the_words_of_a_region_without_an_edit_keep_their_columns(node: dict[str, Any]):
    """An edit that moves words to other columns: after one step it has no effect elsewhere."""
    graph = of("SD1.5", node)
    prompts, positive = graph.pair(SOURCE, f"a large old {SOURCE}")
    model, *_ = graph.on("Refine", prompts, **OPEN)
    region = in_area(graph.host.encode(BACKGROUND), 32)
    source, edit = graph.sample(model, combined(in_area(positive, 0), region), steps=1)
    assert torch.equal(source[..., 4:], edit[..., 4:]) and differ(source, edit)


def test_regions_with_masks(node: dict[str, Any]):
    graph = of("SD1.5", node)
    left = torch.zeros(1, 8, 8)
    left[..., :4] = 1.0
    plain = stock("ConditioningSetMask", graph.host.encode(BACKGROUND), 1 - left, "default", 1.0)[0]

    def change(positive: Any, negative: Any, _: int) -> Sides:
        return combined(stock("ConditioningSetMask", positive, left, "default", 1.0)[0], plain), negative

    require_like_plain(graph, change)


def test_regions_that_were_encoded_elsewhere(node: dict[str, Any]):
    """Pair Conditioning: an entry that is the same on both sides is a region without an edit."""
    graph = of("SD1.5", node)
    region = in_area(graph.host.encode(BACKGROUND), 32)
    sides = [combined(in_area(graph.host.encode(text), 0), region) for text in (SOURCE, EDIT)]
    (paired,) = graph.host.run(node["P2PPairConditioning"], source=sides[0], edit=sides[1])
    prompts, positive = graph.pair()
    model = graph.swapped(prompts)
    assert torch.equal(
        graph.sample(model, paired), graph.sample(model, combined(in_area(positive, 0), region))
    )


def test_regions_with_two_edits_are_refused(node: dict[str, Any], error: type[Exception]):
    graph = of("SD1.5", node)
    sides = [
        combined(in_area(graph.host.encode(left), 0), in_area(graph.host.encode(right), 32))
        for left, right in ((SOURCE, BACKGROUND), (EDIT, TREE))
    ]
    (paired,) = graph.host.run(node["P2PPairConditioning"], source=sides[0], edit=sides[1])
    prompts, positive = graph.pair()
    with pytest.raises(
        error, match=r"expected one region with an edit, .*\. Give the other regions the same"
    ):
        graph.sample(graph.swapped(prompts), paired)
    _, other = graph.pair(BACKGROUND, TREE)
    with pytest.raises(error, match=r"a CONDITIONING with the MODEL's prompts, .*\. Connect"):
        graph.sample(graph.swapped(prompts), combined(in_area(positive, 0), in_area(other, 32)))
