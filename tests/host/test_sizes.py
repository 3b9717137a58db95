"""Images of any shape, second passes at another size, tiles, masks and batch indices of a latent."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from graphs import CLOSED, EDIT, NEGATIVE, OPEN, SOURCE, Graph, differ, repeated
from torch import Tensor

pytestmark = [pytest.mark.host, pytest.mark.real_host]

with contextlib.suppress(ModuleNotFoundError):  # missing on the stand-in, where these tests do not run
    from families import TinyHost

SHAPES = [(9, 13), (13, 9), (7, 7), (33, 17), (8, 40), (5, 64)]  # height and width in cells of the latent


@pytest.fixture(scope="module")
def tiny(node: dict[str, Any]) -> Graph:
    return Graph(TinyHost("SD1.5"), node)


def stock(name: str, *args: Any, module: str = "nodes", **inputs: Any) -> Any:
    """The first output of a stock node."""
    kind = getattr(importlib.import_module(module), name)
    with torch.inference_mode():
        if hasattr(kind, "execute"):
            return kind.execute(*args, **inputs).args[0]
        return getattr(kind(), kind.FUNCTION)(*args, **inputs)[0]


def fixed(latent: dict[str, Any], behavior: str = "fixed") -> dict[str, Any]:
    """Latent Batch Seed Behavior."""
    importlib.import_module("comfy_extras.nodes_post_processing")  # it and nodes_latent import each other
    return stock("LatentBatchSeedBehavior", latent, behavior, module="comfy_extras.nodes_latent")


def cells(height: int, width: int, batch: int = 1) -> dict[str, Any]:
    return {"samples": torch.zeros(batch, 4, height, width)}


# Shapes


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_picture_of_any_shape(tiny: Graph, shape: tuple[int, int]):
    latent = cells(*shape)
    source, edit = tiny.edited(latent=latent)
    assert source.shape[-2:] == shape
    assert torch.equal(source, tiny.plain(SOURCE, latent=latent)[0]) and differ(edit, source)
    assert torch.equal(tiny.edited(windows=CLOSED, latent=latent)[1], tiny.plain(EDIT, latent=latent)[1])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_local_blend_of_any_shape(tiny: Graph, shape: tuple[int, int]):
    """By words, and by a mask with another size than the latent."""
    prompts, positive = tiny.pair()
    mask = torch.zeros(1, 100, 100)
    mask[:, :50] = 1.0
    words = {"source_words": "circle", "edit_words": "house", "threshold": 0.5}
    for widgets in (words, {"mask": mask}):
        model, store = tiny.on("LocalBlend", prompts, start=0.0, **widgets)
        made = tiny.host.sample(
            tiny.swapped(prompts, model), positive, tiny.host.encode(""), latent=cells(*shape), steps=3
        )
        (shown,) = tiny.host.run(tiny.node["P2PBlendMask"], store=store, latent=made)
        outside = torch.nn.functional.interpolate(shown[:, None], shape)[0, 0] == 0
        source, edit = made["samples"]
        assert torch.equal(source[:, outside], edit[:, outside]) and differ(source, edit)


def test_maps_of_an_odd_shape(tiny: Graph):
    prompts, positive = tiny.pair()
    model, store = tiny.on("AttentionStore", prompts, words="circle, star")
    made = tiny.host.sample(tiny.swapped(prompts, model), positive, tiny.host.encode(""), latent=cells(9, 13))
    sheet, maps, mask = tiny.host.run(tiny.node["P2PAttentionMaps"], store=store, latent=made)[:3]
    assert all(torch.isfinite(t).all() for t in (sheet, maps, mask))


# A second pass at another size


@pytest.mark.parametrize("size", [(96, 128), (72, 104), (64, 64)])
@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m_sde"])
def test_a_hires_pass(tiny: Graph, size: tuple[int, int], sampler: str):
    """Upscale Latent, Latent Batch Seed Behavior (fixed), a second sampler with half the denoise."""
    host, (prompts, positive) = tiny.host, tiny.pair()
    options = {"denoise": 0.5, "steps": 4, "sampler": sampler}

    def second(model: Any, conditioning: Any, first: Any) -> Tensor:
        large = stock("LatentUpscale", first, "nearest-exact", *size, "disabled")
        return host.sample(model, conditioning, host.encode(NEGATIVE), latent=fixed(large), **options)[
            "samples"
        ]

    model = tiny.swapped(prompts)
    pair = host.sample(model, positive, host.encode(NEGATIVE))
    rows = second(model, positive, pair)
    assert rows.shape == (2, 4, size[1] // 8, size[0] // 8) and differ(*rows)
    if sampler == "euler":
        twice = repeated(host.empty_latent(64, 64), 2)
        plain = host.sample(host.model(), host.encode(SOURCE), host.encode(NEGATIVE), latent=twice)
        assert torch.equal(rows[0], second(host.model(), host.encode(SOURCE), plain)[0])


def test_a_hires_pass_of_pictures(tiny: Graph):
    """Both images, upscaled and encoded again: without the stock node, each is a sample of its own."""
    prompts, positive = tiny.pair()
    pair = torch.randn(2, 4, 12, 12, generator=torch.Generator().manual_seed(2))
    for behavior, rows in (("fixed", 2), ("random", 4)):
        latent = fixed({"samples": pair}, behavior)
        made = tiny.sample(tiny.swapped(prompts), positive, latent=latent, denoise=0.4)
        assert made.shape[0] == rows


# Tiles


def tiled(model: Any, at_once: bool) -> Any:
    """A tiled sampler as in other packs: the model is called for parts of the image, which are averaged.

    at_once: all parts in one batch, otherwise one after the other.
    """
    clone = model.clone()

    def wrapper(apply: Callable[..., Tensor], call: dict[str, Any]) -> Tensor:
        x, t, c = call["input"], call["timestep"], call["c"]
        places = [slice(0, 8), slice(4, 12)]
        if at_once:
            several = {
                key: value.repeat(len(places), *[1] * (value.ndim - 1))
                if isinstance(value, Tensor)
                else value
                for key, value in c.items()
            }
            parts = torch.cat([x[..., place] for place in places])
            made = apply(parts, t.repeat(len(places)), **several).chunk(len(places))
        else:
            made = [apply(x[..., place], t, **c) for place in places]
        total, count = torch.zeros_like(x), torch.zeros_like(x)
        for place, part in zip(places, made, strict=True):
            total[..., place] += part
            count[..., place] += 1
        return total / count

    clone.set_model_unet_function_wrapper(wrapper)
    return clone


def test_tiles_one_after_the_other_are_edited(tiny: Graph):
    """Each tile uses the attention of the source's tile."""
    model, latent = tiled(tiny.host.model(), at_once=False), cells(8, 12)
    source, edit = tiny.edited(model=model, latent=latent)
    assert torch.equal(source, tiny.plain(SOURCE, model=model, latent=latent)[0])
    assert differ(edit, tiny.plain(EDIT, model=model, latent=latent)[1]) and differ(source, edit)
    closed = tiny.edited(windows=CLOSED, model=model, latent=latent)
    assert torch.equal(closed[1], tiny.plain(EDIT, model=model, latent=latent)[1])


def test_tiles_in_one_batch_are_refused(tiny: Graph, error: type[Exception]):
    model = tiled(tiny.host.model(), at_once=True)
    with pytest.raises(error, match=r"prompts × samples × parts, 2 × 1 × 2, got 8 rows\. Remove"):
        tiny.edited(model=model, latent=cells(8, 12))


def test_maps_of_tiles_are_refused(tiny: Graph, error: type[Exception]):
    prompts, positive = tiny.pair()
    model, _ = tiny.on("AttentionStore", prompts, tiled(tiny.host.model(), at_once=False))
    with pytest.raises(error, match=r"attention over the whole image, .*\. Remove .*tiles"):
        tiny.sample(tiny.swapped(prompts, model), positive, latent=cells(8, 12))


# Masks and batch indices of a latent


@pytest.mark.parametrize("size", [(9, 13), (72, 104), (64, 64)])
def test_a_noise_mask_of_any_size(tiny: Graph, size: tuple[int, int]):
    """The host resizes it to the latent."""
    latent = {"samples": torch.randn(1, 4, 9, 13, generator=torch.Generator().manual_seed(1))}
    mask = torch.zeros(1, *size)
    mask[..., size[1] // 2 :] = 1.0
    latent = stock("SetLatentNoiseMask", latent, mask)
    source, edit = tiny.edited(latent=latent)
    assert torch.equal(source, tiny.plain(SOURCE, latent=latent)[0])
    assert torch.equal(source[..., :6], edit[..., :6]) and differ(source, edit)


def test_differential_diffusion(tiny: Graph):
    latent = {"samples": torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))}
    latent = stock("SetLatentNoiseMask", latent, torch.linspace(0, 1, 8).expand(1, 8, 8))
    module = "comfy_extras.nodes_differential_diffusion"
    model = stock("DifferentialDiffusion", tiny.host.model(), module=module)
    source, edit = tiny.edited(model=model, latent=latent, steps=4)
    assert torch.equal(source, tiny.plain(SOURCE, model=model, latent=latent, steps=4)[0])
    assert differ(source, edit)


@pytest.mark.parametrize("index", [[5], [3, 7], [2, 2]])
def test_batch_numbers_of_a_latent(tiny: Graph, index: list[int]):
    """From Latent From Batch: each sample has the noise of its index, for source and edit."""
    latent = {**cells(8, 8, len(index)), "batch_index": index}
    closed, opened = tiny.edited(windows=CLOSED, latent=latent), tiny.edited(latent=latent)
    assert torch.equal(opened[::2], tiny.plain(SOURCE, latent=latent)[::2])
    assert torch.equal(closed[1::2], tiny.plain(EDIT, latent=latent)[1::2])
    assert differ(opened[1::2], closed[1::2])


def test_a_sample_taken_out_of_a_batch_is_the_one_of_the_batch(tiny: Graph):
    batch = cells(8, 8, 4)
    third = stock("LatentFromBatch", batch, 2, 1)
    assert third["batch_index"] == [2]
    whole, alone = tiny.plain(SOURCE, rows=1, latent=batch), tiny.edited(windows=OPEN, latent=third)
    assert not differ(alone[0], whole[2])
