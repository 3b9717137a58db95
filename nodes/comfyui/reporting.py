"""Lines that a sampling shows on a node of the graph that runs."""

from __future__ import annotations

import logging
import sys
from typing import Any


def show_on_node(node: str | None, text: str) -> None:
    """Show a line on a node and in the log. node: the host's id of it, None for the log alone."""
    logging.info("Prompt-to-Prompt: %s", text)
    server: Any = sys.modules.get("server")
    running = getattr(getattr(server, "PromptServer", None), "instance", None)
    if node is not None and running is not None:
        running.send_progress_text(text, node)
