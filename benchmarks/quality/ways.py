"""The methods that are compared on every edit, or the settings of one method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from demo.diffusers_host.pipeline import DemoPipeline
from p2p_core.edits.presets import TABLE
from p2p_core.edits.steps import Reweight, TokenEdit
from p2p_core.maps.blending import Blend
from p2p_core.maps.masks import MaskRule
from p2p_core.maps.store import MapStore
from p2p_core.plan import EditPlan
from p2p_core.words.weights import Weights
from p2p_core.words.windows import Window

from ..reference.paper_controller import Controller
from .edits import TYPES, Edit
from .side_by_side import Alone, Planned, Published, Way

LATENT = (32, 32)
ALONE, LITERAL, OURS, BLENDED = "shared noise alone", "paper-literal", "Prompt-to-Prompt", "with Local Blend"
DEFAULT = TokenEdit("edit")
SELF_CAP = 16**2  # image tokens, as published


def methods(edit: Edit, pipe: DemoPipeline, steps: int) -> dict[str, Way]:
    """All methods that apply: re-weighting has no edit prompt alone, a background nothing to blend around."""
    ways: dict[str, Way] = {} if edit.weights else {ALONE: Alone()}
    ways[LITERAL] = _literal(edit, pipe, steps)
    ways[OURS] = _planned(plan_of(edit, pipe), pipe)
    if edit.index is not None:
        ways[BLENDED] = _planned(with_blend(plan_of(edit, pipe), edit), pipe)
    return ways


CROSS_ENDS, SELF_ENDS = (0.0, 0.4, 0.6, 0.8, 1.0), (0.0, 0.4, 0.6, 0.8)


def windows(edit: Edit, pipe: DemoPipeline, steps: int) -> dict[str, Way]:
    """Prompt-to-Prompt with different ends of both windows; 0 and 0 is the prompt alone."""
    plans = {
        f"{cross:g} {own:g}": plan_of(edit, pipe, TokenEdit("edit", Window(0, cross), Window(0, own)))
        for cross in CROSS_ENDS
        for own in SELF_ENDS
    }
    return {name: _planned(plan, pipe) for name, plan in plans.items()}


BLENDS = tuple(
    (threshold, start, pool) for threshold in (0.3, 0.5) for start in (0.0, 0.2) for pool in (True, False)
)


def blends(edit: Edit, pipe: DemoPipeline, steps: int) -> dict[str, Way]:
    """Settings of local blend, plus the prompt alone and no blend."""
    plan = plan_of(edit, pipe)
    ways: dict[str, Way] = {ALONE: Alone(), OURS: _planned(plan, pipe)}
    for threshold, start, pool in BLENDS:
        name = f"{threshold:g} {start:g} {'pooled' if pool else 'not pooled'}"
        ways[name] = _planned(with_blend(plan, edit, start, MaskRule(threshold, pool=pool)), pipe)
    return ways


def presets(edit: Edit, pipe: DemoPipeline, steps: int) -> dict[str, Way]:
    """Prompt-to-Prompt with each preset of a U-Net; `free` is the prompt alone."""
    return {
        name: _planned(
            plan_of(edit, pipe, TokenEdit("edit", each.windows.cross, each.windows.self_attention)), pipe
        )
        for name, each in TABLE["unet"].items()
    }


@dataclass(frozen=True)
class Contest:
    """Methods to compare, the types of edits, and the default number of edits."""

    ways: Callable[[Edit, DemoPipeline, int], dict[str, Way]]
    types: tuple[str, ...]
    edits: int


_DRAWN_ALONE = tuple(name for name in TYPES if name != "re-weight")
CONTESTS: Mapping[str, Contest] = {
    "methods": Contest(methods, tuple(TYPES), 306),
    "windows": Contest(windows, _DRAWN_ALONE, 64),
    "presets": Contest(presets, _DRAWN_ALONE, 64),
    "blends": Contest(blends, tuple(name for name in _DRAWN_ALONE if "background" not in name), 60),
}


def plan_of(edit: Edit, pipe: DemoPipeline, token_edit: TokenEdit = DEFAULT) -> EditPlan:
    """The pack with its defaults: Prompt Edit, or Reweight on the source prompt."""
    if edit.weights:
        prompts = pipe.prompts(edit.texts[0])
        return EditPlan(prompts).then(prompts, Reweight(Weights((edit.weights,))))
    prompts = pipe.prompts(*edit.texts)
    return EditPlan(prompts).then(prompts, token_edit)


def with_blend(plan: EditPlan, edit: Edit, start: float = 0.2, rule: MaskRule | None = None) -> EditPlan:
    source, target = edit.blend
    blend = Blend(source, target, (), MapStore(), rule or MaskRule(), start)
    return plan.then(plan.prompts, blend)


def _planned(plan: EditPlan, pipe: DemoPipeline) -> Planned:
    return Planned(plan, pipe, LATENT)


def _literal(edit: Edit, pipe: DemoPipeline, steps: int) -> Published:
    """Word swap, or refinement if the numbers of words differ, or re-weighting."""
    equal = len(edit.texts[0].split(" ")) == len(edit.texts[1].split(" "))
    kind = "reweight" if edit.weights else "replace" if equal else "refine"
    weights = {word: w.weight for w in edit.weights for word in w.word.split(" ")} or None
    controller = Controller(pipe.tokenizer, edit.texts, steps, kind, self_cap=SELF_CAP, equalizer=weights)
    return Published(controller, pipe, LATENT)
