"""The example of docs/core.md, on a tiny random U-Net of another shape than the demo model's, and on that."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor

import p2p_core
from demo.diffusers_host.pipeline import DemoPipeline, load, start_noise
from demo.model.shape import BETAS
from p2p_core import (
    Blend,
    EditPlan,
    MapStore,
    MaskRule,
    PromptSet,
    Record,
    Reweight,
    Step,
    TokenEdit,
    Window,
    heat_maps,
    parse_weights,
    word_channel,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "core.md"
TEXTS = "a red house and a blue star", "a red house and a big blue moon"
LATENT, WIDTH, STEPS, CFG = (20, 12), 24, 4, 4.0
SHUT = Window(0, 0)


@pytest.fixture(scope="module")
def example() -> Any:
    """The page's code, run."""
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL))
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102
    return SimpleNamespace(**names)


@pytest.fixture(scope="module")
def unet() -> Any:
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=32,
        block_out_channels=(8, 16, 16, 24),
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        transformer_layers_per_block=2,
        attention_head_dim=2,
        norm_num_groups=4,
        cross_attention_dim=WIDTH,
    ).eval()


@pytest.fixture(scope="module")
def pipe() -> DemoPipeline:
    return load()


@pytest.fixture(scope="module")
def prompts(example: Any, pipe: DemoPipeline) -> PromptSet:
    source, *edits = (example.prompt_of(pipe.tokenizer, text) for text in TEXTS)
    return PromptSet(source, tuple(edits))


def scheduler() -> Any:
    betas = {"beta_start": BETAS[0], "beta_end": BETAS[1], "beta_schedule": "scaled_linear"}
    return DDIMScheduler(**betas, timestep_spacing="trailing", clip_sample=False)


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


NOISE, ENCODED, EMPTY = drawn(2, 4, *LATENT), drawn(2, 77, WIDTH, seed=2), drawn(1, 77, WIDTH, seed=3)


def sampled(example: Any, unet: Any, prompts: PromptSet, *steps: Step) -> Tensor:
    """Two samples of the pair, [4, 4, h, w]."""
    plan = EditPlan(prompts)
    for step in steps:
        plan = plan.then(prompts, step)
    return example.sample(unet, scheduler(), plan, ENCODED, EMPTY, NOISE, STEPS, CFG)


@torch.no_grad()
def plain(unet: Any) -> Tensor:
    """By diffusers alone."""
    steps, x = scheduler(), NOISE.repeat_interleave(2, 0)
    steps.set_timesteps(STEPS)
    context = torch.cat([EMPTY.expand(4, -1, -1), ENCODED.repeat(2, 1, 1)])
    for t in steps.timesteps:
        without, with_text = unet(torch.cat([x, x]), t, context).sample.chunk(2)
        x = steps.step(without + CFG * (with_text - without), t, x).prev_sample
    return x


def test_without_a_step_it_is_diffusers_own_sampling(example: Any, unet: Any, prompts: PromptSet) -> None:
    before = unet.attn_processors
    found = sampled(example, unet, prompts)
    assert unet.attn_processors == before
    torch.testing.assert_close(found, plain(unet), atol=1e-4, rtol=1e-4)


def test_an_edit_changes_its_rows_alone(example: Any, unet: Any, prompts: PromptSet) -> None:
    alone = sampled(example, unet, prompts)
    assert torch.equal(sampled(example, unet, prompts, TokenEdit("edit", SHUT, SHUT)), alone)
    for steps in ([TokenEdit("edit")], [Reweight(parse_weights("moon: 3"))]):
        edited = sampled(example, unet, prompts, *steps)
        assert torch.equal(edited[::2], alone[::2])
        assert all(not torch.equal(a, b) for a, b in zip(edited[1::2], alone[1::2], strict=True))


def test_every_layer_has_maps_of_its_size(example: Any, unet: Any, prompts: PromptSet) -> None:
    """So its scale is right, and no two layers share a name."""
    store = MapStore()
    channels = tuple(word_channel(word, prompts) for word in prompts.names)
    latents = sampled(example, unet, prompts, TokenEdit("edit"), Record(channels, store))
    maps = store.read(latents).maps
    assert len(maps) == sum(".attn2." in name for name in unet.attn_processors)
    for layer, values in maps.items():
        height, width = (-(-side // layer.scale) for side in LATENT)
        assert values.shape == (1, 4, len(channels), height, width) and values.any()
    assert {layer.scale for layer in maps} == {1, 2, 4, 8}
    assert heat_maps(store.read(latents), ["house"]).shape == (4, 1, *LATENT)


def test_outside_a_mask_the_edit_is_the_source(example: Any, unet: Any, prompts: PromptSet) -> None:
    mask = torch.zeros(1, *LATENT)
    mask[:, 5:] = 1
    blend = Blend((), (), (), MapStore(), MaskRule(mask=mask), start=0.0)
    rows = sampled(example, unet, prompts, TokenEdit("edit"), blend)
    assert torch.equal(rows[1::2, :, :5], rows[::2, :, :5])
    assert not torch.equal(rows[1::2, :, 5:], rows[::2, :, 5:])


def test_on_the_demo_model_it_agrees_with_the_demo(example: Any, pipe: DemoPipeline) -> None:
    texts = "a red house at night", "a red star at night"
    source, edit = (example.prompt_of(pipe.tokenizer, text) for text in texts)
    prompts = PromptSet(source, (edit,))
    assert prompts == pipe.prompts(*texts)
    noise, blend = start_noise(1, 128, 128), Blend(("house",), ("star",), (), MapStore())
    plan = EditPlan(prompts).then(prompts, TokenEdit("edit")).then(prompts, blend)
    with torch.no_grad():
        encoded, empty = pipe.encode(texts), pipe.encode([""])
    found = example.sample(pipe.unet, scheduler(), plan, encoded, empty, noise, 10, 5.0)
    torch.testing.assert_close(found, pipe.sample(texts, noise, 10, 5.0, plan), atol=1e-3, rtol=0)


def test_the_page_is_short_and_names_what_there_is() -> None:
    page = PAGE.read_text("utf-8")
    assert len(page.splitlines()) <= 120
    named = {name.partition(".")[0] for name in re.findall(r"`([A-Z][A-Za-z.]+|[a-z]+_[a-z_]+)[`(]", page)}
    assert {"EditPlan", "Run", "TokenEdit", "build_prompt", "heat_maps"} <= named
    assert named <= {*p2p_core.__all__, "UNet2DConditionModel", "added_cond_kwargs", "p2p_core"}
