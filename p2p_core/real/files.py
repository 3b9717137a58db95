"""Trajectory files: safetensors, which hold no code, with the texts in the metadata."""

from __future__ import annotations

import errno
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from torch import Tensor

from ..errors import P2PError
from .tensor_file import read, write
from .trajectory import Trajectory

SUFFIX = ".p2p.safetensors"
_DRAFT, _ABANDONED = ".draft", 3600  # seconds without a write after which a draft is one of a killed save
_FORMAT = "prompt-to-prompt trajectory 1"
_TENSORS = ("sigmas", "latents", "picture", "prompt")
_MAYBE = ("noise", "nulls")
_TEXTS = ("text", "model", "method", "schedule")


def save(trajectory: Trajectory, file: Path) -> bool:
    """Writes a new file, which is whole as soon as it has its name. Returns False if the name is taken.

    The draft is the claim to the name: of two saves only one can create it. Raises P2PError if the file
    cannot be written, and then leaves nothing behind.
    """
    tensors = {name: getattr(trajectory, name) for name in (*_TENSORS, *_MAYBE)}
    draft = file.with_name(file.name + _DRAFT)
    with saving(file.name):
        _remove_drafts(file.parent)
        try:
            stream = draft.open("xb")
        except FileExistsError:
            return False
        try:
            with stream:
                if file.exists():
                    return False
                texts = {"format": _FORMAT, **{name: getattr(trajectory, name) for name in _TEXTS}}
                write(stream, {name: t for name, t in tensors.items() if t is not None}, texts)
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
    return True


def _remove_drafts(folder: Path) -> None:
    """Remove what killed saves left behind."""
    for draft in folder.glob(f"*{SUFFIX}{_DRAFT}"):
        with suppress(FileNotFoundError):  # another save may have finished
            if time.time() - draft.stat().st_mtime > _ABANDONED:
                draft.unlink()


def load(file: Path) -> Trajectory:
    """Raises P2PError for a damaged file or another kind of file."""
    try:
        with file.open("rb") as stream:
            texts, tensors = read(stream)
    except OSError as error:
        raise _invalid(file, f"an unreadable file ({_in_words(error)})") from error
    except ValueError as error:
        raise _invalid(file, str(error)) from error
    return _trajectory(file, texts, tensors)


def _trajectory(file: Path, texts: dict[str, str], tensors: dict[str, Tensor]) -> Trajectory:
    if texts.get("format") != _FORMAT:
        raise _invalid(file, "another kind of file")
    wrong = set(_TENSORS) - set(tensors) or set(tensors) - {*_TENSORS, *_MAYBE} or set(_TEXTS) - set(texts)
    if wrong:
        raise _invalid(file, f"a file with missing or unknown parts: {', '.join(sorted(wrong))}")
    sigmas, latents, picture, prompt = (tensors[name] for name in _TENSORS)
    text, model, method, schedule = (texts[name] for name in _TEXTS)
    noise, nulls = (tensors.get(name) for name in _MAYBE)
    try:
        return Trajectory(sigmas, latents, picture, prompt, text, model, method, schedule, noise, nulls)
    except P2PError as error:
        raise _invalid(file, f"{error.got} instead of {error.expected}") from error


def _invalid(file: Path, got: str) -> P2PError:
    return P2PError(f"a trajectory in {file.name}", got, "Choose a saved trajectory, or save it again.")


# What the system says

_TROUBLES = {
    errno.ENOSPC: "a full disk",
    errno.EDQUOT: "a full quota",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.EROFS: "a read-only disk",
    errno.ENAMETOOLONG: "a name that is too long",
    errno.ENOTDIR: "a file where a folder should be",
    errno.EEXIST: "a file where a folder should be",
    errno.ELOOP: "links that lead in a circle",
    errno.ENOENT: "no such file",
}


@contextmanager
def saving(name: str) -> Generator[None]:
    """Turns what the system reports while a file is written into a P2PError."""
    try:
        yield
    except OSError as error:
        hint = "Free some space, choose another name, or make the folder writable."
        raise P2PError(f"a place to save {name}", _in_words(error), hint) from error


def _in_words(error: OSError) -> str:
    return _TROUBLES.get(error.errno or 0, error.strerror or type(error).__name__)
