"""A real picture as the source: pinned rows and guidance."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from inverting import picture_alone, trajectory
from planned import plan_of
from prompts_of import prompt_of

from p2p_core.architecture.layers import Layer
from p2p_core.edits.steps import TokenEdit
from p2p_core.errors import P2PError
from p2p_core.maps.blending import Blend
from p2p_core.maps.masks import MaskRule
from p2p_core.maps.store import MapStore
from p2p_core.real.guidance import mixed_negative, proximal
from p2p_core.real.pinning import RealImage
from p2p_core.run import Run
from p2p_core.step import Scene, Step
from p2p_core.words.prompts import PromptSet

LAYERS = (Layer("middle", 0, 0, 1),)
PROGRESS = [0.0, 0.25, 0.5, 0.75]
ROWS = torch.randn(4, 3, 4, 5, generator=torch.Generator().manual_seed(8))


def prompts(source: str, edit: str) -> PromptSet:
    return PromptSet(prompt_of(source), (prompt_of(edit),))


def run_of(*steps: Step) -> Run:
    """A run of a cat that becomes a dog, of two pictures."""
    plan = plan_of(prompts("a cat", "a dog"), TokenEdit(), *steps)
    return Run(plan, Scene(plan.prompts, 2, (4, 5), LAYERS))


def test_source_rows_are_the_trajectorys_at_its_levels():
    t = trajectory()
    run, before = run_of(RealImage(t)), ROWS.clone()
    rows = run.before_model(ROWS, 7.5, 0.25)
    assert torch.equal(rows[::2], t.latents[1]) and torch.equal(rows[1::2], ROWS[1::2])
    assert run.before_model(ROWS, 6.0, 0.4) is ROWS  # between its levels the sampler's own
    assert torch.equal(ROWS, before)


def test_every_row_starts_from_the_noise_of_its_picture():
    t = trajectory()
    rows = run_of(RealImage(t)).start(t.sigmas[1:], PROGRESS[1:])
    assert rows is not None
    assert torch.equal(rows[::2], t.latents[1]) and torch.equal(rows[1::2], t.latents[1])
    rows.zero_()
    assert t.latents[1].any()  # a sampler does not write into the trajectory


def test_at_the_end_the_source_is_the_picture_as_it_was_given():
    t = trajectory()
    run = run_of(RealImage(t))
    run.start(t.sigmas, PROGRESS)
    rows = run.finish(ROWS)
    assert torch.equal(rows[::2], t.picture) and torch.equal(rows[1::2], ROWS[1::2])


def test_a_sampling_that_stops_on_the_way_keeps_its_rows():
    t = trajectory()
    run = run_of(RealImage(t))
    run.start(t.sigmas[:3], PROGRESS[:2])
    assert torch.equal(run.finish(ROWS), ROWS)


def test_without_pin_no_row_is_replaced():
    t = trajectory()
    run = run_of(RealImage(t, pin=False))
    run.start(t.sigmas, PROGRESS)
    assert run.before_model(ROWS, 7.5, 0.25) is ROWS and torch.equal(run.finish(ROWS), ROWS)


def test_sigmas_of_another_schedule_are_refused_at_the_start():
    with pytest.raises(P2PError, match="a sampler with the sigmas of the trajectory"):
        run_of(RealImage(trajectory())).start(torch.tensor([9.0, 5.0, 0.0]), PROGRESS[:2])


def test_a_run_from_noise_has_no_picture_in_it():
    run = run_of()
    assert run.start(torch.tensor([1.0, 0.0]), [0.0]) is None and run.before_model(ROWS, 7.5, 0.9) is ROWS
    assert run.guided(ROWS, [ROWS], 0.9) == (ROWS, [ROWS])


@pytest.mark.parametrize("first", ["blend", "picture"])
def test_rows_are_pinned_before_they_are_blended_wherever_the_nodes_stand(first: str):
    """Outside the mask, the edit then equals the picture and not the sampler's version of it."""
    t, mask = trajectory(), torch.zeros(1, 4, 5)
    mask[:, :2] = 1
    steps: list[Step] = [Blend((), (), (), MapStore(), MaskRule(mask=mask)), RealImage(t)]
    run = run_of(*(steps if first == "blend" else steps[::-1]))
    run.start(t.sigmas, PROGRESS)
    rows = run.before_model(ROWS, 7.5, 0.25)
    assert torch.equal(rows[1::2, :, 2:], t.latents[1][..., 2:, :])
    assert torch.equal(rows[1::2, :, :2], ROWS[1::2, :, :2])


# Without inversion


def test_without_inversion_the_source_is_predicted_to_be_the_picture():
    t = picture_alone()
    run = run_of(RealImage(t))
    assert run.start(torch.tensor([9.0, 3.0, 0.0]), PROGRESS[:2]) is None  # of any schedule, from its noise
    assert run.before_model(ROWS, 3.0, 0.25) is ROWS
    clean = run.after_model(ROWS, 0.25)
    assert torch.equal(clean[::2], t.latents[-1]) and torch.equal(clean[1::2], ROWS[1::2])
    rows = run.finish(ROWS)
    assert torch.equal(rows[::2], t.picture) and torch.equal(rows[1::2], ROWS[1::2])


def test_without_inversion_the_source_has_to_be_pinned():
    with pytest.raises(P2PError, match=r"a pinned source for an image without inversion.*Turn pin on"):
        RealImage(picture_alone(), pin=False)


def test_without_inversion_no_prompt_is_a_wrong_one():
    RealImage(picture_alone()).require_encoded(torch.zeros(3, 4))
    with pytest.raises(P2PError, match="the source prompt that the image was inverted with"):
        RealImage(trajectory()).require_encoded(torch.zeros(3, 4))


# The controller


@pytest.mark.parametrize("t", [trajectory(), picture_alone()], ids=["inverted", "alone"])
def test_until_its_end_the_controller_mixes_the_picture_into_predictions(t: Any):
    run = run_of(RealImage(t, control=0.75, control_end=0.5))
    run.start(t.sigmas if t.inverted else torch.tensor([1.0, 0.0]), PROGRESS)
    early, late = run.after_model(ROWS, 0.49), run.after_model(ROWS, 0.5)
    assert torch.allclose(early[1::2], 0.25 * ROWS[1::2] + 0.75 * t.latents[-1])
    assert torch.equal(late[1::2], ROWS[1::2])


# Guidance


def test_proximal_guidance_leaves_out_what_is_small():
    without = torch.zeros(2, 1, 2, 2)
    text = (
        torch.tensor([[0.1, -0.2], [1.0, -2.0]]).expand(2, 1, 2, 2)
        * torch.tensor([1.0, 10.0])[:, None, None, None]
    )
    guided, kept = proximal(text, without, 0.5)
    assert kept[0, 0].tolist() == [[False, False], [True, True]]
    assert torch.allclose(guided[0, 0], torch.tensor([[0.0, 0.0], [0.4, -1.4]]))
    assert torch.allclose(guided[1], 10 * guided[0])  # each row has its own threshold


def test_a_quantile_of_0_leaves_guidance_as_it_is():
    guided, kept = proximal(ROWS, torch.zeros_like(ROWS), 0.0)
    smallest = ROWS.abs().flatten(1).min(1).values
    assert (
        float((guided - ROWS).abs().max()) == pytest.approx(float(smallest.max()))
        and kept.float().mean() > 0.9
    )


def one_cell() -> torch.Tensor:
    """Guidance in one corner only."""
    text = torch.zeros(4, 3, 4, 5)
    text[..., 0, 0] = 5.0
    return text


def combined(run: Run, text: torch.Tensor, progress: float, scale: float = 7.5) -> torch.Tensor:
    """The host's combination for guidance away from 0."""
    guided, (free,) = run.guided(text, [torch.zeros_like(text)], progress)
    return free + scale * (guided - free)


def test_the_picture_comes_back_where_no_guidance_is_left():
    t = trajectory()
    run = run_of(RealImage(t, quantile=0.75))
    late, early = combined(run, one_cell(), 0.9), combined(run, one_cell(), 0.5)
    picture = t.latents[-1].repeat_interleave(2, 0)
    assert torch.equal(late[..., 2:, 2:], picture[..., 2:, 2:])
    assert torch.equal(late[..., :2, :2], early[..., :2, :2])  # and one cell around what is guided
    assert late[..., 0, 0].any() and not early[..., 2:, 2:].any()  # early the edit is free


@pytest.mark.parametrize(("progress", "restored"), [(0.59, False), (0.6, True), (1.0, True)])
def test_the_picture_comes_back_in_the_last_four_tenths(progress: float, restored: bool):
    """The published code's steps below 400 of 1000."""
    found = combined(run_of(RealImage(trajectory(), quantile=0.75)), one_cell(), progress)
    assert bool(found[..., 3, 4].any()) == restored


def test_no_picture_comes_back_unless_asked():
    run = run_of(RealImage(trajectory(), quantile=0.75, restore=False))
    assert not combined(run, one_cell(), 0.9)[..., 2:, 2:].any()


def test_without_proximal_guidance_all_is_guided():
    text, free = one_cell(), [torch.ones(4, 3, 4, 5)]
    guided, others = run_of(RealImage(trajectory())).guided(text, free, 0.9)
    assert guided is text and others == free


def test_the_source_prompt_as_negative():
    prompt, negative = torch.ones(1, 4, 3), torch.zeros(1, 2, 3)
    assert mixed_negative(prompt, negative, 1.0) is prompt
    assert torch.equal(mixed_negative(prompt, negative, 0.25), torch.full((1, 4, 3), 0.25))


def test_a_shorter_negative_is_repeated_as_a_host_repeats_it():
    prompt, negative = torch.zeros(1, 6, 1), torch.arange(4.0).view(1, 4, 1)
    assert mixed_negative(prompt, negative, 0.5).flatten().tolist() == [n % 4 / 2 for n in range(12)]


def test_noise_of_a_step_is_the_same_for_all_rows_of_a_picture():
    noise = torch.arange(4.0)[:, None, None, None, None].expand(4, 2, 3, 4, 5)
    real = RealImage(trajectory(noise=noise.contiguous()))
    assert real.noise(5.0, 2).shape == (4, 3, 4, 5) and bool((real.noise(5.0, 2) == 2).all())


# Bad input


def test_another_source_prompt_is_refused():
    pair = prompts("a dog", "a cat")
    with pytest.raises(P2PError, match=r"inverted with, 'a cat', got 'a dog'"):
        plan_of(pair, RealImage(trajectory()))


def test_a_second_picture_is_refused():
    pair, real = prompts("a cat", "a dog"), RealImage(trajectory())
    with pytest.raises(P2PError, match="one real image as the source"):
        plan_of(pair, real, real)


@pytest.mark.parametrize("options", [{"share": 1.5}, {"quantile": -0.1}, {"negative": "null text"}])
def test_settings_that_cannot_be_are_refused(options: dict[str, Any]):
    with pytest.raises(P2PError):
        RealImage(trajectory(), **options)


@pytest.mark.parametrize(("samples", "shape"), [(1, (3, 4, 5)), (2, (3, 4, 6)), (2, (4, 4, 5))])
def test_another_size_is_refused(samples: int, shape: tuple[int, ...]):
    with pytest.raises(P2PError, match=r"size, 2 × 3 channels, 5 × 4, got"):
        RealImage(trajectory()).require_size(samples, shape)


def test_another_encoding_is_refused_and_repeated_columns_are_not():
    real = RealImage(trajectory(prompt=torch.ones(7, 6)))
    real.require_encoded(torch.ones(14, 6))
    for other in (torch.zeros(7, 6), torch.ones(7, 8)):
        with pytest.raises(P2PError, match="inverted with"):
            real.require_encoded(other)
