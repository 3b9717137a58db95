"""The tests' interface to a host, the same for ComfyUI and the stand-in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch

Conditioning = list[list[Any]]
Latent = dict[str, Any]


class Host(ABC):
    """A host with one MODEL and one CLIP for the whole session; tests clone the MODEL and never change it."""

    name: str
    samplers: tuple[str, ...]
    interrupt: type[BaseException]

    def run(self, node: Any, **inputs: Any) -> tuple[Any, ...]:
        """The outputs of a node; missing inputs get their defaults."""
        return tuple(self.result(node, **inputs).args)

    def result(self, node: Any, **inputs: Any) -> Any:
        """The result of a node: outputs in `args`, UI output in `ui`."""
        sockets = node.GET_SCHEMA().inputs
        defaults = {s.id: s.default for s in sockets if getattr(s, "default", None) is not None}
        with torch.inference_mode():
            return self._execute(node, {**defaults, **inputs})

    @abstractmethod
    def _execute(self, node: Any, inputs: dict[str, Any]) -> Any: ...

    @abstractmethod
    def model(self) -> Any: ...

    @abstractmethod
    def clip(self) -> Any: ...

    @abstractmethod
    def model_without_text(self) -> Any:
        """A MODEL without cross-attention."""

    @abstractmethod
    def encode(self, text: str) -> Conditioning:
        """CLIP Text Encode."""

    @abstractmethod
    def empty_latent(self, width: int, height: int, batch: int = 1) -> Latent: ...

    @abstractmethod
    def sample(
        self, model: Any, positive: Conditioning, negative: Conditioning, *, seed: int = 7, steps: int = 2,
        cfg: float = 4.0, latent: Latent | None = None, sampler: str = "euler", scheduler: str = "normal",
        denoise: float = 1.0,
    ) -> Latent:  # fmt: skip
        """KSampler."""
