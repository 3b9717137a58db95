"""Plans on the host's MODEL. A node only puts the frozen plan and one OUTER_SAMPLE wrapper on a clone."""

from __future__ import annotations

from typing import Any

from comfy.patcher_extension import WrappersMP

from ...p2p_core.errors import P2PError
from ...p2p_core.plan import EditPlan
from ...p2p_core.step import Step
from ...p2p_core.words.prompts import PromptSet
from .families import layers_of
from .keys import PLAN, SAMPLING
from .reached_attention import patch_attention
from .sampling import sample_pair


def with_step(model: Any, prompts: PromptSet, step: Step) -> Any:
    """A clone of MODEL whose plan has one more step. Raises P2PError if this MODEL does not support it."""
    step.require_layers(layers_of(model))
    return with_plan(model, plan_of(model, prompts).then(prompts, step))


def with_last_step(model: Any, step: Step) -> Any:
    """A clone of MODEL with one more step for the prompts of its plan. Raises P2PError without a plan."""
    plan: EditPlan | None = model.model_options["transformer_options"].get(PLAN)
    if plan is None:
        raise P2PError(
            "a MODEL with edits", "one without", "Connect the MODEL of the last Prompt-to-Prompt edit node."
        )
    return with_step(model, plan.prompts, step)


def plan_of(model: Any, prompts: PromptSet) -> EditPlan:
    """The plan on MODEL, or an empty one for these prompts."""
    return model.model_options["transformer_options"].get(PLAN) or EditPlan(prompts)


def with_plan(model: Any, plan: EditPlan) -> Any:
    """A clone of MODEL that samples with `plan`."""
    clone = model.clone()
    clone.model_options["transformer_options"][PLAN] = plan
    if not clone.get_wrappers(WrappersMP.OUTER_SAMPLE, SAMPLING):
        clone.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, SAMPLING, sample_pair)
        patch_attention(clone)
    return clone


def require_no_plan(model: Any) -> None:
    """Raises P2PError for a MODEL with a Prompt-to-Prompt node on it."""
    if PLAN in model.model_options["transformer_options"]:
        raise P2PError(
            "a MODEL without edits",
            "one with edits",
            "Connect the MODEL from before the first Prompt-to-Prompt node.",
        )
