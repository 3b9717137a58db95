"""Windows by the purpose of an edit: one table for all architectures and numbers of steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from ..architecture.names import Architecture
from ..words.windows import Schedule, Window, Windows

Preset = Literal["balanced", "recolour", "reshape", "restyle", "add something", "free"]
PRESETS: tuple[Preset, ...] = get_args(Preset)
FEW = 20
"""Below this number of steps, windows hold a share of the steps."""


@dataclass(frozen=True)
class Ends:
    """Where the windows of cross- and self-attention end; both start at 0.

    few: the share of the steps that both hold where there are fewer than `FEW`; None: as with many steps.
    """

    cross: float
    self_attention: float
    few: float | None = None

    @property
    def windows(self) -> Windows:
        return Windows(Window(0.0, self.cross), Window(0.0, self.self_attention))

    def windows_in(self, schedule: Schedule) -> Windows:
        if self.few is None or schedule.steps >= FEW:
            return self.windows
        window = Window(0.0, schedule.first(self.few))
        return Windows(window, window)


_ALONE = Ends(0, 0)
TABLE: Mapping[Architecture, Mapping[Preset, Ends]] = {
    # measured: docs/edit_quality.md
    "unet": {
        "balanced": Ends(0.4, 0.6),
        "recolour": Ends(0.8, 0.8),
        "reshape": Ends(0.3, 0.2),
        "restyle": Ends(0.5, 0.2),
        "add something": Ends(0.2, 0.6),
        "free": _ALONE,
    },
    # no published values: those of joint attention
    "separate": {"balanced": Ends(0.4, 0.2, few=0.25), "free": _ALONE},
    # self window: Shin et al. (arXiv 2508.07519), 0.2 of 28 steps and 1 of 4; of recolour and restyle:
    # ConsistEdit (arXiv 2510.17803), for colour and material, and for style
    "joint": {
        "balanced": Ends(0.4, 0.2, few=0.25),
        "recolour": Ends(0.4, 1.0, few=0.25),
        "restyle": Ends(0.4, 0.3, few=0.25),
        "free": _ALONE,
    },
}


def ends_of(preset: Preset, architecture: Architecture) -> Ends:
    """The row of a preset; that of `balanced` if the architecture has none of its own."""
    rows = TABLE[architecture]
    return rows.get(preset, rows["balanced"])
