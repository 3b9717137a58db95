"""How many model calls the windows of a step held, as text."""

from __future__ import annotations

from collections.abc import Sequence

from ..step import Step
from ..words.windows import Schedule, Window


def held(step: Step, schedule: Schedule, calls: Sequence[float]) -> str:
    """`cross window 0-0.4: 4 of 8 steps · self window: closed`. calls: progress of the model calls made.

    A sampler that calls the model more than once per step is counted in model calls.
    """
    unit = "steps" if len(calls) == len(schedule.progress) else "model calls"
    late = f" from {schedule.progress[0]:.2g} on" if schedule.progress and schedule.progress[0] > 0.01 else ""
    counted = f"{len(calls)} {unit}{late}"
    return " · ".join(f"{name} {_inside(window, calls, counted)}" for name, window in step.windows.items())


def _inside(window: Window, calls: Sequence[float], counted: str) -> str:
    if window.empty:
        return "closed"
    return f"{window.start:.3g}-{window.end:.3g}: {sum(map(window.active, calls))} of {counted}"
