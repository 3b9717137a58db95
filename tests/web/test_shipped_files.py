"""The files the front end reads, checked without it: workflows, their API twins, thumbnails, help pages."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = ROOT / "examples_workflows"
NAMES = sorted(file.stem for file in WORKFLOWS.glob("*.json"))
IDS = sorted(re.findall(r'node_id="(\w+)"', "".join(f.read_text("utf-8") for f in ROOT.glob("nodes/*.py"))))
CORE = {"CLIPTextEncode", "EmptyLatentImage", "KSampler", "VAEDecode", "PreviewImage"}
NOTES = {"MarkdownNote", "Note"}


def read(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A workflow in the UI format and its twin in the API format."""
    files = WORKFLOWS / f"{name}.json", WORKFLOWS / "api" / f"{name}.json"
    ui, api = (json.loads(file.read_text("utf-8")) for file in files)
    return ui, api


def to_api(ui: dict[str, Any]) -> dict[str, Any]:
    """What the front end would send for a workflow."""
    sources = {link: [str(node), slot] for link, node, slot, *_ in ui["links"]}
    nodes = [node for node in ui["nodes"] if node["type"] not in NOTES]
    return {str(node["id"]): (node["type"], inputs_of(node, sources)) for node in nodes}


def inputs_of(node: dict[str, Any], sources: dict[int, list[Any]]) -> dict[str, Any]:
    values = list(node["widgets_values"])
    inputs: dict[str, Any] = {}
    for each in node["inputs"]:
        if "widget" in each:
            inputs[each["name"]] = values.pop(0)
            if each["name"] == "seed":
                assert values.pop(0) == "fixed"  # what becomes of the seed after a run
        if each["link"] is not None:
            inputs[each["name"]] = sources[each["link"]]
    assert not values, f"{node['type']}: {values} left over"
    return inputs


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_and_its_api_twin_agree(name: str) -> None:
    ui, api = read(name)
    assert to_api(ui) == {i: (node["class_type"], node["inputs"]) for i, node in api.items()}


@pytest.mark.parametrize("name", NAMES)
def test_both_ends_of_every_link_agree(name: str) -> None:
    ui, _ = read(name)
    nodes = {node["id"]: node for node in ui["nodes"]}
    for link, source, output, target, slot, kind in ui["links"]:
        start, end = nodes[source]["outputs"][output], nodes[target]["inputs"][slot]
        assert link in start["links"] and end["link"] == link
        assert start["type"] == end["type"] == kind
    ends = [each["link"] for node in ui["nodes"] for each in node["inputs"] if each["link"] is not None]
    assert sorted(ends) == sorted(link[0] for link in ui["links"])


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_needs_no_other_pack(name: str) -> None:
    ui, api = read(name)
    assert {node["type"] for node in ui["nodes"]} <= {*IDS, *CORE, *NOTES}
    assert any(node["type"] in NOTES for node in ui["nodes"])
    assert all(node["_meta"]["title"] for node in api.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_has_a_small_thumbnail(name: str) -> None:
    file = WORKFLOWS / f"{name}.jpg"
    assert file.stat().st_size <= 200_000
    with Image.open(file) as picture:
        assert picture.format == "JPEG" and picture.width / picture.height == pytest.approx(16 / 9, rel=0.02)


def test_the_folder_has_the_name_that_comfyui_scans() -> None:
    link = ROOT / "example_workflows"
    assert link.is_symlink() and str(link.readlink()) == "examples_workflows"
    assert NAMES and sorted(file.stem for file in WORKFLOWS.glob("api/*.json")) == NAMES


@pytest.mark.parametrize("node", IDS)
def test_every_node_has_a_help_page_that_names_its_inputs(node: str) -> None:
    page = (ROOT / "web" / "docs" / f"{node}.md").read_text("utf-8")
    source = next(text for f in ROOT.glob("nodes/*.py") if f'"{node}"' in (text := f.read_text("utf-8")))
    inputs = re.findall(r'(?:\.Input\(|_bound\()\s*"(\w+)"', source)
    assert page.startswith("# P2P ")
    assert [name for name in inputs if not re.search(rf"\b{name}\b", page)] == []
