"""What is measured: each case patches the MODEL of a bench with the pack's nodes.

A window is open, or closed, during the whole sampling, so that all steps cost the same. None is simply empty
or whole: such windows need no progress, which would hide the cost of reading it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .models import Bench

OPEN, CLOSED = (0.0, 0.99), (0.99, 1.0)  # the last step of the schedule starts before 0.99
Case = Callable[[Bench], Any]


def swap(bench: Bench, window: tuple[float, float] = OPEN) -> Any:
    return bench.node("edit.word_swap", "P2PWordSwap", bench.model, bench.prompts, *window, *window)


def word_windows(bench: Bench) -> Any:
    """The new word has its own attention, all others the source's."""
    words = "house: {:g}-{:g}".format(*CLOSED)
    return bench.node("edit.prompt_edit", "P2PPromptEdit", bench.model, bench.prompts, *OPEN, *OPEN, words)


def reweight(bench: Bench, model: Any = None) -> Any:
    model = model or bench.model
    return bench.node("edit.reweight", "P2PReweight", model, bench.prompts, "star: 2", *OPEN, *OPEN)


def local_blend(bench: Bench, model: Any = None) -> Any:
    words, numbers = ("circle", "house", ""), (0.3, 0.3, 0.0)
    rest = (True, 0, "auto", "intersect")
    model = model or swap(bench)
    return bench.node("edit.local_blend", "P2PLocalBlend", model, bench.prompts, *words, *numbers, *rest)


def store(bench: Bench, model: Any = None) -> Any:
    model, words = model or swap(bench), "circle, star, grass"
    settings = (words, "all", 0.0, 1.0, 1, "none")
    return bench.node("view.attention_store", "P2PAttentionStore", model, bench.prompts, *settings)


def everything(bench: Bench) -> Any:
    return store(bench, local_blend(bench, reweight(bench, word_windows(bench))))


def closed(bench: Bench) -> Any:
    return swap(bench, CLOSED)


def real_image(bench: Bench) -> Any:
    """A pinned source: its rows need no unconditional pass."""
    fingerprint = bench.core("nodes.comfyui.fingerprint").fingerprint(bench.model)
    levels = bench.sigmas.view(-1, *[1] * bench.noise.ndim)
    latents = bench.noise[None] * levels  # any values will do for timing
    trajectory = bench.core("p2p_core.real.trajectory").Trajectory(
        sigmas=bench.sigmas.float(),
        latents=latents,
        picture=bench.noise,
        prompt=bench.sides[0][0][0][0],
        text="",
        model=fingerprint,
        method="euler",
        schedule=f"{len(bench.sigmas) - 1} steps",
    )
    settings = (trajectory, True, "as connected", 1.0, 0.0, True)
    return bench.node("real.real_image", "P2PRealImage", swap(bench), bench.prompts, *settings)


def remembered(bench: Bench, model: Any, *, attention: bool = False) -> Any:
    """Every round but the warm-up takes the source from there."""
    settings = (True, 256, 4, attention, 16384)
    return bench.node("edit.remember_source", "P2PRememberSource", model, *settings)


def again(bench: Bench) -> Any:
    return remembered(bench, swap(bench))


def again_closed(bench: Bench) -> Any:
    return remembered(bench, closed(bench))


def again_with_attention(bench: Bench) -> Any:
    return remembered(bench, swap(bench), attention=True)


def default_windows(bench: Bench) -> Any:
    windows = bench.core("p2p_core.edits.steps").EDIT_WINDOWS
    numbers = [(window.start, window.end) for window in (windows.cross, windows.self_attention)]
    return bench.node("edit.word_swap", "P2PWordSwap", bench.model, bench.prompts, *numbers[0], *numbers[1])


CASES: Mapping[str, Case] = {
    "swap": swap,
    "swap in the default windows": default_windows,
    "edit with word windows": word_windows,
    "re-weight": reweight,
    "swap and local blend": local_blend,
    "swap and a store of 3 words": store,
    "all of these": everything,
    "windows closed": closed,
    "swap in a pinned real image": real_image,
    "swap again": again,
    "windows closed, again": again_closed,
    "swap again, attention kept": again_with_attention,
}
