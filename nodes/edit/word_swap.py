"""Word Swap: the edit keeps the source's attention, so words change and the image stays."""

from __future__ import annotations

from comfy_api.latest import io

from ..shared.token_edit import TokenEditNode, schema


class P2PWordSwap(TokenEditNode):
    METHOD, NAME = "swap", "Word Swap"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "P2PWordSwap",
            cls.NAME,
            "Changes words and keeps the image: inside the windows the edit uses the source's attention.",
            ("replace", "swap", "cross attention"),
        )


NODES = [P2PWordSwap]
