"""Samplers that draw noise: the rows of a sample get equal noise, and the source gets that of a plain run."""

from __future__ import annotations

import importlib
import itertools
import logging
import os
import re
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from adapter import Host
from graphs import CLOSED, EDIT, OPEN, SOURCE, Graph, close, differ, drawn

pytestmark = [
    pytest.mark.host,
    pytest.mark.filterwarnings("ignore"),
]  # the samplers emit warnings of their own

BY_THE_BATCH = {"dpm_adaptive"}  # chooses its steps over all rows


def names() -> list[str]:
    if not os.environ.get("P2P_HOST"):
        from adapter_standin import StandIn

        return list(StandIn.samplers)
    from adapter_comfy import ComfyUI

    return list(ComfyUI.samplers)


@pytest.mark.parametrize("sampler", [name for name in names() if name not in BY_THE_BATCH])
def test_every_row_is_that_of_a_plain_run(
    graph: Graph, host: Host, sampler: str, caplog: pytest.LogCaptureFixture
):
    options = {"sampler": sampler, "steps": 3, "cfg": 1.0, "latent": host.empty_latent(64, 64, batch=2)}
    rows = graph.edited(edit=SOURCE, windows=CLOSED, **options)
    plain = graph.plain(SOURCE, rows=1, **options)
    assert torch.isfinite(rows).all()
    assert close(rows[::2], plain, 1e-4) and close(rows[1::2], plain, 1e-4)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("sampler", sorted({"euler_ancestral", "dpmpp_sde", "lcm", "er_sde"} & set(names())))
def test_the_edit_is_that_of_a_plain_run(graph: Graph, host: Host, sampler: str):
    options = {"sampler": sampler, "latent": host.empty_latent(64, 64, batch=2)}
    rows = graph.edited(windows=CLOSED, **options)
    assert close(rows[1::2], graph.plain(EDIT, rows=1, **options), 1e-4)


@pytest.mark.parametrize("sampler", sorted({"euler_ancestral", "dpmpp_sde", "dpmpp_2m_sde"} & set(names())))
def test_the_source_is_bit_for_bit_the_same_with_open_windows(graph: Graph, sampler: str):
    closed, opened = (graph.edited(windows=windows, sampler=sampler) for windows in (CLOSED, OPEN))
    assert torch.equal(closed[0], opened[0]) and differ(closed[1], opened[1])


@pytest.mark.real_host
def test_a_sampler_that_inpaints_on_noise_of_its_own(graph: Graph, host: Host):
    latent = drawn(host, batch=2)
    latent["noise_mask"] = torch.zeros(2, 1, 8, 8)
    latent["noise_mask"][..., :4] = 1.0
    rows = graph.edited(windows=CLOSED, latent=latent, sampler="ddim")
    assert close(rows[::2], graph.plain(SOURCE, rows=1, latent=latent, sampler="ddim"), 1e-4)
    assert close(rows[1::2], graph.plain(EDIT, rows=1, latent=latent, sampler="ddim"), 1e-4)


@pytest.mark.real_host
@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (64, 64)])
def test_a_noise_mask_in_any_shape_the_host_takes(graph: Graph, host: Host, shape: tuple[int, ...]):
    latent = drawn(host, batch=2)
    latent["noise_mask"] = torch.zeros(shape)
    latent["noise_mask"][..., : shape[-1] // 2] = 1.0
    rows = graph.edited(windows=CLOSED, latent=latent)
    assert close(rows[::2], graph.plain(SOURCE, rows=1, latent=latent), 1e-4)


def custom(
    graph: Graph, model: Any, positive: Any, sampler: Any, scheduler: str, latent: Any
) -> torch.Tensor:
    """Sampler Custom, with a SAMPLER from its own node."""
    import comfy.sample
    import comfy.samplers

    schedule = model.get_model_object("model_sampling")
    sigmas = comfy.samplers.calculate_sigmas(schedule, scheduler, 3)
    noise = comfy.sample.prepare_noise(latent["samples"], 5)
    args = (model, noise, 2.0, sampler, sigmas, positive, graph.host.encode(""), latent["samples"])
    with torch.inference_mode():
        return comfy.sample.sample_custom(*args, disable_pbar=True, seed=5)


SETTINGS = {
    "euler_ancestral": {"eta": 0.5, "s_noise": 1.1},
    "dpmpp_2m_sde": {"eta": 0.5, "solver_type": "heun"},
}


@pytest.mark.real_host
@pytest.mark.parametrize("name", SETTINGS)
def test_a_sampler_with_settings(graph: Graph, host: Host, caplog: pytest.LogCaptureFixture, name: str):
    import comfy.samplers

    latent, sampler = drawn(host, batch=2), comfy.samplers.ksampler(name, SETTINGS[name])
    prompts, positive = graph.pair()
    paired = custom(graph, graph.swapped(prompts, **OPEN), positive, sampler, "karras", latent)
    plain = custom(graph, host.model(), host.encode(SOURCE), sampler, "karras", latent)
    assert close(paired[::2], plain, 1e-4)
    assert not _told_of_noise(caplog)


@pytest.mark.real_host
def test_an_adaptive_sampler_with_noise(graph: Graph, host: Host):
    """Its steps depend on all rows, so no plain run matches; equal prompts stay equal."""
    import comfy.samplers

    sampler = comfy.samplers.ksampler("dpm_adaptive", {"eta": 1.0, "rtol": 1.0, "atol": 1.0})
    prompts, positive = graph.pair(SOURCE, SOURCE)
    rows = custom(graph, graph.swapped(prompts, **OPEN), positive, sampler, "karras", drawn(host))
    assert torch.isfinite(rows).all() and close(rows[1], rows[0], 1e-4)


@pytest.mark.real_host
def test_a_sampler_that_draws_noise_elsewhere_is_named(graph: Graph, host: Host, caplog: Any):
    import comfy.samplers

    sampler = comfy.samplers.ksampler("euler", {"s_churn": 5.0})
    prompts, positive = graph.pair()
    custom(graph, graph.swapped(prompts, **OPEN), positive, sampler, "normal", drawn(host))
    assert _told_of_noise(caplog) == ["sample_euler"]


@pytest.mark.real_host
def test_a_sampler_of_another_pack_that_takes_no_noise_is_named(graph: Graph, host: Host, caplog: Any):
    import comfy.samplers

    prompts, positive = graph.pair()
    sampler = comfy.samplers.KSAMPLER(sample_with_a_little_noise)
    custom(graph, graph.swapped(prompts, **OPEN), positive, sampler, "normal", drawn(host))
    assert _told_of_noise(caplog) == ["sample_with_a_little_noise"]


def sample_with_a_little_noise(
    model: Any, x: torch.Tensor, sigmas: torch.Tensor, extra_args: Any, callback: Any, disable: bool
) -> torch.Tensor:
    """Euler with a random draw between steps, from torch's global generator."""
    for sigma, following in itertools.pairwise(sigmas):
        denoised = model(x, sigma * x.new_ones([x.shape[0]]), **extra_args)
        x = denoised + following / sigma * (x - denoised) + 0.01 * torch.randn_like(x)
    return x


@pytest.mark.parametrize("kind", ["cuda", "mps", "xpu"])
def test_draws_on_any_device_are_seen(pack: ModuleType, monkeypatch: pytest.MonkeyPatch, kind: str):
    """On a machine without the device: a fake module provides the generator."""
    generator, device = torch.Generator().manual_seed(1), torch.device(kind, 0)

    def get_rng_state(*devices: torch.device) -> torch.Tensor:
        assert list(devices) == ([] if kind == "mps" else [device])
        return generator.get_state()

    monkeypatch.setattr(torch, kind, SimpleNamespace(get_rng_state=get_rng_state))
    draws = importlib.import_module(f"{pack.__name__}.nodes.comfyui.noise").OwnDraws()
    draws.sampler_runs(device)
    draws.around_model(lambda x: torch.randn(1, generator=generator), SimpleNamespace(device=device))
    draws.sampler_pauses(device)
    assert not draws.seen, "the model drew"
    torch.randn(1, generator=generator)
    draws.sampler_pauses(device)
    assert draws.seen


@pytest.mark.real_host
def test_what_draws_within_the_model_is_not_laid_to_the_sampler(graph: Graph, host: Host, caplog: Any):
    """HyperTile and ToMe draw random positions for their tiles and tokens."""
    model = host.model().clone()
    model.set_model_attn1_patch(lambda n, context, value, options: (torch.randn(1), n, context, value)[1:])
    graph.edited(model=model)
    assert not _told_of_noise(caplog)


def _told_of_noise(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The samplers that a warning names for drawing noise."""
    found = (re.search(r"the sampler (\S+) drew its own noise", record.message) for record in caplog.records)
    return [match[1] for match in found if match]
