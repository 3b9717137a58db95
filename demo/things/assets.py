"""Reads the pictures of the things once and keeps them as one tensor file.

The pictures are those of npm's `@lobehub/fluent-emoji-3d` (MIT, after Microsoft's Fluent Emoji):
`npm pack @lobehub/fluent-emoji-3d`, unpack it, and give its folder `package/assets`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from .vocabulary import KINDS, TOPPINGS

CODES = tuple(dict.fromkeys([*(kind.code for kind in KINDS.values()), *TOPPINGS.values()]))
STORED = 176  # pixels: as many as the largest thing in a picture of 256 needs
SUFFIXES = (".webp", "-fe0f.webp", ".png")


def pack(folder: Path, target: Path) -> None:
    """Write every picture as uint8 [4, 176, 176], red, green, blue and alpha, under its code."""
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file({code: _read(folder, code) for code in CODES}, target)


def load(file: Path) -> dict[str, Tensor]:
    """Code to picture [4, H, W], 0..1, alpha not multiplied in."""
    return {code: pixels.float() / 255 for code, pixels in load_file(file).items()}


def _read(folder: Path, code: str) -> Tensor:
    import numpy as np
    from PIL import Image

    file = next((f for f in (folder / f"{code}{suffix}" for suffix in SUFFIXES) if f.exists()), None)
    if file is None:
        raise FileNotFoundError(f"{folder} holds no picture {code}; expected the assets of fluent-emoji-3d")
    with Image.open(file) as picture:
        small = picture.convert("RGBA").resize((STORED, STORED), Image.Resampling.LANCZOS)
        return torch.from_numpy(np.array(small)).permute(2, 0, 1).contiguous()
