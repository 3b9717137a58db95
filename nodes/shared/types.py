"""The pack's own socket types and what its nodes share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from comfy_api.latest import io

from ...p2p_core.architecture.layers import LayerFilter
from ...p2p_core.errors import P2PError

CATEGORY = "Prompt-to-Prompt"
Prompts = io.Custom("P2P_PROMPTS")
Store = io.Custom("P2P_STORE")
TrajectorySocket = io.Custom("P2P_TRAJECTORY")
STORE_TOOLTIP = "From Attention Store, the one that the sampler's MODEL went through."


def bound(name: str, default: float, tooltip: str) -> io.Float.Input:
    """A number from 0 to 1."""
    return io.Float.Input(name, default=default, min=0.0, max=1.0, step=0.01, round=0.001, tooltip=tooltip)


def require_option(name: str, value: Any, options: Iterable[str]) -> None:
    """Raises P2PError for a value that its list does not have; ComfyUI 0.3.64 lets any value through."""
    if not isinstance(value, str) or value not in options:
        raise P2PError(f"a {name} of its list, {', '.join(options)}", repr(value), "Choose one of them.")


def summary(told: str) -> dict[str, list[str]]:
    """What the front end shows on the node (web/js/summary.js)."""
    return {"p2p_summary": [told]}


def layer_choice(text: str) -> LayerFilter | None:
    """Layers as a widget has them, None for `auto`."""
    return None if text.strip().lower() == "auto" else LayerFilter(text)
