"""What identifies the source of a sampling: its contents, so that the nodes that made them do not matter.

Tensors count by a digest of their values, plain functions by their code and what they close over, a few kinds
of the host's objects by their attributes, and all other objects by identity. No object is kept alive.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import types
import uuid
import weakref
from collections.abc import Hashable, Mapping
from typing import Any

import torch
from comfy.conds import CONDRegular
from comfy.samplers import Sampler
from torch import Tensor

from .keys import PAIR, PLAN
from .pairing import Entry, pair_of

_PLAIN = (type(None), bool, int, str, bytes, complex, enum.Enum, uuid.UUID, torch.dtype, torch.device)
_OF_THE_RUN = {"model_patcher", "model_options", "original_conds", "conds", "inner_model", "loaded_models"}
_OF_A_PATCHER = (
    *("patches_uuid", "object_patches", "weight_wrapper_patches", "wrappers", "callbacks", "injections"),
    *("hook_patches", "forced_hooks", "additional_models", "attachments", "load_device"),
)


class Unknown(Exception):
    """Something that cannot be compared."""


class Identity:
    """Equal for the same object as long as it lives."""

    def __init__(self, value: Any) -> None:
        try:
            self._value = weakref.ref(value)
        except TypeError:
            raise Unknown(type(value).__name__) from None
        self._number = id(value)

    def __eq__(self, other: object) -> bool:
        value = self._value()
        return isinstance(other, Identity) and value is not None and value is other._value()

    def __hash__(self) -> int:
        return self._number


def source_of_run(guider: Any, *given: Any) -> Hashable | None:
    """Identifies the source that a guider samples, None if that cannot be known. given: its inputs."""
    patcher = guider.model_patcher
    own = {name: value for name, value in vars(guider).items() if name not in _OF_THE_RUN}
    try:
        return (
            Identity(patcher.model),
            contents([getattr(patcher, name, None) for name in _OF_A_PATCHER]),
            contents(_without_plan(guider.model_options)),
            contents({side: list(map(_source, entries)) for side, entries in guider.conds.items()}),
            (Identity(type(guider)), contents(own)),
            contents(given),
        )
    except Unknown:
        return None


def _without_plan(options: Mapping[str, Any]) -> dict[str, Any]:
    transformer = options["transformer_options"]
    return {
        **options,
        "transformer_options": {key: value for key, value in transformer.items() if key != PLAN},
    }


def _source(entry: Entry) -> list[tuple[str, Any]]:
    """An entry with the source prompt alone, and without its name; in the order of its keys."""
    found = pair_of(entry)
    own = {key: value for key, value in entry.items() if key not in ("uuid", PAIR)}
    own["model_conds"] = {key: cond for key, cond in entry.get("model_conds", {}).items() if key != PAIR}
    if found is None:
        return sorted(own.items())
    own |= {key: entry[key][:1] for key in found.keys - found.apart if isinstance(entry[key], Tensor)}
    if found.each and entry["cross_attn"] is found.stacked:
        own["cross_attn"] = found.each[0][0]
    return sorted(own.items())


def contents(value: Any) -> Hashable:
    """Equal for equal contents. Raises Unknown for what cannot be compared."""
    if isinstance(value, _PLAIN):
        return type(value).__name__, value
    if isinstance(value, float):
        return "float", repr(value)
    if isinstance(value, Tensor):
        return _digest(value)
    if isinstance(value, Mapping):
        return "mapping", tuple((contents(key), contents(inner)) for key, inner in value.items())
    if isinstance(value, list | tuple):
        return "sequence", tuple(map(contents, value))
    if isinstance(value, set | frozenset):
        return "set", frozenset(map(contents, value))
    if isinstance(value, CONDRegular | Sampler) or hasattr(value, "cond_hint_original"):
        return Identity(type(value)), contents(vars(value))
    kinds = type(value).__mro__
    if any(kind.__module__ == "comfy.model_sampling" for kind in kinds):  # of a class made by a node
        return tuple(kind.__qualname__ for kind in kinds), contents(vars(value))
    return _function(value) if callable(value) else Identity(value)


def _digest(tensor: Tensor) -> Hashable:
    values = tensor.detach().to("cpu").contiguous()
    raw = values.reshape(-1).view(torch.uint8).numpy().data if values.numel() else b""
    return str(values.dtype), tuple(values.shape), hashlib.blake2b(raw, digest_size=16).digest()


def _function(value: Any) -> Hashable:
    if isinstance(value, functools.partial):
        return "partial", contents((value.func, value.args, value.keywords))
    if isinstance(value, types.MethodType):
        return "method", Identity(value.__self__), contents(value.__func__)
    if not isinstance(value, types.FunctionType):
        return Identity(value)
    cells = [cell.cell_contents for cell in value.__closure__ or ()]
    if any(cell is value for cell in cells):
        return Identity(value)
    return "function", value.__code__, contents((cells, value.__defaults__, value.__kwdefaults__))
