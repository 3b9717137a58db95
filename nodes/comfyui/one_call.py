"""All rows of one side and the edit rows of another in one call of the model.

The host batches only sides of equally many rows. Here two sides become one, which is larger than a part of a
batch, so other packs' patches on attention must not see it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from comfy.conds import CONDConstant, CONDRegular
from comfy.model_management import get_free_memory
from torch import Tensor

from .keys import SAMPLING
from .pairing import Entry
from .state import together

_OF_AN_AREA = ("area", "mask", "control", "gligen", "hooks", "timestep_start", "timestep_end", "default")
_PATCHES = ("patches", "patches_replace", "optimized_attention_override")
_AROUND = ("calc_cond_batch", "apply_model", "diffusion_model")


def unpatched(options: Mapping[str, Any]) -> bool:
    """Whether no other pack acts on the model's calls. options: the host's, without a sampling's patches."""
    transformer = options["transformer_options"]
    wrappers = transformer.get("wrappers", {})
    foreign = any(set(wrappers.get(kind, {})) - {SAMPLING} for kind in _AROUND)
    patched = any(transformer.get(name) for name in _PATCHES)
    return not (foreign or patched or "model_function_wrapper" in options or "multigpu_clones" in options)


def joined(all_rows: Entry, few_rows: Entry, counts: tuple[int, int]) -> Entry | None:
    """One entry of both, None if they do not fit. counts: the rows of each."""
    entries = all_rows, few_rows
    if any(entry.get(key) is not None for entry in entries for key in _OF_AN_AREA):
        return None
    own, others = (entry["model_conds"] for entry in entries)
    if own.keys() != others.keys():
        return None
    conds = {key: _joined((own[key], others[key]), counts) for key in own}
    if any(cond is None for cond in conds.values()):
        return None
    return {**all_rows, "model_conds": conds, "uuid": together(all_rows["uuid"])}


def _joined(conds: Sequence[Any], counts: tuple[int, int]) -> Any:
    a, b = (cond.process_cond(batch_size=count, area=None) for cond, count in zip(conds, counts, strict=True))
    if isinstance(a, CONDConstant):
        return a if a.can_concat(b) else None
    if not isinstance(a, CONDRegular) or type(a) is not type(b) or _shape(a) != _shape(b):
        return None
    return type(a)(a.concat([b]))


def _shape(cond: Any) -> Any:
    """What must be equal of two conds, besides the number of rows."""
    values = cond.cond if isinstance(cond.cond, list) else [cond.cond]
    return [(value.shape[1:], value.device) for value in values]


def fits(model: Any, rows: Tensor) -> bool:
    """Whether the host's estimate of memory allows a call of these rows."""
    patcher = getattr(model, "current_patcher", None)
    if patcher is None:
        return False
    free = getattr(patcher, "get_free_memory", get_free_memory)(rows.device)
    return model.memory_required(list(rows.shape)) * 1.5 < free
