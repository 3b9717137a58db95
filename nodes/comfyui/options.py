"""Our keys in the host's options, and wrappers for one sampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

KEY = "p2p.sampling"  # of our wrappers
PLAN = "p2p.plan"

Options = dict[str, Any]


def with_wrapper(options: Options, kind: str, *around: Callable[..., Any]) -> Options:
    """A copy of the options with wrappers around a step of the sampling."""
    transformer = options["transformer_options"]
    wrappers = transformer.get("wrappers", {})
    wrappers = {**wrappers, kind: {**wrappers.get(kind, {}), KEY: list(around)}}
    return {**options, "transformer_options": {**transformer, "wrappers": wrappers}}
