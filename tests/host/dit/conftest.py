"""Tiny models are shared within a file and freed after it: each load of the host looks at all models left."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)


@pytest.fixture(scope="module", autouse=True)
def freed_models() -> Iterator[None]:
    yield
    if "comfy.ldm.flux.model" not in sys.modules:  # on the stand-in
        return
    import comfy.model_management

    ours = [m for m in sys.modules.values() if str(getattr(m, "__file__", "")).startswith(HERE)]
    for value in (value for module in ours for value in vars(module).values()):
        if callable(clear := getattr(value, "cache_clear", None)):
            clear()
    comfy.model_management.unload_all_models()
    gc.collect()
