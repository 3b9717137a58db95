"""Trajectories as files: safetensors, which hold numbers and no code, with the texts in their metadata."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import P2PError
from .trajectory import Trajectory

SUFFIX = ".p2p.safetensors"
_FORMAT = "prompt-to-prompt trajectory 1"
_TENSORS = ("sigmas", "latents", "picture", "prompt")
_MAYBE = ("noise", "nulls")
_TEXTS = ("text", "model", "method", "schedule")


def save(trajectory: Trajectory, file: Path) -> None:
    """Writes the file, whole or not at all."""
    tensors = {name: getattr(trajectory, name) for name in (*_TENSORS, *_MAYBE)}
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items() if tensor is not None}
    texts = {name: getattr(trajectory, name) for name in _TEXTS}
    draft = file.with_name(file.name + ".draft")
    _safetensors("safetensors.torch").save_file(tensors, str(draft), {"format": _FORMAT, **texts})
    draft.replace(file)


def load(file: Path) -> Trajectory:
    """Raises P2PError for a file that is none of these, or damaged."""
    opened = _safetensors("safetensors")
    try:
        with opened.safe_open(str(file), framework="pt") as content:
            texts: dict[str, str] = content.metadata() or {}
            tensors: dict[str, Tensor] = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    except (OSError, opened.SafetensorError) as error:
        raise _none(file, f"one that cannot be read ({error})") from error
    return _trajectory(file, texts, tensors)


def _trajectory(file: Path, texts: dict[str, str], tensors: dict[str, Tensor]) -> Trajectory:
    if texts.get("format") != _FORMAT:
        raise _none(file, "another kind of file")
    wrong = set(_TENSORS) - set(tensors) or set(tensors) - {*_TENSORS, *_MAYBE} or set(_TEXTS) - set(texts)
    if wrong:
        raise _none(file, f"one with {', '.join(sorted(wrong))} missing or too much")
    if any(tensor.dtype != torch.float32 for tensor in tensors.values()):
        raise _none(file, "numbers that are not float32")
    sigmas, latents, picture, prompt = (tensors[name] for name in _TENSORS)
    text, model, method, schedule = (texts[name] for name in _TEXTS)
    noise, nulls = (tensors.get(name) for name in _MAYBE)
    try:
        return Trajectory(sigmas, latents, picture, prompt, text, model, method, schedule, noise, nulls)
    except P2PError as error:
        raise _none(file, f"{error.got} where {error.expected} belongs") from error


def _none(file: Path, got: str) -> P2PError:
    return P2PError(
        f"a trajectory in {file.name}", got, "Choose a file of Save Trajectory, or make it again."
    )


def _safetensors(module: str) -> Any:
    """The package, which hosts have; imported here so that all else works without it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise P2PError("the package safetensors", "none", "Install it: pip install safetensors.") from error
