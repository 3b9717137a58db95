"""The host's options with wrappers for one sampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .keys import SAMPLING

Options = dict[str, Any]


def with_wrapper(options: Options, kind: str, *around: Callable[..., Any]) -> Options:
    """A copy of the options with wrappers around a step of the sampling."""
    transformer = options["transformer_options"]
    wrappers = transformer.get("wrappers", {})
    wrappers = {**wrappers, kind: {**wrappers.get(kind, {}), SAMPLING: list(around)}}
    return {**options, "transformer_options": {**transformer, "wrappers": wrappers}}
