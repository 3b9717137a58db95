"""MODELs that cannot be edited are named with the reason; those that need patches of attention get them."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

pytestmark = [pytest.mark.host, pytest.mark.real_host]

try:
    import comfy.supported_models as supported
    from tiny_pairs import Pack, Pair
    from transformer_table import FAMILIES
    from transformers_tiny import built, here
except ModuleNotFoundError:  # on the stand-in, where these tests do not run
    supported = SimpleNamespace()
    here = bool

UNSUPPORTED = {
    "Stable_Cascade_C": "StableCascade_C, whose attention mixes each word with an image and the pooled text",
    "Stable_Cascade_B": "StableCascade_B, which gets the pooled text but no words",
    "HiDreamO1": "HiDreamO1, whose text and image attend to each other in calls of different kinds",
    "MiniMaxH3": "MiniMaxH3, which takes one sample per model call, and a pair is two",
}


@pytest.fixture(scope="module")
def p2p(pack: ModuleType) -> Pack:
    return Pack(pack)


@pytest.mark.parametrize("kind", [kind for kind in UNSUPPORTED if hasattr(supported, kind)])
def test_models_of_the_host_that_cannot_be_edited(p2p: Pack, kind: str, error: type[Exception]) -> None:
    described = getattr(supported, kind)
    model = described(dict(described.unet_config)).get_model({}, "", device="meta")  # of its full size
    with pytest.raises(error, match=f"supported transformers .*, got {UNSUPPORTED[kind]}"):
        p2p.families.layers_of(SimpleNamespace(model=model))


def test_a_class_that_is_not_known(p2p: Pack, error: type[Exception]) -> None:
    class Tomorrow(nn.Module):
        diffusion_model = nn.Identity()

    with pytest.raises(error, match="got Tomorrow, a class of model whose text columns are not known"):
        p2p.families.layers_of(SimpleNamespace(model=Tomorrow()))


def test_a_loader_that_replaces_the_blocks(p2p: Pack, error: type[Exception]) -> None:
    class Quantised(nn.Module):
        pass

    model = built(FAMILIES["Flux.1"])
    model.model.diffusion_model = Quantised()
    expected = r"Flux with ComfyUI's blocks \(double_blocks .*got Quantised, which has blocks of its own"
    with pytest.raises(error, match=expected):
        p2p.families.layers_of(model)


def without_attention(args: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    return {"img": args["img"], "txt": args.get("txt")}


class Twice(nn.Module):
    """A block that runs twice."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        self.block(*args, **kwargs)
        return self.block(*args, **kwargs)


class Own(nn.Module):
    """Attention that does not go through the host's."""

    def forward(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        return torch.zeros_like(x)


def replace_block(model: Any) -> None:
    model.set_model_patch_replace(without_attention, "dit", "double_block", 1)


def repeat_block(model: Any) -> None:
    block = model.get_model_object("diffusion_model.single_blocks.0")
    model.add_object_patch("diffusion_model.single_blocks.0", Twice(block))


def replace_attention(model: Any) -> None:
    model.add_object_patch("diffusion_model.blocks.0.cross_attn", Own())


WRAPPED: dict[str, tuple[str, Callable[[Any], None], str]] = {
    "a block without attention": ("Flux.1", replace_block, "4 joint-attention calls .* of Flux.*, got 3"),
    "a block that runs twice": ("Flux.1", repeat_block, "4 joint-attention calls .*of Flux.*, got (5|more)"),
    "attention of its own": ("Wan 2.1", replace_attention, "2 cross-attention calls .* of Wan.*, got 1"),
}


@pytest.mark.parametrize("how", WRAPPED)
def test_blocks_that_attend_in_another_way(p2p: Pack, how: str, error: type[Exception]) -> None:
    """Noticed in the first model call. The MODEL itself stays usable."""
    name, wrap, message = WRAPPED[how]
    pair = Pair(p2p, name)
    model = pair.model.clone()
    wrap(model)
    plain = pair.sample(model, pair.conditionings[0])
    with pytest.raises(error, match=f"Prompt-to-Prompt: expected {message}"):
        pair.sample(pair.edited(pair.step("swap", 0, 0), model), pair.paired)
    assert torch.equal(pair.sample(model, pair.conditionings[0]), plain)


REACHED = [name for name in ("ERNIE-Image", "PixArt", "HunyuanDiT") if here(name)]


@pytest.mark.parametrize("name", REACHED)
def test_patches_of_attention_end_with_the_edited_model(p2p: Pack, name: str) -> None:
    """What a family needs to be edited changes nothing in a plain run, before and after an edited one."""
    pair = Pair(p2p, name)
    plain = pair.sample(pair.model, pair.conditionings[0])
    pair.sample(pair.edited(pair.step("swap", 1, 1)), pair.paired)
    assert torch.equal(pair.sample(pair.model, pair.conditionings[0]), plain)
    assert not pair.model.object_patches
    model = pair.model.model.diffusion_model
    forwards = [module.__dict__["forward"] for module in model.modules() if "forward" in module.__dict__]
    assert all(forward.__func__ is type(forward.__self__).forward for forward in forwards)
