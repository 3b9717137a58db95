"""Refine: added words draw with attention of their own, all others with the source's."""

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
            "Adds words and keeps the picture: words of both prompts are drawn with the source's attention, "
            "new words with their own. Removed words no longer draw anything.",
        )


NODES = [P2PRefine]
