"""Transformers with what their workflows add: Wan 2.2's two experts, Redux tokens, reference images."""

from __future__ import annotations

import functools
import importlib
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from graphs import CLOSED, NEGATIVE, OPEN, Graph, close, differ, repeated
from torch import Tensor

pytestmark = [pytest.mark.host, pytest.mark.real_host]

try:
    import node_helpers
    from test_end_to_end import CHECKPOINTS, NAMES, SOURCE, Flow
    from transformer_table import FAMILIES
    from transformers_tiny import built, randomise

    nodes: Any = importlib.import_module("nodes")
except ModuleNotFoundError:
    pytest.skip("needs ComfyUI itself", allow_module_level=True)

EDIT = "a photo of a red dog, sitting on grass"
EARLY = {"cross_end": 0.4, "self_end": 0.25}


# Wan 2.2: a MODEL for high noise and one for low noise, in two samplers


@functools.cache
def low_noise_expert() -> Any:
    own, family = CHECKPOINTS["Wan 2.1"], FAMILIES["Wan 2.1"]
    model = built(replace(family, model={**family.model, **own.model}))
    randomise(model.model.diffusion_model, seed=1)
    return model


class Stages(Flow):
    """Samplers of 4 steps in all. Each continues where the one before it stopped."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph, "Wan 2.1")
        self.prompts, self.positive = self.pair(EDIT)
        self.negative = self.encoded(NEGATIVE)

    def drawn(self, models: list[Any], positive: Any, rows: int = 1) -> Tensor:
        latent, each = repeated(self.latent, rows), 4 // len(models)
        for stage, model in enumerate(models):
            start, end = stage * each, (stage + 1) * each
            noise, left = "disable" if start else "enable", "disable" if end == 4 else "enable"
            how = 1, 4, 3.0, "euler", "simple", positive, self.negative, latent, start, end, left
            with torch.inference_mode():
                (latent,) = nodes.KSamplerAdvanced().sample(model, noise, *how)
        return latent["samples"]


@pytest.mark.parametrize("windows", [CLOSED, EARLY, OPEN], ids=["closed", "early", "open"])
def test_windows_go_on_over_two_samplers(graph: Graph, windows: dict[str, float]) -> None:
    """With one model as both experts, two samplers are one."""
    flow = Stages(graph)
    edited = flow.edited(flow.prompts, **windows)
    assert close(flow.drawn([edited, edited], flow.positive), flow.drawn([edited], flow.positive))


def test_each_expert_is_edited_in_its_part_of_the_windows(graph: Graph) -> None:
    flow = Stages(graph)
    models = [flow.model, low_noise_expert()]

    def edited(*windows: dict[str, float]) -> Tensor:
        chain = zip(models, windows, strict=True)
        return flow.drawn([flow.edited(flow.prompts, model, **own) for model, own in chain], flow.positive)

    plain = [flow.drawn(models, flow.encoded(text), 2)[row] for row, text in enumerate(flow.prompts.texts)]
    closed, opened = edited(CLOSED, CLOSED), edited(OPEN, OPEN)
    assert torch.equal(closed[0], plain[0]) and torch.equal(closed[1], plain[1])
    assert torch.equal(opened[0], plain[0]) and differ(opened[1], plain[1])
    early = edited(EARLY, EARLY)  # within the first sampler, so the second's nodes change nothing
    assert torch.equal(early, edited(EARLY, CLOSED)) and differ(early[1], closed[1])
    assert differ(edited(CLOSED, OPEN)[1], closed[1])


# Flux


def with_redux(conditioning: Any, how: str) -> Any:
    """Apply Style Model, of four tokens."""
    tokens = torch.randn(1, 4, 16, generator=torch.Generator().manual_seed(8))
    style = SimpleNamespace(get_cond=lambda _: tokens)
    return nodes.StyleModelApply().apply_stylemodel(conditioning, style, None, 0.5, how)[0]


@pytest.mark.parametrize("how", ["multiply", "attn_bias"])
def test_redux_tokens_follow_the_text(graph: Graph, how: str) -> None:
    flow = Flow(graph, "Flux.1")
    prompts, _ = flow.pair(EDIT)
    styled = [with_redux(flow.encoded(text), how) for text in prompts.texts]
    (positive,) = flow.run(flow.node["P2PPairConditioning"], source=styled[0], edit=styled[1])
    closed = flow.sample(flow.edited(prompts, **CLOSED), positive)["samples"]
    for row, each in enumerate(styled):
        assert torch.equal(
            closed[row], flow.sample(flow.model, each, repeated(flow.latent, 2))["samples"][row]
        )
    opened = flow.sample(flow.edited(prompts, **OPEN), positive)["samples"]
    assert torch.equal(opened[0], closed[0]) and differ(opened[1], closed[1])


def _values(latent: Tensor) -> dict[str, dict[str, Any]]:
    drawn = torch.randn(latent.shape, generator=torch.Generator().manual_seed(8))
    height, width = latent.shape[-2] * 8, latent.shape[-1] * 8
    mask = (torch.arange(width) < width // 2).float().expand(1, 1, height, width)
    return {
        "Flux.1": {"reference_latents": [drawn]},
        "Qwen-Image": {"reference_latents": [drawn]},
        "Flux.2": {"reference_latents": [drawn]},
        "Flux.1 Fill": {"concat_latent_image": drawn, "concat_mask": mask},
    }


PICTURED = ("Flux.1", "Qwen-Image", "Flux.2", "Flux.1 Fill")


@pytest.mark.parametrize("name", [name for name in PICTURED if name in NAMES])
def test_a_picture_that_the_conditioning_carries(graph: Graph, name: str) -> None:
    flow = Flow(graph, name)
    values = _values(flow.latent["samples"])[name]
    prompts, positive = flow.pair(EDIT)

    def drawn(model: Any, conditioning: Any, rows: int = 1) -> Tensor:
        own = node_helpers.conditioning_set_values(conditioning, values)
        return flow.sample(model, own, repeated(flow.latent, rows))["samples"]

    closed = drawn(flow.edited(prompts, **CLOSED), positive)
    for row, text in enumerate(prompts.texts):
        assert torch.equal(closed[row], drawn(flow.model, flow.encoded(text), 2)[row])
    assert differ(closed[0], flow.plain(SOURCE)[0])
    opened = drawn(flow.edited(prompts, **OPEN), positive)
    assert torch.equal(opened[0], closed[0]) and differ(opened[1], closed[1])


# Videos


@pytest.mark.parametrize("name", [name for name in ("Wan 2.1", "LTXV", "HunyuanVideo") if name in NAMES])
def test_maps_and_masks_of_a_video_are_of_its_frames(graph: Graph, name: str) -> None:
    flow, frames = Flow(graph, name), 3
    own = CHECKPOINTS[name].latent
    height, width = own[-2:]
    flow.latent = {"samples": torch.zeros(1, own[0], frames, height, width)}
    prompts, positive = flow.pair(EDIT)
    words = {"source_words": "cat", "edit_words": "dog", "threshold": 0.97, "pooling": False}
    model, blend = graph.on("LocalBlend", prompts, flow.edited(prompts, **OPEN), **words)
    model, store = graph.on("AttentionStore", prompts, model, words="cat\ndog\ngrass")
    latent = flow.sample(model, positive)
    rows, mask = latent["samples"], blend.read(latent["samples"]).blend
    kept = (mask[0] == 0).unflatten(0, (frames, height))  # one frame below the other
    assert kept.any() and torch.equal(rows[1][:, kept], rows[0][:, kept])
    shown, *_ = flow.run(flow.node["P2PBlendMask"], store=blend, latent=latent)
    assert shown.shape[0] == frames
    _, _, masks = flow.run(flow.node["P2PAttentionMaps"], store=store, latent=latent)
    assert masks.shape[0] == 2 * frames and masks.shape[1] * width == masks.shape[2] * height
