"""Null-text inversion: encodings with which a guided sampling stays on the trajectory."""

from __future__ import annotations

import pytest
import torch
from inverting import VE, euler_down, falling, latents_of, picture, waving
from torch import Tensor

from p2p_core.errors import P2PError
from p2p_core.real.null_text import Course, NullText, optimise

TOKENS, WIDTH = 4, 6
MIX = torch.randn(WIDTH, 3, generator=torch.Generator().manual_seed(3))


def meaning(encoded: Tensor) -> Tensor:
    """The effect of an encoding [..., T, W] on each channel, [..., 3, 1, 1]."""
    return (encoded.mean(-2) @ MIX)[..., None, None]


PROMPT = torch.ones(TOKENS, WIDTH)


def with_prompt(x: Tensor, sigma: float) -> Tensor:
    return waving(x, sigma) + meaning(PROMPT)


def with_null(x: Tensor, sigma: float, null: Tensor) -> Tensor:
    return waving(x, sigma) + meaning(null)


def followed(cfg: float, nulls: Tensor, latents: Tensor, sigmas: Tensor) -> Tensor:
    """The end of guided Euler steps with one encoding per step."""
    x = latents[0]
    for i in range(len(sigmas) - 1):
        free = with_null(x, float(sigmas[i]), nulls[i])
        clean = free + cfg * (with_prompt(x, float(sigmas[i])) - free)
        x = x + (sigmas[i + 1] - sigmas[i]) * (x - clean) / sigmas[i]
    return x


def searched(chosen: NullText, steps: int = 10, samples: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    sigmas = falling(steps)
    latents = latents_of(with_prompt, picture(samples), sigmas, "fixed point", VE, 20)
    return (
        optimise(with_prompt, with_null, torch.zeros(TOKENS, WIDTH), Course(latents, sigmas, VE), chosen),
        latents,
        sigmas,
    )


def test_a_guided_sampling_comes_back_to_the_picture():
    chosen = NullText(cfg=4.0, iterations=100)
    nulls, latents, sigmas = searched(chosen)
    assert nulls.shape == (10, 2, TOKENS, WIDTH)
    with_them = (followed(4.0, nulls, latents, sigmas) - latents[-1]).abs().mean()
    without = (followed(4.0, torch.zeros_like(nulls), latents, sigmas) - latents[-1]).abs().mean()
    assert with_them < 0.1 * without


def test_it_stops_where_the_loss_is_small_enough():
    """At guidance scale 1 the unconditional prediction has no effect, so there is nothing to optimise."""
    calls: list[float] = []

    def counting(x: Tensor, sigma: float, null: Tensor) -> Tensor:
        calls.append(sigma)
        return with_null(x, sigma, null)

    sigmas = falling(5)
    latents = [10 * picture()]
    for i in range(5):
        latents.append(euler_down(with_prompt, latents[-1], sigmas[i : i + 2]))
    course = Course(torch.stack(latents), sigmas, VE)
    found = optimise(with_prompt, counting, torch.zeros(TOKENS, WIDTH), course, NullText(1.0))
    assert len(calls) == 2 * 5 and not found.any()


def test_rates_and_limits_are_the_published_ones():
    chosen = NullText()
    assert (chosen.cfg, chosen.iterations) == (7.5, 10)
    assert [chosen.rate(i, 50) for i in (0, 49)] == pytest.approx([1e-2, 0.51e-2])
    assert [chosen.enough(i) for i in (0, 49)] == pytest.approx([1e-5, 99e-5])


@pytest.mark.parametrize("steps", [100, 200, 1000])
def test_beyond_50_steps_the_rates_of_50_are_spread_over_all(steps: int):
    chosen = NullText()
    rates = [chosen.rate(i * steps // 50, steps) for i in range(50)]
    assert rates == pytest.approx([chosen.rate(i, 50) for i in range(50)])
    assert [chosen.rate(i, 20) for i in range(20)] == pytest.approx([chosen.rate(i, 50) for i in range(20)])


def test_no_iteration_is_refused():
    with pytest.raises(P2PError, match="at least 1 iteration"):
        NullText(iterations=0)
