"""Model calls with the edit rows alone, where the source's predictions are known."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from comfy.conds import CONDConstant
from torch import Tensor

from ...p2p_core.rows import edits, with_edits
from .merging import Merging
from .one_call import fits, joined
from .pairing import Entry
from .state import Sampling, alone

Side = list[Entry] | None
Predict = Callable[[Sequence[Side], Tensor, Tensor], list[Tensor]]
_BY_THE_BATCH = ("gligen",)  # parts of an entry that apply to the whole batch


class Uncut(Exception):
    """An entry whose edit rows cannot be told."""


@dataclass(frozen=True)
class LeanCalls:
    """Predictions without unneeded source rows. joins: whether two sides may share a call of the model."""

    sampling: Sampling
    merging: Merging | None
    joins: bool

    def predicted(
        self,
        predict: Predict,
        model: Any,
        conds: Sequence[Side],
        x: Tensor,
        timestep: Tensor,
        lean: Collection[int],
    ) -> list[Tensor]:
        """The predictions of all sides; those of `lean` are computed for edit rows only.

        Source rows of `lean` are undefined. Raises Uncut before anything is computed if that cannot be done.
        """
        if not lean:
            return predict(conds, x, timestep)
        prompts = self.sampling.run.prompts
        few = [
            [edit_rows(entry, prompts, self.merging) for entry in side] if side and i in lean else None
            for i, side in enumerate(conds)
        ]
        many = [None if i in lean else side for i, side in enumerate(conds)]
        edit_x, levels = edits(x, prompts), edits(timestep, prompts)
        if any(many):
            entry = self._joined(model, many, few, x, edit_x)
            if entry is not None:
                rows, levels = torch.cat([x, edit_x]), self._level(torch.cat([timestep, levels]), timestep)
                (both,) = predict([[entry]], rows, levels)
                return [self._side(x, both, many[i], few[i]) for i in range(len(conds))]
        predicted = predict(many, x, timestep) if any(many) else [torch.zeros_like(x)] * len(conds)
        found = predict(few, edit_x, self._level(levels, timestep))
        return [with_edits(x, found[i], prompts) if i in lean else each for i, each in enumerate(predicted)]

    def _level(self, levels: Tensor, as_of: Tensor) -> Tensor:
        return self.sampling.same_level(levels, as_of)

    def _joined(
        self, model: Any, many: Sequence[Side], few: Sequence[Side], x: Tensor, edit_x: Tensor
    ) -> Entry | None:
        """One entry of both sides, if there are only two, of one entry each, that fit in one call."""
        whole = [side for side in many if side]
        part = [side for side in few if side]
        if not self.joins or len(whole) != 1 or len(part) != 1 or len(whole[0]) != 1 or len(part[0]) != 1:
            return None
        if self.merging is not None and self.merging.pads(whole[0][0]["uuid"]):
            return None
        entry = joined(whole[0][0], part[0][0], (len(x), len(edit_x)))
        return entry if fits(model, torch.cat([x, edit_x])) else None

    def _side(self, x: Tensor, both: Tensor, many: Side, few: Side) -> Tensor:
        if few:
            return with_edits(x, both[len(x) :], self.sampling.run.prompts)
        return both[: len(x)] if many else torch.zeros_like(x)


def edit_rows(entry: Entry, prompts: int, merging: Merging | None) -> Entry:
    """An entry for the edit rows alone, under a name of its own. Raises Uncut if they cannot be told."""
    if any(entry.get(key) is not None for key in _BY_THE_BATCH) or _batched(entry.get("control")):
        raise Uncut
    conds: Mapping[str, Any] = entry["model_conds"]
    cut: Entry = {"model_conds": {key: _cond(cond, prompts) for key, cond in conds.items()}}
    if "mask" in entry:
        cut["mask"] = _rows(entry["mask"], prompts)
    cut["uuid"] = alone(entry["uuid"])
    if merging is not None:
        merging.cut(entry["uuid"], cut["uuid"])
    return {**entry, **cut}


def _batched(control: Any) -> bool:
    """Whether a chain of ControlNets has a picture for each row."""
    while control is not None:
        picture = getattr(control, "cond_hint_original", None)
        if not isinstance(picture, Tensor) or len(picture) > 1:
            return True
        control = getattr(control, "previous_controlnet", None)
    return False


def _cond(cond: Any, prompts: int) -> Any:
    value = getattr(cond, "cond", None)
    if isinstance(cond, CONDConstant):
        return cond
    if isinstance(value, list):
        changed: Any = [_rows(each, prompts) if isinstance(each, Tensor) else each for each in value]
    elif isinstance(value, Tensor):
        changed = _rows(value, prompts)
    else:
        raise Uncut
    other = copy.copy(cond)
    other.cond = changed
    return other


def _rows(value: Tensor, prompts: int) -> Tensor:
    """[1, ...] as it is; rows of prompts, or of samples and prompts, without those of the source."""
    if len(value) == 1:
        return value
    if len(value) % prompts:
        raise Uncut
    return edits(value, prompts)
