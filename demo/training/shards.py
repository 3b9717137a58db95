"""Checkpoints as folders of files small enough to be carried: no file is larger than 15 MiB."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

LIMIT = 15 * 2**20  # bytes


def save(tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Replace the folder by one with these tensors; an interruption leaves the old or the new one."""
    new = _new(folder)
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for index, shard in enumerate(_split(tensors)):
        save_file(shard, new / f"{index:02}.safetensors")
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


def load(folder: Path) -> dict[str, Tensor]:
    """The saved tensors; {} if nothing was saved."""
    tensors: dict[str, Tensor] = {}
    for file in sorted((folder if folder.exists() else _new(folder)).glob("*.safetensors")):
        tensors |= load_file(file)
    return tensors


def _new(folder: Path) -> Path:
    return folder.with_name(folder.name + ".new")


def _split(tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        if size + tensor.nbytes > LIMIT and shards[-1]:
            shards.append({})
            size = 0
        shards[-1][name] = tensor.detach().cpu().contiguous()
        size += tensor.nbytes
    return shards
