"""Plans for tests, and their mixings."""

from __future__ import annotations

from p2p_core.architecture.layers import Layer
from p2p_core.attention.editing import Mixing
from p2p_core.edits.columns import mixing_of
from p2p_core.plan import EditPlan
from p2p_core.step import Step
from p2p_core.words.prompts import PromptSet


def plan_of(prompts: PromptSet, *steps: Step) -> EditPlan:
    plan = EditPlan(prompts)
    for step in steps:
        plan = plan.then(prompts, step)
    return plan


def mixing(plan: EditPlan, row: int, layer: Layer, progress: float) -> Mixing | None:
    """The mixing of edit prompt `row` (1..E) in this layer now, or None."""
    key = plan.mixing_keys(layer, progress)[row - 1]
    return None if key is None else mixing_of(plan.prompts, key)
