"""Prompt Edit: swaps what changed, refines what was added or removed. The node for most edits."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..shared.shown import shown_prompts
from ..shared.token_edit import TokenEditNode, schema
from ..shared.types import summary


class P2PPromptEdit(TokenEditNode):
    METHOD, NAME = "edit", "Prompt Edit"

    @classmethod
    def define_schema(cls) -> io.Schema:
        told = io.String.Output(
            display_name="summary",
            tooltip="What the edit does, in words, one line for each edit prompt; the node shows it too.",
        )
        return schema(
            "P2PPromptEdit",
            cls.NAME,
            "Reads both prompts and keeps the picture: changed words are swapped, added words drawn anew, "
            "removed words taken out. The one node that most edits need.",
            [told],
        )

    @classmethod
    def output(cls, model: Any, told: str, prompts: Any) -> io.NodeOutput:
        return io.NodeOutput(model, told, ui={**summary(told), **shown_prompts(prompts)})


NODES = [P2PPromptEdit]
