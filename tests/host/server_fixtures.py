"""A pytest plugin: one ComfyUI server with the pack linked in, shared by all tests of a session.

A test module lists it in `pytest_plugins`; imported fixtures would start a server for each module.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.comfyui.find import ComfyInstall
from tools.comfyui.server import Server, comfy_server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    comfy = os.environ.get("P2P_HOST")
    if not comfy:
        pytest.skip("needs ComfyUI itself; set COMFYUI_PATH=/path/to/ComfyUI")
    with comfy_server(ComfyInstall(Path(comfy), Path(sys.executable), "of this suite")) as server:
        yield server


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """A failed test shows the server's log."""
    report = yield
    server = getattr(item, "funcargs", {}).get("server")
    if server is not None and report.failed:
        report.sections.append(("log of the ComfyUI server", server.log[-6000:]))
    return report
