"""The pack and the published algorithm side by side, on the demo model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from torch import Tensor

from benchmarks.reference.paper_controller import Controller, sample_literal
from demo.diffusers_host.pipeline import DemoPipeline, load, start_noise
from p2p_core.edits.steps import EditMethod, Reweight, TokenEdit
from p2p_core.maps.blending import Blend
from p2p_core.maps.masks import MaskRule
from p2p_core.maps.store import MapStore
from p2p_core.plan import EditPlan
from p2p_core.step import Step
from p2p_core.words.weights import parse_weights
from p2p_core.words.windows import Window

WITHIN = 1e-3
# With 10 steps and bounds in tenths, both schedules agree: the published code counts to int(11·b) in
# cross-attention and to int(10·b) in self-attention; our call i is at progress i·100/999.
STEPS, CFG, SIDE = 10, 5.0, 128
# Instead of start 0.2: the published code waits for two calls and blends after the third, while ours would
# blend before the third, whose progress of 0.2002 is past 0.2.
LATER = 0.21
HOUSE = ("a red house at night", "a blue house at night")
PICTURES = (("house",), ("star",))
STAR = ("a red house at night", "a red star at night")


@lru_cache(maxsize=1)
def pipe() -> DemoPipeline:
    return load()


# Both, side by side


def ours_of(texts: Sequence[str], steps: Sequence[Step], noise: Tensor, calls: int = STEPS) -> Tensor:
    """Final latents of the pack."""
    prompts = pipe().prompts(*texts)
    plan = EditPlan(prompts)
    for step in steps:
        plan = plan.then(prompts, step)
    return pipe().sample(texts, noise, calls, CFG, plan)


def theirs_of(texts: Sequence[str], noise: Tensor, calls: int = STEPS, **how: Any) -> Tensor:
    """Final latents of the published algorithm."""
    controller = Controller(pipe().tokenizer, texts, calls, **how)
    return sample_literal(pipe(), texts, noise, calls, CFG, controller)


@lru_cache
def uncontrolled(texts: tuple[str, ...], shape: tuple[int, int, int], calls: int) -> Tensor:
    return pipe().sample(texts, noise_of(*shape), calls, CFG)


def noise_of(width: int = SIDE, height: int = SIDE, samples: int = 1) -> Tensor:
    """Noise of a seed with stable samplings: with other noise, rounding alone can grow to 2e-3."""
    return start_noise(1, width, height, samples)


def apart(a: Tensor, b: Tensor) -> float:
    """The largest difference of two latents, whose values are about −4..4."""
    return float((a - b).abs().max())


@dataclass(frozen=True)
class Case:
    """One edit, in the form of the pack and of the published code."""

    texts: tuple[str, ...]
    ours: tuple[Step, ...]
    theirs: dict[str, Any]
    shape: tuple[int, int, int] = (SIDE, SIDE, 1)
    calls: int = STEPS


def as_published(method: EditMethod, **how: Any) -> TokenEdit:
    """The windows of the paper's code, where no others are given."""
    windows = {"cross": Window(0, 0.8), "self_attention": Window(0, 0.4)}
    return TokenEdit(method, **{**windows, **how})


def swap(**how: Any) -> TokenEdit:
    return as_published("swap", **how)


def refine(**how: Any) -> TokenEdit:
    return as_published("refine", **how)


def weigh(text: str, **how: Any) -> Reweight:
    return Reweight(parse_weights(text), **how)


def blend(source: str, edit: str, subtract: str = "", start: float = LATER, **rule: Any) -> Blend:
    words = [tuple(text.split()) for text in (source, edit, subtract)]
    return Blend(*words, store=MapStore(), rule=MaskRule(**rule), start=start)


def same_twice(text: str) -> tuple[str, str]:
    return text, text
