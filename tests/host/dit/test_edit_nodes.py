"""Edit models through the host's own edit nodes, with small text encoders of its classes."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from graphs import CLOSED, OPEN, Graph, close, differ
from torch import Tensor
from torch.nn import functional as F

pytestmark = [pytest.mark.host, pytest.mark.real_host]

try:
    from test_end_to_end import CHECKPOINTS, tiny_model
    from text_encoders import tiny_clip
    from transformers_tiny import here
except ModuleNotFoundError:  # on the stand-in, where these tests do not run
    CHECKPOINTS = {}

SOURCE, EDIT = "a red cat on grass", "turn the red cat on grass into a dog"
QWEN = {"TextEncodeQwenImageEdit": "image", "TextEncodeQwenImageEditPlus": "image1"}
CELL = 64  # pixels of a latent cell


class TinyVAE:
    """Encodes an image [B, H, W, 3] by averaging."""

    def __init__(self, latent: tuple[int, ...]) -> None:
        self.latent = latent

    def encode(self, image: Tensor) -> Tensor:
        small = F.avg_pool2d(image.movedim(-1, 1), CELL) - 0.5
        channels, *frames = self.latent[:-2]
        wide = small.repeat(1, -(-channels // 3), 1, 1)[:, :channels]
        return wide[:, :, None] if frames else wide


class Studio:
    """An edit model, an image and the host's nodes."""

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph, self.run, self.model = graph, graph.host.run, tiny_model(name)
        self.clip = tiny_clip(CHECKPOINTS[name].encoder, attends=True, sees=name == "Qwen-Image")
        self.vae = TinyVAE(CHECKPOINTS[name].latent)
        self.image = torch.rand(1, 512, 768, 3, generator=torch.Generator().manual_seed(1))

    def host_node(self, module: str, name: str, **inputs: Any) -> Any:
        node = getattr(importlib.import_module(f"comfy_extras.{module}"), name)
        with torch.inference_mode():
            return node.execute(**inputs).result[0]

    def instructed(self, kind: str, text: str, clip: Any = None) -> Any:
        """A conditioning of one of Qwen's edit nodes."""
        clip, images = clip or self.clip, {QWEN[kind]: self.image}
        return self.host_node("nodes_qwen", kind, clip=clip, prompt=text, vae=self.vae, **images)

    def prompts(self, source: str = SOURCE, edit: str = EDIT) -> tuple[Any, Any]:
        return self.run(self.graph.node["P2PPromptPair"], clip=self.clip, source=source, edit=edit)

    def with_reference(self, positive: Any, method: str = "index") -> Any:
        reference = {"samples": self.vae.encode(self.image)}
        positive = self.host_node(
            "nodes_edit_model", "ReferenceLatent", conditioning=positive, latent=reference
        )
        methods = {"conditioning": positive, "reference_latents_method": method}
        return self.host_node("nodes_flux", "FluxKontextMultiReferenceLatentMethod", **methods)

    def real(self, prompts: Any, positive: Any) -> tuple[Any, Any]:
        """Real Image without inversion: a MODEL and the latent."""
        latent = {"samples": self.vae.encode(self.image)}
        inputs = {"model": self.model, "source": positive, "latent": latent, "method": "no inversion"}
        (trajectory,) = self.run(self.graph.node["P2PInvert"], **inputs)
        return self.graph.on("RealImage", prompts, self.model, trajectory=trajectory)

    def edited(self, prompts: Any, positive: Any, windows: dict[str, float] = OPEN, **blend: Any) -> Any:
        """The rows of an edit, and the store of its Local Blend."""
        model, latent = self.real(prompts, positive)
        model, store = self.graph.swapped(prompts, model, **windows), None
        if blend:
            model, store = self.graph.on("LocalBlend", prompts, model, start=0.0, **blend)
        rows = self.sample(model, positive, latent)
        assert torch.equal(rows[:1], latent["samples"])
        return rows, store

    def sample(self, model: Any, positive: Any, latent: Any) -> Tensor:
        return self.graph.host.sample(model, positive, positive, latent=latent, cfg=1.0, steps=3)["samples"]


@pytest.mark.parametrize("kind", QWEN)
@pytest.mark.parametrize("text", [SOURCE, 'make it snow, "at" night\n(really)', "把猫变成狗 🐶"])
def test_words_are_where_qwens_edit_nodes_put_them(graph: Graph, kind: str, text: str) -> None:
    """After the tokens of the picture: where tokens do not attend to each other, they have equal vectors."""
    clip = tiny_clip("qwen image", sees=True)
    studio = Studio(graph, "Qwen-Image")
    prompts, plain = graph.host.run(graph.node["P2PPromptPair"], clip=clip, source=text, edit="")
    with_image, alone = studio.instructed(kind, text, clip)[0][0][0], plain[0][0][0]
    own = prompts.source.columns
    assert alone.shape[0] == own < with_image.shape[0]
    assert close(with_image[-own:], alone)


@pytest.mark.parametrize("kind", QWEN)
def test_qwens_edit_nodes_with_a_real_image(graph: Graph, kind: str) -> None:
    studio, pair = Studio(graph, "Qwen-Image"), graph.node["P2PPairConditioning"]
    prompts, _ = studio.prompts()
    sides = {side: studio.instructed(kind, text) for side, text in (("source", SOURCE), ("edit", EDIT))}
    (positive,) = studio.run(pair, **sides)
    free, _ = studio.edited(prompts, positive, CLOSED)
    model, latent = (
        studio.model,
        {"samples": free[:1].repeat(2, *[1] * (free.ndim - 1)), "batch_index": [0, 0]},
    )
    assert close(free[1], studio.sample(model, sides["edit"], latent)[1])
    held, _ = studio.edited(prompts, positive)
    assert differ(held[1], free[1])
    words = {"source_words": "cat", "edit_words": "cat, dog", "threshold": 0.9, "pooling": False}
    rows, store = studio.edited(prompts, positive, **words)
    outside = store.read().blend[0] == 0
    assert 0 < outside.float().mean() < 1
    assert torch.equal(rows[1][..., outside], rows[0][..., outside]) and differ(rows[1], rows[0])


FLUX = [("Flux.1", "offset"), ("Flux.1", "uxo/uno"), ("Flux.2", "index"), ("Flux.2 Klein", "index")]


@pytest.mark.parametrize(("name", "method"), FLUX)
def test_flux_with_reference_latents_and_a_real_image(graph: Graph, name: str, method: str) -> None:
    if not here(CHECKPOINTS[name].family or name):
        pytest.skip("the host lacks it")
    studio = Studio(graph, name)
    prompts, positive = studio.prompts(edit=f"{EDIT}\n---\nturn the red cat on grass blue")
    positive = studio.with_reference(positive, method)
    mask = torch.zeros(1, 8, 12)
    mask[..., :5] = 1
    rows, _ = studio.edited(prompts, positive, mask=mask, mask_mode="replace")
    for edit in rows[1:]:
        assert torch.equal(edit[..., 5:], rows[0][..., 5:]) and differ(edit[..., :5], rows[0][..., :5])
    words = {"source_words": "cat", "edit_words": "cat", "threshold": 0.9, "pooling": False}
    rows, store = studio.edited(prompts, positive, **words)
    for edit, outside in zip(rows[1:], store.read().blend == 0, strict=True):
        assert bool(outside.any()) and torch.equal(edit[..., outside], rows[0][..., outside])


def test_a_second_sampler_continues_the_pair(graph: Graph) -> None:
    """There the rows differ in their latents too."""
    studio = Studio(graph, "Qwen-Image")
    prompts, positive = studio.prompts()
    model, latent = studio.real(prompts, positive)
    model = graph.swapped(prompts, model, **OPEN)
    advanced = importlib.import_module("nodes").KSamplerAdvanced().sample
    settings = (4, 1.0, "euler", "simple", positive, positive)
    with torch.inference_mode():
        whole = advanced(model, "enable", 7, *settings, latent, 0, 1000, "disable")[0]["samples"]
        first = advanced(model, "enable", 7, *settings, latent, 0, 2, "enable")[0]
        second = advanced(model, "disable", 7, *settings, first, 2, 1000, "disable")[0]["samples"]
    assert close(second, whole, 1e-4) and torch.equal(second[:1], latent["samples"])
