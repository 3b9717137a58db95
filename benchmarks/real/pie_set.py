"""PIE-Bench's public data: pictures, prompts, and masks of what an edit may change (Ju et al. 2023)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from p2p_core.errors import P2PError

SIDE = 512  # of the mask grid


@dataclass(frozen=True)
class Item:
    """One edit. words: for local blend, of the source and of the edit prompt; runs: of its mask."""

    key: str
    picture: Path
    source: str
    edit: str
    words: tuple[tuple[str, ...], tuple[str, ...]]
    runs: tuple[int, ...]

    def mask(self, height: int, width: int) -> Tensor:
        """[height, width], 1 where the picture may change."""
        mask = decoded(self.runs)[None, None]
        return F.interpolate(mask, (height, width), mode="nearest")[0, 0]


def read_set(folder: Path) -> list[Item]:
    """The edits of `mapping_file.json`. P2PError if it or a picture is missing or has another layout."""
    file = folder / "mapping_file.json"
    try:
        entries = json.loads(file.read_text("utf-8"))
        return [_item(folder, key, entry) for key, entry in entries.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, P2PError):
            raise
        raise P2PError(
            "PIE-Bench's mapping_file.json",
            f"{file}, which cannot be read ({type(error).__name__}: {error})",
            "Pass the folder with mapping_file.json and annotation_images/ as --data.",
        ) from error


def _item(folder: Path, key: str, entry: dict[str, Any]) -> Item:
    root = (folder / "annotation_images").resolve()
    picture = (root / entry["image_path"]).resolve()
    if not picture.is_relative_to(root) or not picture.is_file():
        raise P2PError(f"a picture in {root}", entry["image_path"], "Download the whole set.")
    source, edit = (_plain(entry[name]) for name in ("original_prompt", "editing_prompt"))
    return Item(
        key, picture, source, edit, blended(entry["blended_word"], source, edit), tuple(entry["mask"])
    )


def _plain(prompt: str) -> str:
    """The prompt without the brackets that mark the change."""
    return " ".join(prompt.replace("[", "").replace("]", "").split())


def blended(words: str, source: str, edit: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """`cat dog`: a word of the source and one of the edit; none if either is missing."""
    pair = words.split()
    if len(pair) != 2 or pair[0] not in source.split() or pair[1] not in edit.split():
        return (), ()
    return (pair[0],), (pair[1],)


def decoded(runs: Sequence[int]) -> Tensor:
    """A mask [512, 512] from starts and lengths of its runs of 1; its rim is 1, as published."""
    if len(runs) % 2:
        raise P2PError("starts and lengths of a mask", f"{len(runs)} numbers", "Download the set again.")
    mask = torch.zeros(SIDE * SIDE)
    for start, length in zip(runs[::2], runs[1::2], strict=True):
        mask[start : start + length] = 1
    mask = mask.reshape(SIDE, SIDE)  # rows by columns
    mask[[0, -1]] = 1
    mask[:, [0, -1]] = 1
    return mask
