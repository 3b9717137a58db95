"""Presets, windows of few steps, and how many model calls a window held."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from prompts_of import tries
from running import FAR, NEAR, run_of

from p2p_core.architecture.names import Architecture
from p2p_core.edits.presets import FEW, PRESETS, TABLE, Preset, ends_of
from p2p_core.edits.steps import Reweight, TokenEdit
from p2p_core.run import Run
from p2p_core.step import Step
from p2p_core.words.weights import parse_weights
from p2p_core.words.windows import Schedule, Window, Windows, WordWindow

FLUX2 = (0.0, 0.2, 0.43, 0.7)  # its own scheduler's 4 steps at 1024 × 1024
LARGE = (0.0, 0.09, 0.23, 0.47)  # and at 2048 × 2048


def even(steps: int) -> tuple[float, ...]:
    return tuple(i / steps for i in range(steps))


def counts(windows: Windows, schedule: Schedule) -> tuple[int, int]:
    cross, own = windows.cross, windows.self_attention
    return sum(map(cross.active, schedule.progress)), sum(map(own.active, schedule.progress))


@pytest.mark.parametrize("architecture", TABLE)
def test_every_architecture_has_a_balanced_row_and_draws_the_edit_prompt_alone(
    architecture: Architecture,
) -> None:
    assert {"balanced", "free"} <= set(TABLE[architecture])
    assert {ends_of(preset, architecture) for preset in PRESETS} == set(TABLE[architecture].values())
    free = ends_of("free", architecture).windows_in(Schedule(even(8)))
    assert free.cross.empty and free.self_attention.empty


@pytest.mark.parametrize("preset", [preset for preset in PRESETS if preset != "free"])
@pytest.mark.parametrize("architecture", ["separate", "joint"])
@pytest.mark.parametrize(
    ("progress", "held"),
    [(even(8), 2), (even(6), 2), (even(4), 1), (even(2), 1), (even(1), 1), (FLUX2, 1), (LARGE, 1)],
)
def test_few_steps_of_a_transformer(
    architecture: Architecture, preset: Preset, progress: tuple[float, ...], held: int
) -> None:
    schedule = Schedule(progress)
    assert counts(ends_of(preset, architecture).windows_in(schedule), schedule) == (held, held)


@pytest.mark.parametrize("architecture", ["separate", "joint"])
def test_many_steps_of_a_transformer(architecture: Architecture) -> None:
    schedule = Schedule(even(FEW))
    assert counts(ends_of("balanced", architecture).windows_in(schedule), schedule) == (8, 4)


@pytest.mark.parametrize("steps", [1, 4, 8, 50])
def test_a_unet_has_the_same_windows_at_any_number_of_steps(steps: int) -> None:
    found = ends_of("balanced", "unet").windows_in(Schedule(even(steps)))
    assert found == Windows(Window(0, 0.4), Window(0, 0.6))


@pytest.mark.parametrize(
    ("first", "second", "held"),
    [((0.0, 0.25), (0.5, 0.75), [1, 0]), (even(8)[:1], even(8)[1:], [1, 1])],
)
def test_a_schedule_in_two_parts_holds_as_many_calls_as_in_one(
    first: tuple[float, ...], second: tuple[float, ...], held: list[int]
) -> None:
    parts = Schedule(first, second[0]), Schedule(second)
    found = [counts(ends_of("balanced", "joint").windows_in(part), part)[0] for part in parts]
    assert found == held


@pytest.mark.parametrize(
    ("window", "acting"),
    [
        (Window(0.55, 0.7), Window(0.5, 0.7)),  # between two calls
        (Window(0.8, 0.9), Window(0.75, 0.9)),  # after the last
        (Window(0.2, 0.4), Window(0.2, 0.4)),  # holds one
        (Window(0.55, 0.55), Window(0.55, 0.55)),  # closed
    ],
)
def test_a_window_between_two_calls_acts_on_the_one_whose_step_covers_it(
    window: Window, acting: Window
) -> None:
    assert Schedule(even(4)).acting(window) == acting


def test_a_window_outside_of_a_part_of_a_schedule_stays_closed() -> None:
    for schedule, window in (
        (Schedule((0.5, 0.75)), Window(0.1, 0.2)),
        (Schedule((0.0,), 0.25), Window(0.3, 0.4)),
    ):
        assert schedule.acting(window) is window


unit = st.integers(0, 20).map(lambda n: n / 20)


@tries(60)
@given(st.tuples(unit, unit).map(sorted), st.integers(1, 9), st.integers(1, 8))
def test_the_parts_of_a_schedule_and_the_whole_give_a_window_the_same_calls(
    bounds: list[float], steps: int, cut: int
) -> None:
    window, progress, cut = Window(*bounds), even(steps), min(cut, steps)
    whole = list(map(Schedule(progress).acting(window).active, progress))
    parts = [Schedule(progress[:cut], (*progress, 1.0)[cut])]
    parts += [Schedule(progress[cut:])] if cut < steps else []
    found = [part.acting(window).active(call) for part in parts for call in part.progress]
    assert found == whole
    assert any(whole) == (not window.empty)


# In a run


def started(step: Step, progress: tuple[float, ...], architecture: Architecture = "joint") -> Run:
    run = run_of(step)
    run.scene = replace(run.scene, architecture=architecture)
    run.start(torch.linspace(10, 0, len(progress) + 1), progress)
    for call in progress:
        run.before_model(torch.zeros(3, 4, 3, 4), 1.0, call)
    return run


def test_a_run_uses_the_preset_of_its_architecture_and_number_of_steps() -> None:
    edit = TokenEdit(preset="recolour", origin="node 3")
    cases: list[tuple[Architecture, int, float]] = [("joint", 20, 1), ("joint", 8, 0.25), ("unet", 8, 0.8)]
    for architecture, steps, open_until in cases:
        plan = started(edit, even(steps), architecture).plan
        for progress in even(40):
            assert plan.injects(NEAR, progress) == (progress < open_until), (architecture, steps, progress)
    assert edit.self_attention == Window(0, 0.6), "the plan itself is as it was"


def test_a_window_of_a_word_between_two_calls_acts() -> None:
    plan = started(TokenEdit(cross=Window(0, 0), words=(WordWindow("red", Window(0.55, 0.7)),)), even(4)).plan
    assert [any(plan.mixing_keys(FAR, progress)) for progress in even(4)] == [False, False, True, False]


@pytest.mark.parametrize(
    ("step", "progress", "told"),
    [
        (
            TokenEdit(preset="balanced"),
            even(8),
            "cross window 0-0.25: 2 of 8 steps · self window 0-0.25: 2 of 8 steps",
        ),
        (
            TokenEdit(self_attention=Window(0, 0)),
            even(4),
            "cross window 0-0.4: 2 of 4 steps · self window closed",
        ),
        (
            TokenEdit(
                cross=Window(0, 0), self_attention=Window(), words=(WordWindow("red", Window(0, 0.5)),)
            ),
            even(4),
            "cross window closed · self window 0-1: 4 of 4 steps · window of red 0-0.5: 2 of 4 steps",
        ),
        (Reweight(parse_weights("red: 2")), even(5), "window of the weights 0-0.8: 4 of 5 steps"),
        (
            TokenEdit(),
            (0.5, 0.75),
            "cross window 0-0.4: 0 of 2 steps from 0.5 on · self window 0-0.6: 1 of 2 steps from 0.5 on",
        ),
    ],
)
def test_the_calls_that_a_window_held(step: Step, progress: tuple[float, ...], told: str) -> None:
    ((origin, text),) = started(replace(step, origin="node 3"), progress).held()  # type: ignore[type-var]
    assert (origin, text) == ("node 3", told)


def test_a_sampler_that_calls_the_model_twice_a_step_is_counted_in_calls() -> None:
    run = started(TokenEdit(self_attention=Window(0, 0)), even(4), "unet")
    for call in (0.25, 0.5, 0.75):
        run.before_model(torch.zeros(3, 4, 3, 4), 1.0, call)
    ((_, text),) = run.held()
    assert text == "cross window 0-0.4: 3 of 7 model calls · self window closed"
