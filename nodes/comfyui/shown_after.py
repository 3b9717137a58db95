"""What a node shows after a sampling, next to what it showed when it ran.

The server sends a node's data when the node has run, which an edit node does before the sampler. After the
sampling the same message goes out again, with more in it, so the front end treats it like any other result.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from comfy_execution.utils import get_executing_context

from .keys import WINDOWS


@dataclass(frozen=True)
class Origin:
    """The node that made a step.

    node: its id in the prompt, None outside of one. shown: its data for the front end when it ran.
    """

    node: str | None
    shown: Mapping[str, Any]


def origin(shown: Mapping[str, Any]) -> Origin:
    """The node that runs now."""
    context = get_executing_context()
    return Origin(None if context is None else context.node_id, shown)


def show_after(texts: Iterable[tuple[object, str]]) -> None:
    """Shows a text on each node after a sampling. Without a front end that waits, logs it."""
    for made_by, text in texts:
        if not (isinstance(made_by, Origin) and _sent(made_by, {WINDOWS: [text]})):
            logging.info("Prompt-to-Prompt: %s", text)


def _sent(made_by: Origin, more: Mapping[str, Any]) -> bool:
    server = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
    context = get_executing_context()
    if server is None or context is None or made_by.node is None or server.client_id is None:
        return False
    message = {
        **{"node": made_by.node, "display_node": made_by.node, "prompt_id": context.prompt_id},
        "output": {**made_by.shown, **more},
    }
    server.send_sync("executed", message, server.client_id)
    return True
