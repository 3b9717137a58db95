"""One loop for every model: AdamW, a rate that falls at a run's end, a moving average, checkpoints.

A checkpoint holds the moving average in half precision: what is shipped is what training resumes from.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from . import shards

SAVE_EVERY = 120.0  # seconds
WARM_UP = 100  # steps
FALLING = 0.4  # the last share of a run, over which the rate falls to zero
REPORT_EVERY = 50  # steps
COUNTS = "counts"


@dataclass(frozen=True)
class Recipe:
    """batch: samples per step. rate: AdamW's highest. average: the moving average's decay per step."""

    batch: int
    rate: float
    average: float


class Training:
    """A model with its moving average, kept in a folder and resumed from there.

    steps, samples: of all runs together.
    """

    def __init__(self, model: nn.Module, folder: Path, recipe: Recipe) -> None:
        self.model, self.folder, self.recipe = model, folder, recipe
        saved = shards.load(folder)
        self.steps, self.samples = saved.pop(COUNTS, torch.zeros(2, dtype=torch.long)).tolist()
        if saved:
            model.load_state_dict(saved)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.average = [p.detach().clone() for p in self.parameters]
        self.optimizer = torch.optim.AdamW(self.parameters, betas=(0.9, 0.98), weight_decay=1e-2, fused=True)

    def run(self, loss: Callable[[int], Tensor], seconds: float) -> None:
        """Train for so long. loss: the mean loss of a batch of so many samples."""
        started = saved = time.monotonic()
        first, losses = self.steps, torch.zeros((), device=self.average[0].device)
        while (elapsed := time.monotonic() - started) < seconds:
            losses += self._step(loss(self.recipe.batch), self.steps - first, elapsed / seconds)
            if (self.steps - first) % REPORT_EVERY == 0:
                speed = (self.steps - first) * self.recipe.batch / (time.monotonic() - started)
                self._report(elapsed, losses.item() / REPORT_EVERY, speed)
                losses.zero_()
            if time.monotonic() - saved > SAVE_EVERY:
                self.save()
                saved = time.monotonic()
        self.save()

    def _step(self, loss: Tensor, step: int, fraction: float) -> Tensor:
        """step and fraction: of this run."""
        rate = self.recipe.rate * min(1, (step + 1) / WARM_UP) * min(1, (1 - fraction) / FALLING)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.steps += 1
        self.samples += self.recipe.batch
        keep = min(self.recipe.average, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - keep)
        return loss.detach()

    def _report(self, elapsed: float, loss: float, speed: float) -> None:
        print(
            f"{self.folder.name} {elapsed:.0f} s: step {self.steps}, {self.samples:,} samples, "
            f"loss {loss:.4f}, {speed:.1f} samples/s",
            flush=True,
        )

    def save(self) -> None:
        names = [name for name, p in self.model.named_parameters() if p.requires_grad]
        state = self.model.state_dict() | dict(zip(names, self.average, strict=True))
        halves = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
        shards.save(halves | {COUNTS: torch.tensor([self.steps, self.samples])}, self.folder)


def load_into(model: nn.Module, folder: Path) -> None:
    """Fill the model with a checkpoint's weights."""
    saved = shards.load(folder)
    if not saved:
        raise FileNotFoundError(f"{folder} holds no checkpoint; train that model first")
    del saved[COUNTS]
    model.load_state_dict(saved)
