"""Transformers in the stock guiders and samplers, at any size, in batches, and with noise masks."""

from __future__ import annotations

import importlib
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest
import torch
from graphs import CLOSED, EDIT, NEGATIVE, OPEN, SOURCE, Graph, close, repeated
from torch import Tensor

pytestmark = [pytest.mark.host, pytest.mark.real_host, pytest.mark.filterwarnings("ignore")]

try:
    import sampler_ways
    from test_end_to_end import EDITS as EQUAL_EDITS
    from test_end_to_end import NAMES
    from test_end_to_end import SOURCE as EQUAL_SOURCE
    from transformer_host import TransformerHost

    WAYS = [*sampler_ways.WAYS]
except ModuleNotFoundError:  # on the stand-in, where these tests do not run
    NAMES, WAYS = [], []

FULL = [name for name in ("Wan 2.1", "Flux.1", "Qwen-Image", "Z-Image") if name in NAMES]
DRAWING = ["euler_ancestral", "dpmpp_sde", "er_sde", "lcm"]
# plain runs of odd sizes fail or vary
EVEN = ("AuraFlow", "Chroma Radiance", "Cosmos 1", "Cosmos-Predict2", "Kandinsky 5", "HunyuanVideo")
ONE_SIZE = ("Wan VACE", "HunyuanVideo 1.5")  # their conditioning has latents of the tiny model's own size
UNMASKED = ("Kandinsky 5",)  # the host gives a mask to a model for inpainting


def of(name: str, node: dict[str, Any]) -> Graph:
    return Graph(TransformerHost(name), node)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", FULL[:3])
def test_every_way_to_sample(node: dict[str, Any], name: str, way: str) -> None:
    assert not sampler_ways.trouble(of(name, node), way, "euler", "simple")


@pytest.mark.parametrize("sampler", DRAWING)
@pytest.mark.parametrize("name", FULL)
def test_samplers_that_draw_noise(node: dict[str, Any], name: str, sampler: str) -> None:
    assert not sampler_ways.trouble(of(name, node), "KSampler", sampler, "simple")


@pytest.mark.parametrize("name", FULL)
def test_basic_guider(node: dict[str, Any], name: str) -> None:
    """No negative prompt, as on models that are distilled for guidance."""
    graph = of(name, node)
    prompts, positive = graph.pair()
    latent = graph.host.empty_latent(64, 64)

    def run(model: Any, conditioning: Any, latent: Any) -> Tensor:
        job = sampler_ways.Job(model, conditioning, None, latent, "euler", "simple")
        guider = sampler_ways.custom("BasicGuider", model=model, conditioning=conditioning)
        with torch.inference_mode():
            return sampler_ways.advanced(job, guider)

    closed, opened = (run(graph.swapped(prompts, **way), positive, latent) for way in (CLOSED, OPEN))
    for row, text in enumerate((SOURCE, EDIT)):
        assert torch.equal(
            closed[row], run(graph.host.model(), graph.host.encode(text), repeated(latent, 2))[row]
        )
    assert torch.equal(opened[0], closed[0]) and not close(opened[1], closed[1])


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ONE_SIZE])
def test_a_batch_of_odd_sizes_with_a_noise_mask(node: dict[str, Any], name: str) -> None:
    """Two samples, not square, and not a multiple of a token's size where the family takes that."""
    graph = of(name, node)
    host, texts = graph.host, (EQUAL_SOURCE, EQUAL_EDITS["equal"])
    prompts, positive = graph.pair(*texts)
    latent = host.empty_latent(*((128, 64) if name in EVEN else (120, 72)), batch=2)
    shape = latent["samples"].shape
    latent["samples"] = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    if name not in UNMASKED:
        latent["noise_mask"] = (torch.arange(shape[-1]) > 2).float().expand(1, *shape[-2:])

    def run(model: Any, conditioning: Any, latent: Any) -> Tensor:
        return host.sample(model, conditioning, host.encode(NEGATIVE), latent=latent)["samples"]

    closed, opened = (run(graph.swapped(prompts, **way), positive, latent) for way in (CLOSED, OPEN))
    for row, text in enumerate(texts):
        plain = run(host.model(), host.encode(text), repeated(latent, 2))
        assert torch.equal(closed[row::2], plain[row::2])
    assert torch.equal(opened[::2], closed[::2]) and not torch.equal(opened[1::2], closed[1::2])


@pytest.mark.skipif("Z-Image" not in NAMES, reason="this ComfyUI has no Z-Image")
def test_learned_padding_of_one_thread_is_not_that_of_another(pack: ModuleType) -> None:
    """Two runs on clones of one MODEL share its modules."""
    rows = importlib.import_module(f"{pack.__name__}.nodes.comfyui.unequal_rows")
    model = TransformerHost("Z-Image").model()
    family = importlib.import_module(f"{pack.__name__}.nodes.comfyui.families").family_of(model)
    embedder, text = model.model.diffusion_model.cap_embedder, torch.randn(2, 8, 16)
    plain, transformer = embedder(text), model.model.diffusion_model
    with rows.each_as_alone(transformer, family, (5, 8), 8), ThreadPoolExecutor(1) as pool:
        assert torch.equal(pool.submit(embedder, text).result(), plain)
        assert not torch.equal(embedder(text), plain)
    assert torch.equal(embedder(text), plain)
