"""What the models learn from: endless latents of scenes with their token ids, made on the device.

`python -m demo.training.latents THINGS` prints the statistics that normalize them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ..model.decoder import FACTOR
from ..things import assets
from ..things.tokens import Tokens
from ..things.world import Scenes, World

SCALE = 4  # scenes are drawn at 64 × 64 pixels; their averages are the 32 × 32 latents
MEAN = (0.255, 0.295, 0.275)  # of the thumbnails' channels
STD = 0.50
CAPTION_DROPOUT = 0.1


class Latents:
    """Draws batches of latents [B, 3, 32, 32] and token ids [B, 77]."""

    def __init__(self, pictures: Mapping[str, Tensor], device: torch.device, seed: int) -> None:
        self.world = World(pictures, SCALE, device)
        self.tokens = Tokens(device)
        self.generator = torch.Generator(device).manual_seed(seed)

    def batch(self, count: int) -> tuple[Tensor, Tensor]:
        """A share CAPTION_DROPOUT of the captions is empty, for classifier-free guidance."""
        scenes = self.scenes(count)
        dropped = torch.rand(count, generator=self.generator, device=self.generator.device) < CAPTION_DROPOUT
        ids = torch.where(dropped[:, None], self.tokens.empty, self.tokens(scenes.words))
        return encoded(scenes.pictures, FACTOR // SCALE), ids

    def scenes(self, count: int, held: bool = False) -> Scenes:
        return self.world.scenes(self.world.layouts(count, self.generator, held), self.generator)


def encoded(pictures: Tensor, factor: int = FACTOR) -> Tensor:
    """Pictures [B, 3, H, W] in -1..1 to latents: averages over factor × factor pixels, normalized."""
    mean = torch.tensor(MEAN, device=pictures.device).view(1, 3, 1, 1)
    return (F.avg_pool2d(pictures, factor) - mean) / STD


def stratified(count: int, generator: torch.Generator) -> Tensor:
    """Numbers in 0..1, one in each of `count` equal parts, shuffled, [count]."""
    order = torch.randperm(count, generator=generator, device=generator.device)
    return (order + torch.rand(count, generator=generator, device=generator.device)) / count


def main() -> None:
    latents = Latents(assets.load(Path(sys.argv[1])), torch.device("cpu"), seed=0)
    batches = [F.avg_pool2d(latents.scenes(200).pictures, FACTOR // SCALE) for _ in range(10)]
    thumbnails = torch.cat(batches)
    mean = thumbnails.mean((0, 2, 3), keepdim=True)
    print(
        "mean",
        [round(v, 3) for v in mean.flatten().tolist()],
        "std",
        round(float((thumbnails - mean).std()), 3),
    )


if __name__ == "__main__":
    main()
