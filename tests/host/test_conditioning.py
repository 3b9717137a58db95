"""Conditionings from the host's other nodes: areas, masks, timestep ranges, several entries."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from adapter import Host
from graphs import CLOSED, EDIT, NEGATIVE, OPEN, SOURCE, Graph, Seen, close, comparing, differ, with_patch

pytestmark = [pytest.mark.host, pytest.mark.real_host]


def sampled(graph: Graph, change: Any, windows: dict, **options: Any) -> torch.Tensor:
    """A paired sampling with `change` applied to its positive CONDITIONING."""
    prompts, positive = graph.pair()
    return graph.sample(graph.swapped(prompts, **windows), change(positive), **options)


def plain(graph: Graph, text: str, change: Any, **options: Any) -> torch.Tensor:
    host = graph.host
    latent = {**host.empty_latent(64, 64, batch=2), "batch_index": [0, 0]}
    return host.sample(
        host.model(), change(host.encode(text)), host.encode(NEGATIVE), latent=latent, **options
    )["samples"]


def stock(name: str, *args: Any) -> Any:
    """The result of a stock node for a CONDITIONING."""

    def change(conditioning: Any) -> Any:
        import nodes  # ComfyUI's; on the stand-in, only the pack's own module has this name

        node = getattr(nodes, name)()
        return getattr(node, node.FUNCTION)(conditioning, *args)[0]

    return change


HALF = torch.cat([torch.ones(1, 8, 4), torch.zeros(1, 8, 4)], dim=2)
CHANGES = {
    "area": stock("ConditioningSetArea", 32, 64, 0, 0, 1.0),
    "mask": stock("ConditioningSetMask", HALF, "default", 1.0),
    "range of time": stock("ConditioningSetTimestepRange", 0.0, 0.5),
    "entries combined": lambda c: stock("ConditioningCombine", c)(
        stock("ConditioningSetArea", 64, 32, 0, 0, 1.0)(c)
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_conditioning_is_sampled_like_a_plain_one(graph: Graph, name: str):
    change = CHANGES[name]
    closed = sampled(graph, change, CLOSED)
    assert torch.equal(closed[0], plain(graph, SOURCE, change)[0])
    assert torch.equal(closed[1], plain(graph, EDIT, change)[1])
    opened = sampled(graph, change, OPEN)
    assert torch.equal(opened[0], closed[0]) and differ(opened[1], closed[1])


def test_the_negative_side_of_an_area_is_not_edited(graph: Graph, host: Host):
    """The host copies the area to the negative prompt, with the id of the paired entry."""
    seen: Seen = {}
    prompts, positive = graph.pair()
    model = with_patch(host.model(), comparing(seen), "middle", 0)
    model = graph.swapped(prompts, model, **{**CLOSED, "cross_end": 1.0})
    graph.sample(model, CHANGES["area"](positive), steps=3)
    assert len(seen) == 3, "the area on both sides, the whole on the negative one"
    for (side, _), same in seen.items():
        assert all(same) if side == 0 else not any(same[1:])


@pytest.mark.parametrize("name", ["AttentionStore", "LocalBlend"])
def test_maps_of_an_area_are_refused(graph: Graph, error: type[Exception], name: str):
    """They would be mistaken for maps of the whole image."""
    prompts, positive = graph.pair()
    words = {"source_words": "circle"} if name == "LocalBlend" else {}
    model, _ = graph.on(name, prompts, **words)
    with pytest.raises(error, match=r"over the whole image, 4 × 4 in .*, got 2 × 4\. Remove .*areas"):
        graph.sample(model, CHANGES["area"](positive))


def test_an_area_is_blended_by_a_mask(graph: Graph):
    prompts, positive = graph.pair()
    left = torch.zeros(1, 8, 8)
    left[..., :4] = 1.0
    model, _ = graph.on("LocalBlend", prompts, mask=left)
    source, edit = graph.sample(model, CHANGES["area"](positive))
    assert torch.equal(source[..., 4:], edit[..., 4:]) and differ(source, edit)


def test_a_mask_for_each_sample(graph: Graph, host: Host):
    masks = torch.cat([HALF, 1 - HALF])
    change = stock("ConditioningSetMask", masks, "default", 1.0)
    latent = host.empty_latent(64, 64, batch=2)
    rows = sampled(graph, change, CLOSED, latent=latent)
    negative = host.encode(NEGATIVE)
    for row, text in enumerate((SOURCE, EDIT)):
        alone = host.sample(host.model(), change(host.encode(text)), negative, latent=latent)["samples"]
        assert close(rows[row::2], alone, 1e-4), text


def test_two_guidances_at_once(graph: Graph, host: Host):
    """The stock guider with three sides: the paired ones are edited, the negative is not."""
    import comfy.sample
    import comfy.samplers

    prompts, positive = graph.pair()
    negative = host.encode(NEGATIVE)
    sigmas = comfy.samplers.calculate_sigmas(host.model().get_model_object("model_sampling"), "normal", 2)

    def run(model: Any, first: Any, second: Any, rows: int) -> torch.Tensor:
        from comfy_extras.nodes_custom_sampler import Guider_DualCFG

        guider = Guider_DualCFG(model)
        guider.set_conds(first, second, negative)
        guider.set_cfg(3.0, 2.0)
        latent = comfy.sample.fix_empty_latent_channels(
            model, host.empty_latent(64, 64, batch=rows)["samples"]
        )
        noise = comfy.sample.prepare_noise(latent, 5, [0] * rows)
        with torch.inference_mode():
            return guider.sample(
                noise, latent, comfy.samplers.sampler_object("euler"), sigmas, disable_pbar=True, seed=5
            )

    swapped = graph.swapped(prompts, **CLOSED)
    both, second_plain = run(swapped, positive, positive, 1), run(swapped, positive, negative, 1)
    for row, text in enumerate((SOURCE, EDIT)):
        one = host.encode(text)
        assert torch.equal(both[row], run(host.model(), one, one, 2)[row])
        assert torch.equal(second_plain[row], run(host.model(), one, negative, 2)[row])
    edited = run(graph.swapped(prompts, **OPEN), positive, positive, 1)
    assert torch.equal(edited[0], both[0]) and differ(edited[1], both[1])


@pytest.mark.parametrize("cfg", [1.0, 4.0])
def test_one_prompt_alone_serves_a_plain_model_too(graph: Graph, host: Host, cfg: float):
    """As if Reweight or Attention Store were bypassed."""
    _, positive = graph.pair(SOURCE, "")
    assert torch.equal(graph.sample(host.model(), positive, cfg=cfg), graph.plain(SOURCE, rows=1, cfg=cfg))
