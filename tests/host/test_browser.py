"""The example workflow in ComfyUI's own front end, in a real browser: it opens whole, and it runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from importlib.metadata import PackageNotFoundError, version
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from demo.server import LINK, Server

pytest_plugins = ("server_fixtures",)
pytestmark = [pytest.mark.real_host, pytest.mark.server, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "tests" / "web"
SCRIPT = WEB / "open_workflow.mjs"
WORKFLOW = ROOT / "examples_workflows" / "p2p_prompt_edit.json"
SAVED = {str(node["id"]): node for node in json.loads(WORKFLOW.read_text("utf-8"))["nodes"]}
TWIN = json.loads((WORKFLOW.parent / "api" / WORKFLOW.name).read_text("utf-8"))
BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
VUE_SINCE = (1, 33)
TITLE = 30  # pixels of a node's title, above its box
TIMEOUT = 540  # seconds


def _front_end() -> tuple[int, ...]:
    """The version that ComfyUI serves from this interpreter's packages; (0,) where it is not one of them."""
    try:
        return tuple(int(part) for part in version("comfyui-frontend-package").split("."))
    except (PackageNotFoundError, ValueError):
        return (0,)


FRONT_END = _front_end()


@pytest.fixture(scope="module")
def browser() -> str:
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        pytest.skip("needs Chromium; install it or give CHROMIUM=/path/to/chromium")
    return found


@pytest.fixture(scope="module")
def node() -> str:
    """Node.js with what the script imports, installed on first use."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if not (program and npm):
        pytest.skip("needs Node.js and npm")
    lock, done = WEB / "package-lock.json", WEB / "node_modules" / ".package-lock.json"
    if not done.is_file() or done.stat().st_mtime < lock.stat().st_mtime:
        install = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        made = subprocess.run(install, cwd=WEB, capture_output=True, text=True, timeout=180, check=False)
        if made.returncode:
            pytest.skip(f"npm could not install playwright-core: {made.stderr.strip()[-300:]}")
    return program


@pytest.fixture(scope="module")
def views(browser: str, node: str, server: Server) -> dict[str, Any]:
    """What the script saw with each of the ways in which this front end draws nodes."""
    renderers = ["canvas", "vue"] if FRONT_END >= VUE_SINCE else ["canvas"]
    out = WEB / "out"
    out.mkdir(exist_ok=True)
    prefix = out / f"{WORKFLOW.stem}_{'.'.join(map(str, FRONT_END))}"
    return json.loads(
        _output_of([node, str(SCRIPT), server.url, str(WORKFLOW), browser, str(prefix), *renderers])
    )


@pytest.fixture(params=["canvas", "vue"])
def seen(request: pytest.FixtureRequest, views: dict[str, Any]) -> dict[str, Any]:
    if request.param not in views:
        pytest.skip("this front end does not draw nodes with Vue, or only as an experiment")
    assert views[request.param]["vue"] is (request.param == "vue")
    return views[request.param]


def _output_of(command: list[str]) -> str:
    """What a command printed; it and all that it started have ended by then, in good time or by force."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    try:
        output, complaint = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        pytest.fail(f"the browser was not done within {TIMEOUT} s")
    assert process.returncode == 0, complaint
    return output


def test_no_node_is_missing(seen: dict[str, Any]) -> None:
    assert {node["id"]: node["type"] for node in seen["nodes"]} == {i: n["type"] for i, n in SAVED.items()}
    assert [node["type"] for node in seen["nodes"] if not node["known"]] == []
    assert seen["dialogs"] == []


def test_widgets_hold_what_was_saved(seen: dict[str, Any]) -> None:
    for node in seen["nodes"]:
        names = [each["name"] for each in SAVED[node["id"]]["inputs"] if "widget" in each]
        expected = {name: TWIN[node["id"]]["inputs"][name] for name in names}
        assert {name: node["widgets"].get(name) for name in names} == expected, node["type"]


def test_links_are_connected(seen: dict[str, Any]) -> None:
    for node in seen["nodes"]:
        saved = [each["name"] for each in SAVED[node["id"]]["inputs"] if each["link"] is not None]
        assert node["linked"] == saved, node["type"]


def test_the_front_end_sends_the_workflow_of_the_api_folder(seen: dict[str, Any]) -> None:
    def essence(prompt: dict[str, Any]) -> dict[str, Any]:
        return {i: (node["class_type"], node["inputs"]) for i, node in prompt.items()}

    assert essence(seen["prompt"]) == essence(TWIN)


def test_nodes_have_room_and_do_not_overlap(seen: dict[str, Any]) -> None:
    for node in seen["nodes"]:
        (_, _, *size), needed = node["box"], node["needed"]
        assert size[0] >= needed[0] and size[1] >= needed[1], node["type"]
    for a, b in combinations(seen["nodes"], 2):
        assert not _overlap(a["box"], b["box"]), f"{a['type']} and {b['type']}"


def _overlap(a: list[float], b: list[float]) -> bool:
    apart_across = a[0] + a[2] <= b[0] or b[0] + b[2] <= a[0]
    apart_down = a[1] + a[3] <= b[1] - TITLE or b[1] + b[3] <= a[1] - TITLE
    return not (apart_across or apart_down)


def test_it_runs_and_shows_two_pictures(seen: dict[str, Any]) -> None:
    assert seen["end"] == "execution_success"
    assert seen["pictures"] == {"9": 1, "10": 1}
    assert seen["widths"] == {"9": 256, "10": 256}


def test_the_edit_node_says_in_words_what_it_did(seen: dict[str, Any]) -> None:
    assert seen["summaries"] == ["swap: red → blue · kept: 5 words"]


def test_the_console_logs_no_error_of_ours(seen: dict[str, Any]) -> None:
    """A bare front end logs some of its own when it starts; none of them names the pack."""
    ours = re.compile(rf"{LINK}|P2P", re.IGNORECASE)
    assert [text for text in seen["before"] if ours.search(text)] == []
    assert [text for text in seen["afterwards"] if text not in seen["before"]] == []
