"""ControlNets, style models and reference pictures of transformers, on paired conditionings."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from graphs import CLOSED, EDIT, NEGATIVE, OPEN, SOURCE, Graph, close, repeated
from like_plain import require_chain, require_like_plain
from refusals import pairing

pytestmark = [pytest.mark.host, pytest.mark.real_host, pytest.mark.filterwarnings("ignore")]

try:
    from test_end_to_end import NAMES
    from tiny_controls import NETS, controlled, style_model
    from transformer_host import TransformerHost
except ModuleNotFoundError:  # on the stand-in, where these tests do not run
    NAMES, NETS = [], {}

LONGER = " next to the old sea"
NEWER = "Z-Image" in NAMES  # of the two ComfyUI versions
CONTROLS = [net for net, (name, _) in NETS.items() if name in NAMES and (NEWER or "Fun" not in net)]


def of(name: str, node: dict[str, Any]) -> Graph:
    import comfy.model_management

    comfy.model_management.unload_all_models()  # the host loads others again after a VAE, also deleted ones
    return Graph(TransformerHost(name), node)


@pytest.mark.parametrize("net", CONTROLS)
def test_control_nets(node: dict[str, Any], net: str) -> None:
    graph = of(NETS[net][0], node)
    require_like_plain(graph, controlled(net))
    require_like_plain(graph, controlled(net, count=2), batch=2)


@pytest.mark.parametrize("longer", ["source", "edit"])
@pytest.mark.parametrize("net", [net for net in CONTROLS if "Qwen" in net])
def test_control_nets_do_not_see_the_padding_of_shorter_prompts(
    node: dict[str, Any], net: str, longer: str
) -> None:
    graph, change = of(NETS[net][0], node), controlled(net, count=2)
    texts = (SOURCE + LONGER, EDIT) if longer == "source" else (SOURCE, EDIT + LONGER)
    prompts, positive = graph.pair(*texts)
    host, latent = graph.host, graph.host.empty_latent(64, 64, batch=2)

    def run(model: Any, text: Any, latent: Any, rows: int) -> Any:
        return host.sample(model, *change(text, host.encode(NEGATIVE), rows), latent=latent)["samples"]

    closed, opened = (run(graph.swapped(prompts, **way), positive, latent, 1) for way in (CLOSED, OPEN))
    for row, text in enumerate(texts):
        plain = run(host.model(), host.encode(text), repeated(latent, 2), 2)
        assert close(closed[row::2], plain[row::2])
    assert torch.equal(opened[::2], closed[::2]) and not close(opened[1::2], closed[1::2])


@pytest.mark.skipif(not NEWER, reason="this ComfyUI patches models for it in another way, or not at all")
@pytest.mark.parametrize(("name", "patch"), [("Qwen-Image", "diffsynth"), ("Z-Image", "z_image_fun")])
def test_control_patches_of_the_model(node: dict[str, Any], name: str, patch: str) -> None:
    import tiny_controls

    require_chain(of(name, node), getattr(tiny_controls, patch))


@pytest.mark.parametrize("kind", ["multiply", "attn_bias"])
def test_a_style_model_before_pair_conditioning(node: dict[str, Any], kind: str) -> None:
    """Redux puts tokens of a picture after the text."""
    graph = of("Flux.1", node)
    model, vision = style_model()
    apply = importlib.import_module("nodes").StyleModelApply().apply_stylemodel

    def styled(text: str) -> Any:
        with torch.inference_mode():
            return apply(graph.host.encode(text), model, vision, 0.5, kind)[0]

    prompts, _ = graph.pair()
    positive = pairing(graph, styled(SOURCE), styled(EDIT))
    closed, opened = (graph.sample(graph.swapped(prompts, **way), positive) for way in (CLOSED, OPEN))
    twice = repeated(graph.host.empty_latent(64, 64), 2)
    for row, text in enumerate((SOURCE, EDIT)):
        plain = graph.sample(graph.host.model(), styled(text), latent=twice)
        assert torch.equal(closed[row], plain[row]) and not close(plain[row], graph.plain(text)[row])
    assert torch.equal(opened[0], closed[0]) and not close(opened[1], closed[1])


def test_guidance_of_flux(node: dict[str, Any]) -> None:
    def change(positive: Any, negative: Any, rows: int) -> Any:
        flux = importlib.import_module("comfy_extras.nodes_flux").FluxGuidance
        return tuple(flux.execute(side, 1.5).args[0] for side in (positive, negative))

    require_like_plain(of("Flux.1", node), change)


@pytest.mark.parametrize("name", [name for name in ("Flux.1", "Qwen-Image", "Wan 2.1") if name in NAMES])
def test_lora_by_a_hook_on_the_conditioning(node: dict[str, Any], name: str) -> None:
    import comfy.hooks
    from transformer_neighbours import lora_weights

    graph = of(name, node)
    hooks = comfy.hooks.create_hook_lora(lora_weights(graph.host.model()), 1.0, 0.0)

    def change(positive: Any, negative: Any, rows: int) -> Any:
        return comfy.hooks.set_hooks_for_conditioning(positive, hooks), negative

    require_like_plain(graph, change)
