"""ControlNets with one picture per sample, in the rows of a paired batch."""

from __future__ import annotations

from typing import Any

from comfy.utils import repeat_to_batch_size

from .rows import repeated_per_row


def control_per_row(control: Any, samples: int, prompts: int, made: dict[int, Any]) -> Any:
    """A chain of ControlNets with each picture repeated over the rows of its sample, if there are any.

    made: the copies so far, by the id of the original. The host batches sides only if they share one object.
    """
    if control is None:
        return None
    if id(control) not in made:
        made[id(control)] = _copy(control, samples, prompts, made)
    return made[id(control)]


def _copy(control: Any, samples: int, prompts: int, made: dict[int, Any]) -> Any:
    before = getattr(control, "previous_controlnet", None)
    previous = control_per_row(before, samples, prompts, made)
    pictures = getattr(control, "cond_hint_original", None)
    count = 0 if pictures is None else pictures.shape[0]
    if previous is before and count < 2:
        return control
    copy = control.copy()
    copy.set_previous_controlnet(previous)
    if pictures is not None and count > 1:
        masks = [repeat_to_batch_size(mask, count) for mask in getattr(control, "extra_concat_orig", ())]
        # channels last in memory, as in the host: other kernels would round differently
        copy.cond_hint_original = repeated_per_row(pictures.movedim(1, -1), samples, prompts).movedim(-1, 1)
        copy.extra_concat_orig = [repeated_per_row(mask, samples, prompts) for mask in masks]
    return copy
