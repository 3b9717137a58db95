"""Real images with other kinds of MODEL and sampling."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from adapter import Host
from graphs import NEGATIVE, OPEN, Graph, close, differ
from pictures import STEPS, Gallery, finite
from test_samplers import names

pytestmark = [pytest.mark.host, pytest.mark.filterwarnings("ignore")]

DRIFTING = ["euler", "euler at target level", "fixed point", "midpoint"]
NOISE = "edit-friendly noise"
SAMPLERS = [s for s in ("euler", "ddim", "heun", "dpmpp_2m", "dpmpp_2s_ancestral", "lcm") if s in names()]


# Other kinds of MODEL and of sampling


def other_sampling(model: Any, name: str, *args: Any) -> Any:
    """The MODEL after a stock node that changes the meaning of its noise levels."""
    from comfy_extras import nodes_model_advanced

    node = getattr(nodes_model_advanced, name)()
    return getattr(node, node.FUNCTION)(model, *args)[0]


MODELS = {
    "velocity": ("ModelSamplingDiscrete", "v_prediction", False),
    "velocity, zero terminal SNR": ("ModelSamplingDiscrete", "v_prediction", True),
    "flow": ("ModelSamplingSD3", 3.0),
}


@pytest.mark.real_host
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("method", ["fixed point", NOISE])
def test_models_of_every_kind(gallery: Gallery, host: Host, kind: str, method: str):
    """The demo model predicts noise, so it draws nothing meaningful here; up and down match anyway."""
    model = other_sampling(host.model(), *MODELS[kind])
    sampler = "euler_ancestral" if method == NOISE else "euler"
    trajectory = gallery.inverted(gallery.picture(), model=model, method=method, denoise=0.8)
    options = {"model": model, "sampler": sampler, "denoise": 0.8}
    rows = gallery.edited(trajectory, **options)
    assert torch.equal(rows[:1], gallery.picture()) and finite(rows)
    x = trajectory.latents[1]
    assert finite(x) and differ(x, trajectory.latents[2])


@pytest.mark.real_host
def test_two_samplers_that_share_the_steps(gallery: Gallery, graph: Graph, host: Host):
    trajectory = gallery.inverted()
    prompts, positive = graph.pair()
    model, latent = graph.on("RealImage", prompts, trajectory=trajectory)
    model = graph.swapped(prompts, model, **OPEN)
    advanced = importlib.import_module("nodes").KSamplerAdvanced().sample  # ComfyUI's
    with torch.inference_mode():
        rest = (positive, host.encode(NEGATIVE))
        settings = (STEPS, 4.0, "euler", "normal", *rest)
        first = advanced(model, "enable", 7, *settings, latent, 0, 2, "enable")[0]
        second = advanced(model, "disable", 7, *settings, first, 2, 1000, "disable")[0]["samples"]
    assert close(second, gallery.sampled(model, positive, latent), 1e-4)
    assert torch.equal(second[:1], gallery.picture())


@pytest.mark.real_host
def test_sigmas_of_a_custom_sampler(gallery: Gallery, graph: Graph, host: Host):
    import comfy.sample
    import comfy.samplers

    schedule = host.model().get_model_object("model_sampling")
    sigmas = comfy.samplers.calculate_sigmas(schedule, "karras", 5)
    trajectory = gallery.inverted(sigmas=sigmas)
    prompts, positive = graph.pair()
    model, latent = graph.on("RealImage", prompts, trajectory=trajectory)
    sampler, picture = comfy.samplers.ksampler("euler"), latent["samples"]
    args = (model, torch.zeros_like(picture), 4.0, sampler, sigmas, positive, host.encode(""), picture)
    with torch.inference_mode():
        rows = comfy.sample.sample_custom(*args, disable_pbar=True, seed=5)
    assert torch.equal(rows[:1], gallery.picture())
