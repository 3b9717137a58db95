"""One loop for every model: AdamW, a rate that falls at a run's end, a moving average, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from . import shards

SAVE_EVERY = 120.0  # seconds
WARM_UP = 200  # steps
FALLING = 0.4  # the last share of a run, over which the rate falls to zero
REPORT_EVERY = 50  # steps


@dataclass(frozen=True)
class Recipe:
    """batch: samples per step. rate: AdamW's highest. average: the moving average's decay per step."""

    batch: int
    rate: float
    average: float


class Training:
    """A model's weights with optimizer state and moving average, kept in a folder and resumed from there."""

    def __init__(self, model: nn.Module, folder: Path, recipe: Recipe) -> None:
        self.model, self.folder, self.recipe = model, folder, recipe
        self.parameters = dict(model.named_parameters())
        self.average = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.optimizer = torch.optim.AdamW(
            model.parameters(), recipe.rate, betas=(0.9, 0.98), weight_decay=1e-2
        )
        self.steps = self.samples = 0
        self._resume()

    def run(self, loss: Callable[[int], Tensor], seconds: float) -> None:
        """Train for so long. loss: the mean loss of a batch of so many samples."""
        started = saved = time.monotonic()
        smooth, first = 0.0, self.steps
        while (elapsed := time.monotonic() - started) < seconds:
            value = self._step(loss(self.recipe.batch), elapsed / seconds)
            if self.steps % REPORT_EVERY == 0 or self.steps == first + 1:
                smooth = value.item() if not smooth else 0.8 * smooth + 0.2 * value.item()
                speed = (self.steps - first) * self.recipe.batch / (time.monotonic() - started)
                print(
                    f"{self.folder.name} {elapsed:5.0f} s, step {self.steps}, {self.samples:,} samples, "
                    f"loss {smooth:.4f}, {speed:.1f} samples/s",
                    flush=True,
                )
            if time.monotonic() - saved > SAVE_EVERY:
                self.save()
                saved = time.monotonic()
        self.save()

    def _step(self, loss: Tensor, fraction: float) -> Tensor:
        rate = (
            self.recipe.rate
            * min(1, (self.steps + 1) / WARM_UP)
            * min(1, max(0.01, (1 - fraction) / FALLING))
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.steps += 1
        self.samples += self.recipe.batch
        keep = min(self.recipe.average, (1 + self.steps) / (10 + self.steps))
        averages, values = list(self.average.values()), [p.detach() for p in self.parameters.values()]
        torch._foreach_lerp_(averages, values, 1 - keep)
        return loss.detach()

    def save(self) -> None:
        tensors = {f"weights/{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"average/{name}": value for name, value in self.average.items()}
        for name, parameter in self.parameters.items():
            state = self.optimizer.state[parameter]
            tensors |= {f"{key}/{name}": state[key] for key in ("exp_avg", "exp_avg_sq")}
        tensors["counts"] = torch.tensor([self.steps, self.samples])
        shards.save(tensors, self.folder)

    def _resume(self) -> None:
        tensors = shards.load(self.folder, next(self.model.parameters()).device)
        if not tensors:
            return
        self.model.load_state_dict(_named(tensors, "weights"))
        self.average = _named(tensors, "average")
        self.steps, self.samples = tensors["counts"].tolist()
        for name, parameter in self.parameters.items():
            self.optimizer.state[parameter] = {
                "step": torch.tensor(float(self.steps)),
                "exp_avg": tensors[f"exp_avg/{name}"],
                "exp_avg_sq": tensors[f"exp_avg_sq/{name}"],
            }


def averaged(folder: Path, device: torch.device) -> dict[str, Tensor]:
    """The weights of a checkpoint with the moving average in the parameters' place."""
    tensors = shards.load(folder, device)
    if not tensors:
        raise FileNotFoundError(f"{folder} holds no checkpoint; train it first")
    return _named(tensors, "weights") | _named(tensors, "average")


def _named(tensors: dict[str, Tensor], group: str) -> dict[str, Tensor]:
    return {name.split("/", 1)[1]: value for name, value in tensors.items() if name.startswith(group + "/")}
