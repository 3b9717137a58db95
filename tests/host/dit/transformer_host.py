"""ComfyUI with a tiny transformer and its text encoder, for tests that take any host."""

from __future__ import annotations

from typing import Any

import torch
from adapter import Latent
from adapter_comfy import ComfyUI
from test_end_to_end import CHECKPOINTS, tiny_model
from text_encoders import tiny_clip


class TransformerHost(ComfyUI):
    """name: of a checkpoint. Sizes are in pixels of 8 × 8 to a cell of its test latent's scale."""

    def __init__(self, name: str) -> None:
        self.checkpoint = CHECKPOINTS[name]
        self._model, self._clip = tiny_model(name), tiny_clip(self.checkpoint.encoder, attends=True)

    def model(self) -> Any:
        return self._model

    def clip(self) -> Any:
        return self._clip

    def empty_latent(self, width: int, height: int, batch: int = 1) -> Latent:
        *others, rows, _ = self.checkpoint.latent  # of 64 pixels
        cell = 64 // rows
        return {"samples": torch.zeros(batch, *others, height // cell, width // cell)}
