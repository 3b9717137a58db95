"""Paired batches that are too large: refused, or a warning, before anything is sampled."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from graphs import SOURCE, Graph

pytestmark = pytest.mark.host


def test_latents_that_would_be_too_large_are_refused(graph: Graph, error: type[Exception]) -> None:
    prompts, positive = graph.pair(SOURCE, "\n---\n".join([SOURCE] * 40))
    model, channels = graph.swapped(prompts), graph.plain().shape[1]
    latent = {"samples": torch.zeros(1).expand(4, channels, 2048, 1024)}
    expected = rf"4 samples × 41 prompts = 164 latents of 1024 × 2048: {164 * channels * 2**23 / 1e9:.1f} GB"
    with pytest.raises(error, match=expected + r"\. Use fewer samples, fewer edits, or smaller images"):
        graph.sample(model, positive, latent=latent)


def test_more_than_the_device_has_is_a_warning(
    graph: Graph, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    prompts, positive = graph.pair()
    model: Any = graph.swapped(prompts)
    with caplog.at_level(logging.WARNING):
        graph.sample(model, positive)
        assert "may need" not in caplog.text
        monkeypatch.setattr(model.model, "memory_required", lambda shape, **more: shape[0] * 1e15)
        graph.sample(model, positive)
    assert "1 samples × 2 prompts = 2 latents of 8 × 8 may need 2,000,000.0 GB" in caplog.text
