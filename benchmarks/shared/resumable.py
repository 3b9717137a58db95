"""Long measurements: one file a result, so that what is there is not made again."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.multiprocessing import get_context
from tqdm import tqdm

Make = Callable[[int], dict[str, Any]]


def checksum(files: Iterable[Path]) -> int:
    """Of the contents of files, in their order."""
    value = 0
    for file in files:
        value = zlib.crc32(file.read_bytes(), value)
    return value


def run_all(make: Make, folder: Path, count: int, workers: int) -> list[dict[str, Any]]:
    """Results 0..count − 1; those not yet in `folder` are made by `workers` processes of one thread each."""
    missing = [index for index in range(count) if not file_of(folder, index).exists()]
    bar = {"total": count, "initial": count - len(missing), "desc": "edits", "unit": "edit"}
    if missing:
        with get_context("spawn").Pool(workers, torch.set_num_threads, (1,)) as pool:
            for _ in tqdm(pool.imap_unordered(partial(_keep, make, folder), missing), **bar):
                pass
    return [json.loads(file_of(folder, index).read_text("utf-8")) for index in range(count)]


def file_of(folder: Path, index: int, suffix: str = ".json") -> Path:
    return folder / f"{index:04}{suffix}"


def _keep(make: Make, folder: Path, index: int) -> None:
    file = file_of(folder, index)
    draft = file.with_suffix(".draft")  # a file that is there is complete
    draft.write_text(json.dumps(make(index)), "utf-8")
    draft.replace(file)


def save_strip(pictures: Sequence[Tensor] | Tensor, file: Path) -> None:
    """Pictures [3, h, w] in 0..1, side by side."""
    strip = torch.cat(list(pictures), dim=2).mul(255).round().byte().permute(1, 2, 0)
    Image.fromarray(strip.numpy()).save(file)
