"""Whether the attention of a model's blocks reaches the override: edits that never act raise an error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ...p2p_core.errors import P2PError


class ArrivalCheck:
    """Checks the calls of the model of one run. A cache may skip the blocks in any call but the first one."""

    def __init__(self, name: str) -> None:
        self.name, self.arrived = name, False

    def __call__(self, made: Counter[Any], others: Sequence[tuple[int, int]]) -> None:
        """made: attention calls by kind; others: (queries, keys) of calls in a block that fit no kind."""
        if any(count for kind, count in made.items() if kind != "text"):
            self.arrived = True
        elif others:
            queries, keys = others[0]
            raise P2PError(
                f"attention over the text and the image tokens of {self.name}",
                f"{queries} queries on {keys} keys",
                "Remove the node that adds tokens to this model or takes some out.",
            )
        elif not self.arrived:
            raise P2PError(
                f"attention of {self.name} through ComfyUI",
                "none",
                "Remove the node that replaces this model's forward pass or its blocks (TeaCache, NAG), or "
                "load the model with ComfyUI's own loader.",
            )
