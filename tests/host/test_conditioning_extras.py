"""What else a CONDITIONING carries: ControlNets, GLIGEN boxes, unCLIP, hooks."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch
from graphs import CLOSED, EDIT, NEGATIVE, OPEN, SOURCE, differ, repeated
from like_plain import (
    Change,
    Sides,
    of,
    require_like_plain,
    stock,
)
from torch import Tensor, nn

pytestmark = [pytest.mark.host, pytest.mark.real_host]

with contextlib.suppress(ModuleNotFoundError):  # missing on the stand-in, where these tests do not run
    from families import FAMILIES, TINY, randomise, tiny_clip


# ControlNet


def control_net(name: str = "SD1.5") -> Any:
    """A ControlNet for a tiny model, from the host's classes, with random weights."""
    import comfy.cldm.cldm
    import comfy.controlnet
    import comfy.ops

    unet = {key: value for key, value in FAMILIES[name].unet(TINY).items() if key != "out_channels"}
    unet["in_channels"] = 4
    heads = {"num_heads": 8} if name == "SD1.5" else {"num_head_channels": 64}
    layers = comfy.ops.disable_weight_init
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = comfy.cldm.cldm.ControlNet(**unet, **heads, hint_channels=3, operations=layers)
        randomise(model)
    return comfy.controlnet.ControlNet(model, load_device=torch.device("cpu"))


def pictures(count: int) -> Tensor:
    return torch.rand(count, 64, 64, 3, generator=torch.Generator().manual_seed(4))


def controlled(
    net: Any, images: Tensor, strength: float = 1.0, start: float = 0.0, end: float = 1.0
) -> Change:
    """Apply ControlNet (Advanced); in a plain run of repeated samples each has its own picture."""

    def change(positive: Any, negative: Any, rows: int) -> Sides:
        own = images.repeat_interleave(rows, dim=0) if len(images) > 1 else images
        return stock("ControlNetApplyAdvanced", positive, negative, net, own, strength, start, end)

    return change


@pytest.mark.parametrize("name", ["SD1.5", "SDXL"])
def test_a_control_net(node: dict[str, Any], name: str):
    require_like_plain(of(name, node), controlled(control_net(name), pictures(1)))


def test_a_control_net_for_a_part_of_the_way(node: dict[str, Any]):
    require_like_plain(of("SD1.5", node), controlled(control_net(), pictures(1), 0.8, 0.0, 0.4), steps=3)


@pytest.mark.parametrize("count", [2, 3])
def test_a_control_picture_for_each_sample(node: dict[str, Any], count: int):
    """One per sample, or more."""
    change = controlled(control_net(), pictures(count))
    require_like_plain(of("SD1.5", node), change, batch=2)


def test_two_control_nets_one_of_them_with_a_picture_for_each_sample(node: dict[str, Any]):
    first, second = controlled(control_net(), pictures(2)), controlled(control_net(), pictures(1), 0.5)
    require_like_plain(of("SD1.5", node), lambda p, n, rows: second(*first(p, n, rows), rows), batch=2)
    require_like_plain(of("SD1.5", node), lambda p, n, rows: first(*second(p, n, rows), rows), batch=2)


def test_the_control_net_of_the_conditioning_is_as_it_was(node: dict[str, Any]):
    graph = of("SD1.5", node)
    prompts, positive = graph.pair()
    positive, negative = controlled(control_net(), pictures(2))(positive, graph.host.encode(NEGATIVE), 1)
    control = positive[0][1]["control"]
    latent = graph.host.empty_latent(64, 64, 2)
    graph.sample(graph.swapped(prompts), positive, negative=negative, latent=latent)
    assert positive[0][1]["control"] is negative[0][1]["control"] is control
    assert control.cond_hint_original.shape[0] == 2 and control.cond_hint is None


def test_a_control_net_on_one_side(node: dict[str, Any]):
    """Apply ControlNet: the host applies it to the negative side as well."""
    net = control_net()
    require_like_plain(
        of("SD1.5", node), lambda p, n, _: (stock("ControlNetApply", p, net, pictures(1), 1.0)[0], n)
    )


def test_an_adapter_with_a_picture_for_each_sample(node: dict[str, Any]):
    import comfy.controlnet
    from comfy.t2i_adapter.adapter import Adapter_light

    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = Adapter_light(channels=[32, 64, 128, 128], nums_rb=1, cin=64 * 3)
        randomise(model)
    adapter = comfy.controlnet.T2IAdapter(model, 3, 8, "nearest-exact", device=torch.device("cpu"))
    require_like_plain(of("SD1.5", node), controlled(adapter, pictures(2)), batch=2)


def test_one_control_net_over_both_prompts_is_paired(node: dict[str, Any]):
    graph, net = of("SD1.5", node), control_net()
    sides = controlled(net, pictures(1))(graph.host.encode(SOURCE), graph.host.encode(EDIT), 1)
    (paired,) = graph.host.run(node["P2PPairConditioning"], source=sides[0], edit=sides[1])
    prompts, positive = graph.pair()
    after, _ = controlled(net, pictures(1))(positive, graph.host.encode(NEGATIVE), 1)
    model, options = graph.swapped(prompts), {"negative": graph.host.encode(NEGATIVE)}
    assert torch.equal(graph.sample(model, paired, **options), graph.sample(model, after, **options))


def test_two_control_nets_side_by_side_are_not_paired(node: dict[str, Any], error: type[Exception]):
    graph, net = of("SD1.5", node), control_net()
    sides = [stock("ControlNetApply", graph.host.encode(t), net, pictures(1), 1.0)[0] for t in (SOURCE, EDIT)]
    with pytest.raises(error, match=r"the same 'control' .*\(a ControlNet, an area\) after the pairing"):
        graph.host.run(node["P2PPairConditioning"], source=sides[0], edit=sides[1])


# GLIGEN and unCLIP


def test_gligen_boxes(node: dict[str, Any]):
    from comfy.gligen import GatedSelfAttentionDense, Gligen, PositionNet
    from comfy.model_patcher import ModelPatcher

    graph, clip = of("SD1.5", node), tiny_clip("SD15")
    blocks = [m for m in graph.host.model().model.diffusion_model.modules() if hasattr(m, "attn2")]
    widths = [block.attn2.to_q.weight.shape[0] for block in blocks]
    with torch.random.fork_rng():
        torch.manual_seed(6)
        fusers = [GatedSelfAttentionDense(width, TINY["clip_l"], 8, width // 8) for width in widths]
        gligen = Gligen(fusers, PositionNet(TINY["clip_l"], TINY["clip_l"]), TINY["clip_l"])
        randomise(gligen)
        for fuser in fusers:
            nn.init.ones_(fuser.alpha_attn)
    cpu = torch.device("cpu")
    model = ModelPatcher(gligen, load_device=cpu, offload_device=cpu)

    def change(positive: Any, negative: Any, _: int) -> Sides:
        return stock("GLIGENTextBoxApply", positive, clip, model, "a star", 32, 32, 16, 16)[0], negative

    require_like_plain(graph, change)


def test_unclip_pictures(node: dict[str, Any]):
    import comfy.clip_vision

    seen = comfy.clip_vision.Output()
    seen.image_embeds = torch.randn(1, 1024, generator=torch.Generator().manual_seed(7))
    require_like_plain(
        of("SD2.1 unCLIP", node), lambda p, n, _: (stock("unCLIPConditioning", p, seen, 1.0, 0.1)[0], n)
    )


# Hooks


def lora_hooks(model: Any, strength: float = 1.0) -> Any:
    """A hook with a LoRA for one layer of a tiny model."""
    import comfy.hooks
    import comfy.lora

    keys = comfy.lora.model_lora_keys_unet(model.model, {})
    name = next(key for key, value in keys.items() if "middle_block_1" in key and "attn2_to_v" in key)
    rows, columns = model.model.state_dict()[keys[name]].shape
    generator = torch.Generator().manual_seed(8)
    lora = {
        f"{name}.lora_up.weight": torch.randn(rows, 4, generator=generator),
        f"{name}.lora_down.weight": torch.randn(4, columns, generator=generator),
    }
    return comfy.hooks.create_hook_lora(lora=lora, strength_model=strength, strength_clip=0.0)


def hooked(conditioning: Any, hooks: Any) -> Any:
    return stock("SetModelHooksOnCond", conditioning, hooks, module="comfy_extras.nodes_hooks")[0]


def test_a_lora_hook(node: dict[str, Any]):
    graph = of("SD1.5", node)
    hooks = lora_hooks(graph.host.model())
    require_like_plain(graph, lambda p, n, _: (hooked(p, hooks), hooked(n, hooks)))
    require_like_plain(graph, lambda p, n, _: (hooked(p, hooks), n))


def fading(hooks: Any) -> Any:
    """The hooks, with less strength after 40 % of the sampling."""
    import comfy.hooks

    frames = comfy.hooks.HookKeyframeGroup()
    frames.add(comfy.hooks.HookKeyframe(strength=1.0, start_percent=0.0))
    frames.add(comfy.hooks.HookKeyframe(strength=0.2, start_percent=0.4))
    hooks.set_keyframes_on_hooks(frames)
    return hooks


def test_a_lora_hook_with_keyframes(node: dict[str, Any]):
    graph = of("SD1.5", node)
    hooks = fading(lora_hooks(graph.host.model()))
    require_like_plain(graph, lambda p, n, _: (hooked(p, hooks), hooked(n, hooks)), steps=3)


def test_prompts_encoded_by_a_schedule_of_hooks(node: dict[str, Any]):
    """Several consecutive entries, each of them paired."""
    graph = of("SD1.5", node)
    hooks = fading(lora_hooks(graph.host.model()))
    module = "comfy_extras.nodes_hooks"
    (clip,) = stock("SetClipHooks", graph.host.clip(), True, True, hooks, module=module)
    prompts, positive = graph.host.run(node["P2PPromptPair"], clip=clip, source=SOURCE, edit=EDIT)
    negative = clip.encode_from_tokens_scheduled(clip.tokenize(NEGATIVE))
    closed, opened = (
        graph.sample(graph.swapped(prompts, **way), positive, negative=negative, steps=3)
        for way in (CLOSED, OPEN)
    )
    assert torch.equal(opened[0], closed[0]) and differ(opened[1], closed[1])
    latent = repeated(graph.host.empty_latent(64, 64), 2)
    for row, text in enumerate((SOURCE, EDIT)):
        own = clip.encode_from_tokens_scheduled(clip.tokenize(text))
        plain = graph.sample(graph.host.model(), own, negative=negative, latent=latent, steps=3)
        assert torch.equal(closed[row], plain[row])
