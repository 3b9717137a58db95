"""The pack's own socket types, and helpers that its nodes share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from comfy_api.latest import io

from ...p2p_core.architecture.layers import LayerFilter
from ...p2p_core.errors import P2PError
from ..comfyui.keys import SUMMARY

EDIT, VIEW, REAL, DEMO = (f"Prompt-to-Prompt/{name}" for name in ("Edit", "View", "Real images", "Demo"))
Prompts = io.Custom("P2P_PROMPTS")
Store = io.Custom("P2P_STORE")
TrajectorySocket = io.Custom("P2P_TRAJECTORY")
STORE_TOOLTIP = "From the Attention Store that is on the sampler's MODEL."


def found_by(*words: str) -> dict[str, Any]:
    """Schema's search aliases, where the host has them: the pack's names and what else people call a node."""
    has = "search_aliases" in getattr(io.Schema, "__dataclass_fields__", ())
    return {"search_aliases": ["prompt to prompt", "prompt-to-prompt", "p2p", *words]} if has else {}


def bound(name: str, default: float, tooltip: str, optional: bool = False) -> io.Float.Input:
    """A Float input from 0 to 1."""
    limits = {"min": 0.0, "max": 1.0, "step": 0.01, "round": 0.001}
    return io.Float.Input(name, default=default, tooltip=tooltip, optional=optional, **limits)


def require_option(name: str, value: Any, options: Iterable[str]) -> None:
    """Raises P2PError for a value that is not an option; ComfyUI 0.3.64 lets any value through."""
    if not isinstance(value, str) or value not in options:
        raise P2PError(f"{name} to be one of {', '.join(options)}", repr(value), "Choose one of them.")


def summary(text: str) -> dict[str, list[str]]:
    """UI output that the front end shows on the node (web/js/summary.js)."""
    return {SUMMARY: [text]}


def layer_choice(text: str) -> LayerFilter | None:
    """Layers from a widget's text, None for `auto`."""
    return None if text.strip().lower() == "auto" else LayerFilter(text)
