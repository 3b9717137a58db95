"""Checks of a model against its row in the table of families, made in the first model call of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from ...p2p_core.errors import P2PError
from ...p2p_core.rows import Batch
from ...p2p_core.words.prompts import PromptSet
from .model_call import ModelCall

SAME = 0.02  # of the largest key: rounding makes less of equal keys, another word more


def require_calls(call: ModelCall, is_first: bool) -> None:
    """Raises P2PError unless in a finished model call all blocks attended to text, equally often.

    A cache may skip blocks in any call but the first one.
    """
    kind = "joint" if call.family.tokens.joint else "cross"
    made, wanted = call.made[kind], len(call.layers)
    if not made and call.others:
        queries, keys = call.others[0]
        raise P2PError(
            f"attention over the text and the image tokens of {call.family.name}",
            f"{queries} queries on {keys} keys",
            "Remove the node that adds tokens to this model or takes some out.",
        )
    if is_first and (not made or made % wanted):  # Wan I2V attends twice if it gets no picture
        raise P2PError(
            f"{wanted} {kind}-attention calls in the first model call of {call.family.name}, one per block",
            str(made),
            "Remove the node that replaces this model's forward pass, its blocks or its attention (TeaCache, "
            "NAG), or load the model with ComfyUI's own loader.",
        )


class LayoutCheck:
    """Compares a model's keys with the layout of its tokens, before the first model call of a run.

    The model runs up to its first joint attention call, on rows that differ in their text alone within each
    sample. So key columns that differ between source and edit have to be columns of text.
    """

    def __init__(self, prompts: PromptSet, paired: tuple[bool, ...], batch: int) -> None:
        self.prompts, self.batch = prompts, batch
        self.rows = Batch(batch, paired, prompts.count).rows

    def alike(self, value: Any) -> Any:
        """An input of the model with the source's in all rows of its sample. Other values as they are."""
        if isinstance(value, list):  # reference latents
            return [self.alike(each) for each in value]
        if not isinstance(value, Tensor) or not value.ndim or len(value) != self.batch:
            return value
        origins = {row.row: row.source for row in self.rows}
        return value[[origins.get(row, row) for row in range(self.batch)]]

    def __call__(self, run: Callable[[ModelCall], Any], call: ModelCall) -> None:
        """run: calls the model on such inputs. Raises P2PError where the layout is another."""
        try:
            run(replace(call, made=Counter()))
        except FirstKeys as first:
            self._compare(first.keys, call)

    def _compare(self, keys: Tensor, call: ModelCall) -> None:
        edits = [row for row in self.rows if row.prompt]
        source, edit = (keys[rows] for rows in ([r.source for r in edits], [r.row for r in edits]))
        apart = (source - edit).abs().float()
        apart = apart.amax(dim=(0, 1, 3) if apart.ndim == 4 else (0, 2)) > SAME * keys.abs().max()
        columns = apart.nonzero().flatten().tolist()
        inside = call.layout.of_prompts([prompt.columns for prompt in self.prompts.prompts])
        if any(not inside.start <= column < inside.stop for column in columns):
            raise P2PError(
                f"text in the columns {inside.start} to {inside.stop - 1} of {call.family.name}",
                f"text in the columns {columns[0]} to {columns[-1]}",
                "This version of the model lays out its tokens in another way; please report it.",
            )


class FirstKeys(Exception):
    """Ends a model call at its first joint attention call. keys: of that call, [B, L, C] or [B, H, L, C]."""

    def __init__(self, keys: Tensor) -> None:
        super().__init__()
        self.keys = keys
