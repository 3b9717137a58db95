"""Trajectory files: safetensors, which hold no code, with the texts in the metadata."""

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
    """Writes the file atomically."""
    tensors = {name: getattr(trajectory, name) for name in (*_TENSORS, *_MAYBE)}
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items() if tensor is not None}
    texts = {name: getattr(trajectory, name) for name in _TEXTS}
    draft = file.with_name(file.name + ".draft")
    _safetensors("safetensors.torch").save_file(tensors, str(draft), {"format": _FORMAT, **texts})
    draft.replace(file)


def load(file: Path) -> Trajectory:
    """Raises P2PError for a damaged file or another kind of file."""
    opened = _safetensors("safetensors")
    try:
        with opened.safe_open(str(file), framework="pt") as content:
            texts: dict[str, str] = content.metadata() or {}
            tensors: dict[str, Tensor] = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    except (OSError, opened.SafetensorError) as error:
        raise _invalid(file, f"an unreadable file ({error})") from error
    return _trajectory(file, texts, tensors)


def _trajectory(file: Path, texts: dict[str, str], tensors: dict[str, Tensor]) -> Trajectory:
    if texts.get("format") != _FORMAT:
        raise _invalid(file, "another kind of file")
    wrong = set(_TENSORS) - set(tensors) or set(tensors) - {*_TENSORS, *_MAYBE} or set(_TEXTS) - set(texts)
    if wrong:
        raise _invalid(file, f"a file with missing or unknown parts: {', '.join(sorted(wrong))}")
    if any(tensor.dtype != torch.float32 for tensor in tensors.values()):
        raise _invalid(file, "values that are not float32")
    sigmas, latents, picture, prompt = (tensors[name] for name in _TENSORS)
    text, model, method, schedule = (texts[name] for name in _TEXTS)
    noise, nulls = (tensors.get(name) for name in _MAYBE)
    try:
        return Trajectory(sigmas, latents, picture, prompt, text, model, method, schedule, noise, nulls)
    except P2PError as error:
        raise _invalid(file, f"{error.got} instead of {error.expected}") from error


def _invalid(file: Path, got: str) -> P2PError:
    return P2PError(f"a trajectory in {file.name}", got, "Choose a saved trajectory, or save it again.")


def _safetensors(module: str) -> Any:
    """The package, which hosts have. Imported here so that everything else works without it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise P2PError("the safetensors package", "none", "Install it: pip install safetensors.") from error
