"""What backgrounds are drawn with: coordinates, random numbers and noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

PIXELS = 256  # the side of a picture


@dataclass(frozen=True)
class Canvas:
    """`count` pictures of 256 × 256 pixels. x and y run from 0 to 1, to the right and downwards."""

    count: int
    generator: torch.Generator

    @property
    def x(self) -> Tensor:
        """[1, 1, 1, 256]."""
        return self._centers.view(1, 1, 1, -1)

    @property
    def y(self) -> Tensor:
        """[1, 1, 256, 1]."""
        return self._centers.view(1, 1, -1, 1)

    @property
    def _centers(self) -> Tensor:
        return (torch.arange(PIXELS, device=self.generator.device) + 0.5) / PIXELS

    def uniform(self, low: float, high: float) -> Tensor:
        """One number per picture, [count, 1, 1, 1]."""
        return low + (high - low) * self._random(1, 1, 1)

    def color(self, red: int, green: int, blue: int) -> Tensor:
        """A flat color, [1, 3, 1, 1], from values 0..255."""
        values = torch.tensor((red, green, blue), device=self.generator.device)
        return values.view(1, 3, 1, 1) / 255

    def noise(self, across: int, down: int, octaves: int = 3) -> Tensor:
        """Smooth noise in 0..1 with `across` × `down` cells, [count, 1, 256, 256]."""
        total = sum(
            F.interpolate(self._random(1, down << i, across << i), (PIXELS,) * 2, mode="bicubic") / 2**i
            for i in range(octaves)
        )
        assert isinstance(total, Tensor)
        low, high = total.amin((2, 3), keepdim=True), total.amax((2, 3), keepdim=True)
        return (total - low) / (high - low).clamp(min=1e-6)

    def ridge(self, cells: int, octaves: int = 3) -> Tensor:
        """A smooth random line over x in 0..1, [count, 1, 1, 256]."""
        total = sum(
            F.interpolate(self._random(1, cells << i), PIXELS, mode="linear") / 2**i for i in range(octaves)
        )
        assert isinstance(total, Tensor)
        low, high = total.amin(2, keepdim=True), total.amax(2, keepdim=True)
        return ((total - low) / (high - low).clamp(min=1e-6)).unsqueeze(2)

    def grain(self) -> Tensor:
        """Noise of single pixels in 0..1, [count, 1, 256, 256]."""
        return self._random(1, PIXELS, PIXELS)

    def dots(self, number: int, radius: float, bottom: float) -> Tensor:
        """Soft dots above y = bottom, in 0..1, [count, 1, 256, 256]."""
        light = torch.zeros(self.count, 1, PIXELS, PIXELS, device=self.generator.device)
        for _ in range(number):
            x, y, r = self.uniform(0, 1), self.uniform(0, bottom), self.uniform(0.6 * radius, radius)
            light = light.maximum((-((self.x - x) ** 2 + (self.y - y) ** 2) / r**2).exp())
        return light

    def below(self, line: Tensor | float, softness: float = 0.004) -> Tensor:
        """0 above the line, 1 below it."""
        return torch.sigmoid((self.y - line) / softness)

    def _random(self, *shape: int) -> Tensor:
        return torch.rand(self.count, *shape, generator=self.generator, device=self.generator.device)


def mix(one: Tensor, other: Tensor, share: Tensor | float) -> Tensor:
    """`one` where share is 0, `other` where it is 1."""
    return one + (other - one) * share
