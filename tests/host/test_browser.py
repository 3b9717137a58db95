"""The pack in ComfyUI's own front end, in a real browser, with each node renderer.

tests/web/visit.mjs opens and uses it once per session; these tests check its observations. Its screenshots
are in tests/web/out.
"""

from __future__ import annotations

import fcntl
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

from tools.comfyui.server import LINK, Server
from tools.workflows.transformer_list import TRANSFORMER_WORKFLOWS

pytest_plugins = ("server_fixtures",)
pytestmark = [pytest.mark.real_host, pytest.mark.server, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "tests" / "web"
SCRIPT = WEB / "visit.mjs"
FOLDER = ROOT / "example_workflows"
PICTURES = {
    "p2p_prompt_edit": {"9": 1, "10": 1},
    "p2p_attention_maps": {"9": 1, "10": 1, "17": 3},
    "p2p_local_blend": {"9": 1, "10": 1, "17": 1},
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
VUE_SINCE = (1, 33)
TITLE = 30  # pixels of a node's title, above its box
TIMEOUT = 900  # seconds


def _front_end() -> tuple[int, ...]:
    """The front-end version in this interpreter's packages; (0,) if it is not installed there."""
    try:
        return tuple(int(part) for part in version("comfyui-frontend-package").split("."))
    except (PackageNotFoundError, ValueError):
        return (0,)


FRONT_END = _front_end()
RENDERERS = ["canvas", "vue"] if FRONT_END >= VUE_SINCE else ["canvas"]  # before that, Vue was experimental
LATER = {workflow.name for workflow in TRANSFORMER_WORKFLOWS}  # ComfyUI 0.3.64 lacks some of their nodes
NAMES = sorted({file.stem for file in FOLDER.glob("*.json")} - (set() if FRONT_END >= VUE_SINCE else LATER))
READ = {name: json.loads((FOLDER / f"{name}.json").read_text("utf-8")) for name in NAMES}
TWINS = {name: json.loads((FOLDER / "api" / f"{name}.json").read_text("utf-8")) for name in NAMES}


@pytest.fixture(scope="module")
def browser() -> str:
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        pytest.skip("needs Chromium; install it or give CHROMIUM=/path/to/chromium")
    return found


@pytest.fixture(scope="module")
def node() -> str:
    """Node.js with the script's packages, installed on first use."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if not (program and npm):
        pytest.skip("needs Node.js and npm")
    lock, done = WEB / "package-lock.json", WEB / "node_modules" / ".package-lock.json"
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # another host's tests may be doing the same
        if not done.is_file() or done.stat().st_mtime < lock.stat().st_mtime:
            install = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            made = subprocess.run(install, cwd=WEB, capture_output=True, text=True, timeout=180, check=False)
            if made.returncode:
                pytest.skip(f"npm could not install what the tests need: {made.stderr.strip()[-300:]}")
    return program


@pytest.fixture(scope="module")
def views(
    browser: str, node: str, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The script's observations with each node renderer of this front end."""
    folder = tmp_path_factory.mktemp("workflows")
    for name in NAMES:
        shutil.copy(FOLDER / f"{name}.json", folder)
    out = WEB / "out"
    out.mkdir(exist_ok=True)
    prefix = out / ".".join(map(str, FRONT_END))
    return json.loads(
        _output_of([node, str(SCRIPT), server.url, str(folder), browser, str(prefix), *RENDERERS])
    )


@pytest.fixture(params=RENDERERS)
def seen(request: pytest.FixtureRequest, views: dict[str, Any]) -> dict[str, Any]:
    assert {each["vue"] for each in views[request.param]["opened"].values()} == {request.param == "vue"}
    return views[request.param]


def _output_of(command: list[str]) -> str:
    """The output of a command. It and its children have ended by then, on their own or killed."""
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


# When it opens


def saved(name: str) -> dict[str, dict[str, Any]]:
    return {str(node["id"]): node for node in READ[name]["nodes"]}


@pytest.mark.parametrize("name", NAMES)
def test_no_node_is_missing(seen: dict[str, Any], name: str) -> None:
    opened = seen["opened"][name]
    assert {node["id"]: node["type"] for node in opened["nodes"]} == {
        i: n["type"] for i, n in saved(name).items()
    }
    assert [node["type"] for node in opened["nodes"] if not node["known"]] == []
    assert opened["dialogs"] == []


@pytest.mark.parametrize("name", NAMES)
def test_widgets_hold_what_was_saved(seen: dict[str, Any], name: str) -> None:
    for node in seen["opened"][name]["nodes"]:
        names = [each["name"] for each in saved(name)[node["id"]]["inputs"] if "widget" in each]
        expected = {each: TWINS[name][node["id"]]["inputs"][each] for each in names}
        assert {each: node["widgets"].get(each) for each in names} == expected, node["type"]


@pytest.mark.parametrize("name", NAMES)
def test_links_are_connected(seen: dict[str, Any], name: str) -> None:
    for node in seen["opened"][name]["nodes"]:
        linked = [each["name"] for each in saved(name)[node["id"]]["inputs"] if each["link"] is not None]
        assert node["linked"] == linked, node["type"]


@pytest.mark.parametrize("name", NAMES)
def test_the_front_end_sends_the_workflow_of_the_api_folder(seen: dict[str, Any], name: str) -> None:
    def essence(prompt: dict[str, Any]) -> dict[str, Any]:
        return {i: (node["class_type"], node["inputs"]) for i, node in prompt.items()}

    assert essence(seen["opened"][name]["prompt"]) == essence(TWINS[name])


@pytest.mark.parametrize("name", NAMES)
def test_nodes_have_room_and_do_not_overlap(seen: dict[str, Any], name: str) -> None:
    nodes = seen["opened"][name]["nodes"]
    for node in nodes:
        (_, _, *size), needed = node["box"], node["needed"]
        assert size[0] >= needed[0] and size[1] >= needed[1], node["type"]
    for a, b in combinations(nodes, 2):
        assert not _overlap(a["box"], b["box"]), f"{a['type']} and {b['type']}"


def _overlap(a: list[float], b: list[float]) -> bool:
    apart_across = a[0] + a[2] <= b[0] or b[0] + b[2] <= a[0]
    apart_down = a[1] + a[3] <= b[1] - TITLE or b[1] + b[3] <= a[1] - TITLE
    return not (apart_across or apart_down)


# When it runs


@pytest.mark.parametrize("name", PICTURES)
def test_it_runs_and_shows_its_pictures(seen: dict[str, Any], name: str) -> None:
    opened = seen["opened"][name]
    assert opened["end"] == "execution_success"
    assert opened["pictures"] == PICTURES[name]
    assert all(width >= 256 for width in opened["widths"].values())


def test_the_edit_node_says_in_words_what_it_did(seen: dict[str, Any]) -> None:
    told = seen["opened"]["p2p_prompt_edit"]["panels"]["What the edit does"]
    assert told.startswith("swap: red → blue · kept: 5 words")
    held = "cross window 0-0.4: 3 of 6 steps · self window 0-0.6: 4 of 6 steps"
    assert held in told, "it comes after the sampling"


def test_the_prompts_are_shown_word_by_word_on_both_nodes(seen: dict[str, Any]) -> None:
    kept = [["kept", word] for word in ("a", "house", "in", "the", "sky")]
    expected = [kept[0], ["swapped", "red", "blue"], *kept[1:]]
    assert seen["opened"]["p2p_prompt_edit"]["chips"] == expected * 2


def test_before_a_run_a_panel_says_what_to_do(views: dict[str, Any]) -> None:
    """With the first renderer; later ones may know the last run."""
    for opened in next(iter(views.values()))["opened"].values():
        assert all(text.startswith("Run the graph") for text in opened.get("empty", {}).values())


def test_pointing_at_a_word_shows_its_map_and_sliders_choose_steps_and_layers(seen: dict[str, Any]) -> None:
    maps = seen["maps"]
    (first, one), (hovered, two), (last, three) = maps["first"], maps["hovered"], maps["last"]
    assert first == "Where “circle” attends: source, all steps, chosen layers"
    assert hovered == "Where “star” attends: source, all steps, chosen layers"
    assert last == f"Where “grass” attends: source, part 2 of 2, {maps['layers']}"
    assert len({one, two, three}) == 3, "the pictures differ"


def test_a_mask_is_shown_and_another_threshold_without_a_run(seen: dict[str, Any]) -> None:
    first, higher = (re.match(r"(\d+) %", seen["masks"][key]) for key in ("first", "higher"))
    assert first and higher and int(higher[1]) < int(first[1])
    assert seen["masks"]["first"].endswith("with the threshold of the run, 0.30")
    assert seen["masks"]["higher"].endswith("with threshold 0.60 (the run used 0.30)")
    assert seen["masks"]["threshold"] == 0.6


def test_source_and_edit_are_divided_by_keyboard_and_by_pointer(seen: dict[str, Any]) -> None:
    compare = seen["compare"]
    assert (compare["keyed"], compare["dragged"]) == ("52", "25")
    assert re.match(r"PSNR over the image \d+\.\d dB\s+outside the mask \d+\.\d dB", compare["told"])


def test_after_a_reload_of_the_page_the_panels_still_show_the_last_run(views: dict[str, Any]) -> None:
    """The server caches results and sends those of unchanged nodes only once."""
    panels = list(views.values())[-1]["reloaded"]
    assert panels["What the edit does"].startswith("swap: circle → house")
    assert "house" in panels["The prompts, word by word"]
    assert "of the image may change" in panels["Where the edit could change the image"]


def test_several_edits_stand_on_tabs(seen: dict[str, Any]) -> None:
    compare = seen["compare"]
    assert compare["tabs"] == ["edit", "edit 2"]
    assert compare["second"].startswith("the second") and compare["again"]


# When a user types


def test_a_click_on_a_word_puts_it_into_a_field_of_a_connected_node(seen: dict[str, Any]) -> None:
    chips = seen["chips"]
    fields = [
        "Prompt Edit: word_windows",
        *(f"Local Blend: {n}_words" for n in ("source", "edit", "subtract")),
    ]
    assert chips["offered"] == [f"P2P {field}" for field in fields]
    assert chips["value"] == "star" and "subtract_words" in chips["told"]


def test_words_are_completed_from_the_prompt(seen: dict[str, Any]) -> None:
    assert seen["completed"] == {"offered": ["house"], "next": ["blue"], "open": 0, "value": "house"}


def test_widgets_keep_their_values(seen: dict[str, Any]) -> None:
    kept = seen["kept"]
    values = ["circle, red", "house", "", 0.3, 0.3, 0.2, True, 0, "auto", "intersect", "words"]
    others = {i: each for i, each in kept["pristine"].items() if i != "14"}
    assert kept["changed"] == kept["loaded"] == {**others, "14": values}
    assert kept["copied"] == [values, values]
    assert kept["undone"] == values
    assert kept["inSubgraph"] == [values, "circle, red", "house"]


def test_choosing_a_preset_fills_in_its_numbers_and_touching_one_makes_it_custom(
    seen: dict[str, Any],
) -> None:
    presets = seen["presets"]
    assert presets["saved"] == ["balanced", 0.4, 0.6] and presets["touched"] == ["custom", 0.4, 0.3]
    assert presets["chosen"] == presets["again"] == ["recolour", 0.8, 0.8]
    assert presets["old"] == ["custom", 0.4, 0.6], "a workflow saved without the field keeps its numbers"
    assert presets["fresh"] == "balanced"


# Bad input and access


def test_markup_in_a_prompt_is_text(seen: dict[str, Any]) -> None:
    markup = seen["markup"]
    assert (markup["end"], markup["hacked"], markup["images"]) == ("execution_success", None, 0)
    assert {"<", "img", "onerror"} <= set(markup["words"])


def test_a_workflow_of_another_version_opens_with_a_message(seen: dict[str, Any]) -> None:
    assert "another version of Prompt-to-Prompt" in seen["older"]
    assert "P2P Blend Mask no longer has shape" in seen["older"] and "now also has images" in seen["older"]


def test_a_dynamic_prompt_is_drawn_alike_in_source_and_edit(seen: dict[str, Any]) -> None:
    assert all(source.replace("cat", "dog") == edit for source, edit in seen["dynamic"])
    assert len({source for source, _ in seen["dynamic"]}) > 1
    assert not any("{" in source for source, _ in seen["dynamic"])


@pytest.mark.parametrize("palette", ["dark", "light"])
def test_axe_has_nothing_against_the_panels(seen: dict[str, Any], palette: str) -> None:
    found = seen["axe"][palette]
    assert {"The prompts, word by word", "Source and edit"} < set(found["panels"])
    assert found["against"] == []


def test_the_console_logs_no_error_of_ours(seen: dict[str, Any]) -> None:
    """A bare front end logs some at startup, requests the models of its template from other hosts, and looks
    for the input images that a workflow names."""
    others = re.compile(r"https://|/api/view\?type=input")
    ours = re.compile(rf"{LINK}|P2P", re.IGNORECASE)
    assert [text for text in seen["before"] if ours.search(text)] == []
    later = [text for text in seen["afterwards"] if text not in seen["before"] and not others.search(text)]
    assert later == []
