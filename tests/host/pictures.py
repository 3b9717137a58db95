"""Images that are inverted and edited, for the tests of real images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from graphs import OPEN, SOURCE, Graph
from torch import Tensor

STEPS = 4


@dataclass(frozen=True)
class Gallery:
    """Images of the source prompt and their trajectories. settings: widgets of Invert."""

    graph: Graph
    _known: dict[Any, Any] = field(default_factory=dict)

    def source(self, text: str = SOURCE) -> Any:
        """The source prompt's CONDITIONING, from a Prompt Pair without an edit."""
        return self.graph.pair(text, "")[1]

    def picture(self, samples: int = 1, size: tuple[int, int] = (64, 64)) -> Tensor:
        """Latents in the MODEL's range, with arbitrary values. [B, C, h, w]"""
        if (samples, size) not in self._known:
            latent = self.graph.host.empty_latent(*size, batch=samples)
            model, prompt = self.graph.host.model(), self.graph.host.encode(SOURCE)
            drawn = self.graph.sample(model, prompt, latent=latent, steps=6)
            self._known[samples, size] = drawn * 0.987
        return self._known[samples, size]

    def inverted(self, picture: Tensor | None = None, **settings: Any) -> Any:
        """A trajectory, in few steps."""
        key = None if picture is not None else tuple(sorted((k, str(v)) for k, v in settings.items()))
        if key is None or key not in self._known:
            samples = self.picture() if picture is None else picture
            inputs = {"model": self.graph.host.model(), "source": self.source(), "steps": STEPS, **settings}
            node = self.graph.node["P2PInvert"]
            (found,) = self.graph.host.run(node, latent={"samples": samples}, **inputs)
            if key is None:
                return found
            self._known[key] = found
        return self._known[key]

    def edited(self, trajectory: Any, windows: dict[str, Any] = OPEN, **options: Any) -> Tensor:
        """Word Swap on an image: rows of sources and edits. Options of Real Image and of the sampler. away:
        the sampler's negative."""
        own = {
            k: options.pop(k)
            for k in ("pin", "negative", "source_share", "proximal", "restore", "control", "control_end")
            if k in options
        }
        prompts, positive = options.pop("pair", None) or self.graph.pair()
        model, latent = self.graph.on(
            "RealImage", prompts, options.pop("model", None), trajectory=trajectory, **own
        )
        if prompts.edits:
            model = self.graph.swapped(prompts, model, **windows)
        away = {"negative": options.pop("away")} if "away" in options else {}
        return self.sampled(model, positive, **{"latent": latent, **options, **away})

    def sampled(self, model: Any, positive: Any, latent: Any = None, **options: Any) -> Tensor:
        return self.graph.sample(model, positive, **{"latent": latent, "steps": STEPS, **options})


def apart(a: Tensor, b: Tensor) -> float:
    """Mean difference relative to the size of b."""
    return float((a - b).abs().mean() / b.abs().mean())


def finite(rows: Tensor) -> bool:
    return bool(torch.isfinite(rows).all())
