"""Other packs and patches on the same MODEL: each works or raises an error with advice."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
import torch
from adapter import Host
from graphs import CLOSED, EDIT, NEGATIVE, OPEN, SOURCE, Graph, close, differ, state
from like_plain import require_chain
from on_models import MODELS, graph_of
from torch import Tensor

pytestmark = [pytest.mark.host, pytest.mark.real_host, pytest.mark.filterwarnings("ignore")]


def neighbour(name: str, graph: Graph) -> Any:
    from neighbours import cached_calls, core, ip_adapter, normalized_attention, overriding

    known = {
        "IPAdapter": ip_adapter,
        "two IPAdapters": lambda model: ip_adapter(ip_adapter(model), seed=2),
        "IPAdapter and NAG": lambda model: negative(ip_adapter(model)),
        "SAG": core("nodes_sag", "SelfAttentionGuidance", scale=2.0, blur_sigma=2.0),
        "NAG of the host": core("nodes_nag", "NAGuidance", nag_scale=5.0, nag_alpha=0.5, nag_tau=1.5),
        "FreeU": core("nodes_freelunch", "FreeU_V2", b1=1.3, b2=1.4, s1=0.9, s2=0.2),
        "attention backend": overriding,
        "cached calls": cached_calls,
        "LoRA": lora,
    }
    negative = normalized_attention(graph.host.encode("a black box")[0][0])
    return known[name]


def lora(model: Any) -> Any:
    import comfy.sd

    return comfy.sd.load_lora_for_models(model, None, lora_weights(), 1.0, 0.0)[0]


def lora_weights(layer: str = "middle_block.1.transformer_blocks.0.attn2.to_out.0") -> dict[str, Tensor]:
    generator, width = torch.Generator().manual_seed(2), 192
    up, down = torch.randn(width, 4, generator=generator), torch.randn(4, width, generator=generator)
    name = f"diffusion_model.{layer}"
    return {f"{name}.lora_up.weight": 0.3 * up, f"{name}.lora_down.weight": 0.3 * down}


NAMES = [
    *("IPAdapter", "two IPAdapters", "IPAdapter and NAG", "SAG", "NAG of the host", "FreeU"),
    *("attention backend", "cached calls", "LoRA"),
]


@pytest.mark.parametrize("name", NAMES)
def test_before_and_after_word_swap_it_is_the_same(graph: Graph, host: Host, name: str):
    if name == "NAG of the host" and not importlib.util.find_spec("comfy_extras.nodes_nag"):
        pytest.skip("this ComfyUI has no such node")
    require_chain(graph, neighbour(name, graph), steps=4)


def test_adapters_do_not_pile_up_on_a_cached_model(graph: Graph, host: Host):
    """IPAdapter_plus adds to the existing object in place; that is never one of ours."""
    from neighbours import ip_adapter

    prompts, positive = graph.pair()
    swapped = graph.swapped(prompts, **OPEN)
    kept = state(swapped)
    first = graph.sample(ip_adapter(swapped), positive)
    assert torch.equal(graph.sample(ip_adapter(swapped), positive), first)
    assert state(swapped) == kept
    assert torch.equal(graph.sample(swapped, positive), graph.edited())


@pytest.mark.parametrize("name", ["EasyCache", "LazyCache"])
@pytest.mark.parametrize("model", MODELS)
def test_a_cache_that_judges_by_the_whole_batch(graph: Graph, model: str, name: str):
    """The source equals a plain run if all rows are equal; a mask still holds."""
    from neighbours import core

    graph = graph_of(model, graph)
    host = graph.host
    cache = {"reuse_threshold": 0.5, "start_percent": 0.1, "end_percent": 0.9, "verbose": False}
    apply = core("nodes_easycache", f"{name}Node", **cache)
    options = {"steps": 8, "sampler": "euler"}
    try:
        plain = graph.plain(SOURCE, model=apply(host.model()), **options)[0]
    except RuntimeError as trouble:
        pytest.skip(f"this ComfyUI's own node cannot do a batch: {trouble}")
    assert differ(plain, graph.plain(SOURCE, **options)[0]), "nothing was left out"
    for order in (apply, lambda model: model):
        patched = order(host.model())
        equal = graph.edited(edit=SOURCE, model=patched, **options) if order is apply else None
        assert equal is None or (torch.equal(equal[0], plain) and close(equal[1], plain))
        mask = torch.zeros(1, 8, 8)
        mask[..., 4:] = 1.0
        prompts, positive = graph.pair()
        blended, _ = graph.on("LocalBlend", prompts, graph.swapped(prompts, patched), mask=mask, start=0.0)
        source, edit = graph.sample(blended if order is apply else apply(blended), positive, **options)
        assert torch.equal(source[..., :4], edit[..., :4]) and differ(source, edit)


def test_lora_by_a_hook_on_the_conditioning(graph: Graph, host: Host):
    import comfy.hooks

    hooks = comfy.hooks.create_hook_lora(lora_weights(), 1.0, 0.0)
    prompts, positive = graph.pair()

    def hooked(conditioning: Any) -> Any:
        return comfy.hooks.set_hooks_for_conditioning(conditioning, hooks)

    plain = [
        host.sample(host.model(), hooked(host.encode(text)), host.encode(NEGATIVE), latent=two(host))[
            "samples"
        ][row]
        for row, text in enumerate((SOURCE, EDIT))
    ]
    rows = graph.sample(graph.swapped(prompts, **OPEN), hooked(positive))
    closed = graph.sample(graph.swapped(prompts, **CLOSED), hooked(positive))
    assert torch.equal(rows[0], plain[0]) and torch.equal(closed[1], plain[1])
    assert differ(rows[0], graph.edited()[0]) and differ(rows[1], closed[1])


def two(host: Host) -> dict[str, Any]:
    return {**host.empty_latent(64, 64, batch=2), "batch_index": [0, 0]}


# Rejected, with advice


def refused(graph: Graph, error: Any, apply: Any, words: str, windows: Any = OPEN, **options: Any) -> None:
    prompts, positive = graph.pair()
    for order in ("before", "after"):
        model = apply(graph.host.model()) if order == "before" else graph.host.model()
        swapped = graph.swapped(prompts, model, **windows)
        with pytest.raises(error, match=words):
            graph.sample(swapped if order == "before" else apply(swapped), positive, **options)


def test_hypertile_is_refused_in_the_self_attention_window_alone(graph: Graph, host: Host, error: Any):
    from neighbours import core

    apply = core("nodes_hypertile", "HyperTile", tile_size=128, swap_size=1, max_depth=2, scale_depth=False)
    options = {"latent": host.empty_latent(512, 512), "steps": 1}
    refused(graph, error, apply, r"2 × 1 × \d, got \d+ rows\..*HyperTile", **options)
    prompts, positive = graph.pair()
    cross = graph.swapped(prompts, apply(host.model()), **{**CLOSED, "cross_end": 1.0})
    source, edit = graph.sample(cross, positive, **options)
    assert torch.equal(source, graph.plain(SOURCE, model=apply(host.model()), **options)[0])
    assert differ(source, edit) and differ(source, graph.plain(SOURCE, **options)[0])


@pytest.mark.parametrize("apply", ["motion", "windows_of_frames"])
def test_frames_of_a_video_are_refused(graph: Graph, host: Host, error: Any, apply: str):
    import neighbours

    words = "frames of AnimateDiff" if apply == "motion" else "got 2 rows.*context windows"
    latent = host.empty_latent(64, 64, batch=2)
    refused(graph, error, getattr(neighbours, apply), words, windows=OPEN, latent=latent)


CONTEXT = {
    "context_overlap": 0, "context_schedule": "standard_static", "context_stride": 1, "closed_loop": False,
    "fuse_method": "flat", "freenoise": False, "cond_retain_index_list": "", "split_conds_to_windows": False,
}  # fmt: skip


@pytest.mark.parametrize("dim", [0, 3])
def test_context_windows_are_refused(graph: Graph, host: Host, error: Any, dim: int):
    """Over the batch they split pairs; over anything else the host's do not support batches."""
    from neighbours import core

    node = importlib.import_module("comfy_extras.nodes_context_windows").ContextWindowsManualNode
    known = {socket.id for socket in node.GET_SCHEMA().inputs}
    options = {key: value for key, value in CONTEXT.items() if key in known}
    apply = core("nodes_context_windows", node.__name__, context_length=2, dim=dim, **options)
    refused(
        graph,
        error,
        apply,
        "expected whole images, got context windows",
        latent=host.empty_latent(64, 64, 2),
    )


def test_tome_is_refused_in_the_self_attention_window_alone(graph: Graph, host: Host, error: Any):
    """It merges different tokens in each row, so no row can use another one's queries."""
    from neighbours import core, fine_unet

    apply = core("nodes_tomesd", "TomePatchModel", ratio=0.3)
    model = fine_unet(context=host.encode(SOURCE)[0][0].shape[-1])
    prompts, positive = graph.pair()
    with pytest.raises(error, match=r"expected 8 × 8 image tokens .*, got 45 tokens.*ToMe"):
        graph.sample(apply(graph.swapped(prompts, model, **OPEN)), positive)
    cross = {**CLOSED, "cross_end": 1.0}
    torch.manual_seed(0)
    source, edit = graph.sample(graph.swapped(prompts, apply(model), **cross), positive)
    torch.manual_seed(0)
    assert torch.equal(source, graph.plain(SOURCE, model=apply(model))[0]) and differ(source, edit)
