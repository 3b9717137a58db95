"""Inversion of pictures: up the noise levels and down again."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from inverting import (
    FLOW,
    VE,
    ancestral_down,
    counted,
    euler_down,
    exact,
    falling,
    gaussian,
    latents_of,
    picture,
    waving,
)
from torch import Tensor

from p2p_core.errors import P2PError
from p2p_core.real.edit_friendly import edit_friendly, noisy
from p2p_core.real.inversion import INVERSION_METHODS, Inversion, InversionMethod, invert
from p2p_core.real.levels import Levels

LEVELS = {"noise or velocity": (VE, 10.0), "flow": (FLOW, 1.0)}


def missed(method: InversionMethod, steps: int, levels: Levels, top: float) -> float:
    """The distance of an inversion's end from the exact path of a linear denoiser."""
    found = latents_of(gaussian(levels), picture(), falling(steps, top), method, levels)
    return float((found[0] - exact(picture(), top, levels)).abs().max())


@pytest.mark.parametrize("kind", LEVELS)
@pytest.mark.parametrize("method", ["euler", "euler at target level", "fixed point", "midpoint"])
def test_with_many_steps_the_end_is_where_the_way_leads(kind: str, method: InversionMethod):
    levels, top = LEVELS[kind]
    assert missed(method, 4000, levels, top) < 0.03 * top


@pytest.mark.parametrize(("method", "gain"), [("euler", 2), ("midpoint", 4)])
def test_half_the_step_is_better_by_the_methods_order(method: InversionMethod, gain: int):
    levels, exactly = Levels(floor=1e-7), picture().double()

    def denoise(x: Tensor, sigma: float) -> Tensor:
        """A denoiser with a smooth slope at 0."""
        return x - sigma * torch.sin(x + sigma)

    def end(steps: int, method: InversionMethod = method) -> Tensor:
        sigmas = torch.linspace(2, 0, steps + 1, dtype=torch.float64)
        return latents_of(denoise, exactly, sigmas, method, levels)[0]

    coarse, fine = ((end(steps) - end(2000, "midpoint")).abs().max() for steps in (100, 200))
    assert float(coarse / fine) == pytest.approx(gain, rel=0.1)


@pytest.mark.parametrize("kind", LEVELS)
def test_a_fixed_point_leads_a_sampler_back_to_the_picture(kind: str):
    levels, top = LEVELS[kind]
    sigmas = falling(12, top * 0.9)

    def back(method: InversionMethod, iterations: int) -> float:
        found = latents_of(waving, picture(), sigmas, method, levels, iterations)
        return float((euler_down(waving, found[0], sigmas) - picture()).abs().max())

    assert back("fixed point", 60) < 1e-4 < 0.1 < back("euler at target level", 0)


def test_without_iterations_a_fixed_point_is_the_target_level():
    found = [
        latents_of(waving, picture(), falling(5), m, VE, 0) for m in ("fixed point", "euler at target level")
    ]
    assert torch.equal(*found)


def test_the_target_level_is_ddim_inversion_in_its_own_variables():
    """The published code's next_step, in latents of variance 1: noise predicted for the level above."""
    sigmas = falling(6)
    found = latents_of(waving, picture(), sigmas, "euler at target level", VE)
    z = picture()
    for low, high in zip(sigmas.flip(0)[:-1].tolist(), sigmas.flip(0)[1:].tolist(), strict=True):
        kept, after = 1 / (1 + low**2), 1 / (1 + high**2)  # the schedule's products of alphas
        x = z * (1 + high**2) ** 0.5
        noise = (x - waving(x, high)) / high
        clean = (z - (1 - kept) ** 0.5 * noise) / kept**0.5
        z = after**0.5 * clean + (1 - after) ** 0.5 * noise
    assert torch.allclose(found[0], z * (1 + float(sigmas[0]) ** 2) ** 0.5, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", INVERSION_METHODS[:4])
def test_latents_are_in_the_order_of_the_sampler_and_end_with_the_picture(method: InversionMethod):
    found = latents_of(waving, picture(), falling(5), method, VE)
    assert found.shape == (6, *picture().shape) and torch.equal(found[-1], picture())
    assert found[0].std() > found[-1].std()


@pytest.mark.parametrize(
    ("method", "calls"),
    [("euler", 6), ("euler at target level", 6), ("fixed point", 18), ("midpoint", 12)],
)
def test_no_method_asks_for_a_level_below_the_models_lowest(method: InversionMethod, calls: int):
    asked: list[float] = []
    levels = Levels(floor=0.03)
    latents_of(counted(waving, asked), picture(), falling(6), method, levels, iterations=2)
    assert len(asked) == calls and min(asked) >= 0.03


def test_every_step_is_told():
    told: list[int] = []
    latents_of(waving, picture(), falling(3), "euler", VE, on_step=told.append)
    edit_friendly(waving, picture(), falling(2), VE, torch.Generator(), told.append)
    assert told == [1, 2, 3, 1, 2]


# Edit-friendly noise


@pytest.mark.parametrize("kind", LEVELS)
def test_an_ancestral_sampler_with_the_noise_goes_the_same_way(kind: str):
    levels, top = LEVELS[kind]
    sigmas = falling(8, top)
    latents, noise = edit_friendly(waving, picture(), sigmas, levels, torch.Generator().manual_seed(4))
    seen: list[Tensor] = []

    def looking(x: Tensor, sigma: float) -> Tensor:
        seen.append(x)
        return waving(x, sigma)

    end = ancestral_down(looking, latents[0], sigmas, levels, lambda i: noise[i])
    for x, latent in zip(seen, latents, strict=False):
        assert torch.allclose(x, latent, rtol=1e-3, atol=1e-3)
    assert torch.allclose(end, waving(latents[-2], float(sigmas[-2])), rtol=1e-3, atol=1e-3)
    assert not noise[-1].any()


def test_each_level_has_noise_of_its_own():
    big = torch.zeros(1, 3, 64, 64)
    latents = noisy(big, falling(3), VE, torch.Generator().manual_seed(5))
    unit = [latents[i] / falling(3)[i] for i in range(3)]
    assert all(abs(float(u.std()) - 1) < 0.02 for u in unit)
    assert abs(float((unit[0] * unit[1]).mean())) < 0.02


def test_a_flow_model_mixes_noise_in():
    levels, sigmas = FLOW, falling(4, 1.0)
    latents = noisy(picture(), sigmas, levels, torch.Generator().manual_seed(6))
    drawn = torch.randn(picture().shape, generator=torch.Generator().manual_seed(6))
    assert torch.allclose(latents[0], drawn)  # pure noise at the top
    assert torch.equal(latents[-1], picture())


# RF-Inversion


def test_rf_inversion_is_the_published_controller():
    """The end of the way, N = x + (1 − σ)·v, is moved half way to the noise; v = (N − x)/(1 − σ)."""
    sigmas, chosen = falling(5, 1.0), Inversion("rf inversion", seed=3)
    found = invert(waving, picture(), sigmas, chosen, FLOW).latents
    noise, x = torch.randn(picture().shape, generator=torch.Generator().manual_seed(3)), picture()
    for low, high in pairwise(sigmas.flip(0).tolist()):
        at = max(low, FLOW.floor)
        target = 0.5 * (x + (1 - low) * (x - waving(x, at)) / at) + 0.5 * noise
        x = x + (high - low) * (target - x) / (1 - low)
    assert torch.allclose(found[0], x, rtol=1e-4, atol=1e-4) and torch.equal(found[-1], picture())
    other = invert(waving, picture(), sigmas, Inversion("rf inversion", seed=4), FLOW).latents
    assert not torch.allclose(found[0], other[0], atol=0.1)


def test_rf_inversion_of_another_schedule_is_refused():
    with pytest.raises(P2PError, match=r"a flow model for rf inversion.*fixed point"):
        latents_of(waving, picture(), falling(5), "rf inversion", VE)


# Bad input


@pytest.mark.parametrize("method", INVERSION_METHODS[:4])
def test_a_step_that_is_not_finite_is_refused_with_its_level(method: InversionMethod):
    with pytest.raises(P2PError, match=r"NaN or infinity at sigma 2\.5"):
        latents_of(lambda x, sigma: x * float("nan"), picture(), falling(4), method, VE)


@pytest.mark.parametrize("sigmas", [torch.zeros(1), torch.tensor([]), torch.tensor(3.0)])
def test_no_step_is_refused(sigmas: Tensor):
    with pytest.raises(P2PError, match="at least one step"):
        latents_of(waving, picture(), sigmas, "euler", VE)


@pytest.mark.parametrize(
    "sigmas", [[0.0, 1.0], [2.0, 1.0], [2.0, 2.0, 0.0], [float("nan"), 0.0], [float("inf"), 0.0]]
)
def test_sigmas_that_do_not_fall_to_zero_are_refused(sigmas: list[float]):
    with pytest.raises(P2PError, match="sigmas that descend to 0"):
        latents_of(waving, picture(), torch.tensor(sigmas), "euler", VE)
