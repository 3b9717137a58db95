"""Pictures of things that a test draws itself, so that no test needs the real ones."""

from __future__ import annotations

import torch
from torch import Tensor

from demo.things.assets import CODES

SIDE = 64


def fake_pictures() -> dict[str, Tensor]:
    """Code to picture [4, 64, 64]: a disc of a color of its own with a transparent border."""
    steps = torch.linspace(-1, 1, SIDE)
    disc = (steps[:, None] ** 2 + steps[None, :] ** 2 < 0.8).float()
    colors = torch.rand(len(CODES), 3, generator=torch.Generator().manual_seed(0))
    return {
        code: torch.cat([color.view(3, 1, 1) * disc, disc[None]])
        for code, color in zip(CODES, colors, strict=True)
    }
