"""Refine: added words use their own attention, all others the source's."""

from __future__ import annotations

from comfy_api.latest import io

from ..shared.token_edit import TokenEditNode, schema


class P2PRefine(TokenEditNode):
    METHOD, NAME = "refine", "Refine"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "P2PRefine",
            cls.NAME,
            "Adds words and keeps the image: words in both prompts use the source's attention, new words "
            "their own. Removed words are no longer drawn.",
            ("add words", "cross attention"),
        )


NODES = [P2PRefine]
