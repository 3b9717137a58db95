"""A tiny model of every family, sampled through ComfyUI's own classes: source, edit and local blend."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from graphs import CLOSED, EDIT, OPEN, SOURCE, Graph, differ

pytestmark = [pytest.mark.host, pytest.mark.real_host]

try:
    from families import FAMILIES, TinyHost
    from precisions import PRECISIONS, rounding
except ModuleNotFoundError:  # missing on the stand-in, where these tests do not run
    FAMILIES = PRECISIONS = {}


def of(name: str, node: dict[str, Any], *dtypes: Any, **options: Any) -> Graph:
    return Graph(TinyHost(name, *dtypes, **options), node)


def sampling_node(name: str, **widgets: Any) -> Callable[[Any], Any]:
    """A MODEL after a stock node of `comfy_extras.nodes_model_advanced`."""
    kind = getattr(importlib.import_module("comfy_extras.nodes_model_advanced"), name)

    def change(model: Any) -> Any:
        result = (
            kind.execute(model, **widgets) if hasattr(kind, "execute") else kind().patch(model, **widgets)
        )
        return getattr(result, "args", result)[0]

    return change


def right_half(side: int = 8) -> torch.Tensor:
    mask = torch.zeros(1, side, side)
    mask[..., side // 2 :] = 1.0
    return mask


def require_an_edit(graph: Graph, **options: Any) -> None:
    """The source must equal a plain run bit for bit and the edit must differ; with a mask, only inside it."""
    plain = graph.plain(SOURCE, **options)
    closed, opened = graph.edited(windows=CLOSED, **options), graph.edited(windows=OPEN, **options)
    assert torch.isfinite(opened).all()
    assert torch.equal(closed[0], plain[0]) and torch.equal(opened[0], plain[0])
    assert torch.equal(closed[1], graph.plain(EDIT, **options)[1])
    assert differ(opened[1], closed[1]) and differ(opened[1], opened[0])
    prompts, positive = graph.pair()
    blended, _ = graph.on("LocalBlend", prompts, mask=right_half(opened.shape[-1]), start=0.0)
    source, edit = graph.sample(graph.swapped(prompts, blended), positive, **options)
    half = source.shape[-1] // 2
    assert torch.equal(source, plain[0])
    assert float((edit - source)[..., :half].abs().max()) == 0 and differ(edit, source)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_of_each_family(name: str, node: dict[str, Any]):
    require_an_edit(of(name, node))


@pytest.mark.parametrize("name", ["SD1.5", "SD2.x, v", "SDXL", "SDXL refiner"])
def test_local_blend_by_words(name: str, node: dict[str, Any]):
    graph = of(name, node)
    latent = graph.host.empty_latent(128, 128)
    prompts, positive = graph.pair()
    words = {"source_words": "circle", "edit_words": "house", "threshold": 0.7}
    model, store = graph.on("LocalBlend", prompts, **words)
    made = graph.host.sample(
        graph.swapped(prompts, model), positive, graph.host.encode(""), latent=latent, steps=3
    )
    (mask,) = graph.host.run(node["P2PBlendMask"], store=store, latent=made)
    outside = torch.nn.functional.interpolate(mask[:, None], made["samples"].shape[-2:])[0, 0] == 0
    source, edit = made["samples"]
    assert outside.any() and not outside.all()
    assert torch.equal(source[:, outside], edit[:, outside]) and differ(source, edit)


# Few steps without guidance


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("sampler", ["euler", "euler_ancestral", "lcm"])
def test_turbo_and_lightning(node: dict[str, Any], sampler: str, steps: int):
    """SDXL in one to four steps at CFG 1. The noise of ancestral steps: test_samplers.py."""
    graph = of("SDXL", node)
    options = {"cfg": 1.0, "steps": steps, "sampler": sampler, "scheduler": "sgm_uniform"}
    if steps == 1 or sampler == "euler":
        require_an_edit(graph, **options)
    else:
        source, edit = graph.edited(**options)
        assert differ(source, edit) and torch.equal(source, graph.edited(windows=CLOSED, **options)[0])


def test_lcm_sampling(node: dict[str, Any]):
    change = sampling_node("ModelSamplingDiscrete", sampling="lcm", zsnr=False)
    require_an_edit(of("SD1.5", node, change=change), cfg=1.0, steps=2)


# Prediction types set by stock nodes


@pytest.mark.parametrize("sampling", ["eps", "v_prediction", "x0"])
@pytest.mark.parametrize("zsnr", [False, True])
def test_model_sampling_discrete(node: dict[str, Any], sampling: str, zsnr: bool):
    change = sampling_node("ModelSamplingDiscrete", sampling=sampling, zsnr=zsnr)
    require_an_edit(of("SD1.5", node, change=change))


@pytest.mark.parametrize("sampling", ["eps", "v_prediction", "edm"])
def test_continuous_edm_and_rescaled_guidance(node: dict[str, Any], sampling: str):
    change = sampling_node("ModelSamplingContinuousEDM", sampling=sampling, sigma_max=80.0, sigma_min=0.002)
    rescale = sampling_node("RescaleCFG", multiplier=0.7)
    require_an_edit(of("SDXL", node, change=lambda model: rescale(change(model))))


def test_what_the_tiny_models_predict(node: dict[str, Any]):
    """As the host has detected from their weights."""
    kinds = {name: of(name, node).host.model().model.model_type.name for name in FAMILIES}
    assert kinds["SD2.x, v"] == kinds["SDXL, v with zero terminal SNR"] == "V_PREDICTION"
    assert kinds["SD2.x, noise"] == kinds["SDXL"] == "EPS"
    assert kinds["SDXL, EDM"] == "EDM"
    sigmas = of("SDXL, v with zero terminal SNR", node).host.model().get_model_object("model_sampling").sigmas
    assert float(sigmas[-1]) > 4000


# Weights of lower precision


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["SD1.5", "SDXL"])
def test_weights_of_lower_precision(node: dict[str, Any], name: str, precision: str):
    """The source equals a plain run with the same weights; rounding affects the edit no more than it."""
    source, edit = rounding(node, name, precision)
    limit = PRECISIONS[precision][-1]
    assert 0 < source < limit and edit < limit, (source, edit)
    assert edit < 1.5 * source
