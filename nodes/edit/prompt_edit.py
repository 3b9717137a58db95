"""Prompt Edit: swaps changed words, refines added and removed ones. The node for most edits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from comfy_api.latest import io

from ..shared.shown import shown_prompts
from ..shared.token_edit import TokenEditNode, schema
from ..shared.types import summary


class P2PPromptEdit(TokenEditNode):
    METHOD, NAME = "edit", "Prompt Edit"

    @classmethod
    def define_schema(cls) -> io.Schema:
        text = io.String.Output(
            display_name="summary",
            tooltip="What the edit does, in words, one line per edit prompt; the node shows it too.",
        )
        return schema(
            "P2PPromptEdit",
            cls.NAME,
            "Compares both prompts and keeps the image: changed words are swapped, added words get their own "
            "attention, removed words are dropped. The one node that most edits need.",
            ("edit", "replace", "swap", "change words", "cross attention", "hertz"),
            [text],
        )

    @classmethod
    def shown(cls, description: str, prompts: Any) -> dict[str, list[Any]]:
        return {**summary(description), **shown_prompts(prompts)}

    @classmethod
    def texts(cls, description: str) -> Sequence[str]:
        return (description,)


NODES = [P2PPromptEdit]
