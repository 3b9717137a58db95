"""The methods to edit a real picture, here and on PIE-Bench."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TARGET, NOISE = "euler at target level", "edit-friendly noise"


@dataclass(frozen=True)
class Way:
    """A method to edit an inverted picture. real: options of RealImage; blend: with Local Blend."""

    method: str
    real: Mapping[str, Any]
    blend: bool = False


FREE, AWAY = {"pin": False}, {"pin": False, "negative": "source prompt"}
WAYS: Mapping[str, Way] = {
    "DDIM inversion": Way(TARGET, FREE),
    "negative-prompt inversion": Way(TARGET, AWAY),
    "proximal guidance": Way(TARGET, {**AWAY, "quantile": 0.75}),
    "null-text inversion": Way("null text", {"pin": False, "negative": "null text"}),
    "pinned": Way(TARGET, {}),
    "pinned, fixed point": Way("fixed point", {}),
    "pinned, edit-friendly noise": Way(NOISE, {}),
    "pinned, Local Blend": Way(TARGET, {}, blend=True),
}
