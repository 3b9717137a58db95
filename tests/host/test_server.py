"""The pack in a real ComfyUI server: its nodes, the results of a workflow, the response to bad input."""

from __future__ import annotations

import copy
import io
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from demo.training.checker import Checker
from demo.world.scenes import COLORS, KINDS
from tools.comfyui.server import LINK, Server, trouble_of

pytest_plugins = ("server_fixtures",)
pytestmark = [pytest.mark.real_host, pytest.mark.server]

ROOT = Path(__file__).resolve().parents[2]
NODES = set(json.loads((ROOT / "tools" / "workflows" / "schemas.json").read_text("utf-8")))
WORKFLOWS = ROOT / "example_workflows" / "api"
WORKFLOW = json.loads((WORKFLOWS / "p2p_word_swap.json").read_text("utf-8"))
PAIR, SWAP, SAMPLER = "2", "3", "6"
SOURCE, EDIT = "9", "10"
AROUND = 24  # margin in pixels around the swapped object for its new shape
CHANGE = 4.0  # levels of 0..255: a visible mean difference


# Listing


@pytest.fixture(scope="module")
def listed(server: Server) -> dict[str, Any]:
    """The pack's nodes, as listed for the front end."""
    nodes = server.get_json("/object_info")
    return {name: node for name, node in nodes.items() if node["python_module"] == f"custom_nodes.{LINK}"}


def test_the_nodes_are_listed(listed: dict[str, Any]) -> None:
    assert set(listed) == NODES
    assert all(node["category"].startswith("Prompt-to-Prompt/") for node in listed.values())
    assert all(node["description"] for node in listed.values())


def test_every_input_and_output_has_a_tooltip(listed: dict[str, Any]) -> None:
    for name, node in listed.items():
        inputs = {**node["input"].get("required", {}), **node["input"].get("optional", {})}
        without = [each for each, spec in inputs.items() if not (len(spec) > 1 and spec[1].get("tooltip"))]
        assert not without, f"{name}: {without}"
        assert len(node["output_tooltips"]) == len(node["output"]) and all(node["output_tooltips"]), name


def test_outputs_are_told_apart_by_their_names(listed: dict[str, Any]) -> None:
    for name, node in listed.items():
        assert len(set(node["output_name"])) == len(node["output_name"]), f"{name}: {node['output_name']}"


def test_the_pack_loaded_without_a_word_of_trouble(server: Server, listed: dict[str, Any]) -> None:
    before_serving = server.log.partition("To see the GUI")[0]
    assert not re.findall(r"IMPORT FAILED|Traceback|Error while calling", before_serving)
    told = [line for line in before_serving.splitlines() if LINK in line]
    assert not [line for line in told if re.search(r"warning|error|deprecat|unable", line, re.IGNORECASE)]


def test_every_node_has_its_help_page(server: Server, listed: dict[str, Any]) -> None:
    for name in listed:
        assert server.get(f"/extensions/{LINK}/docs/{name}.md").startswith(b"# ")


def test_the_nodes_have_names_in_every_language(server: Server, listed: dict[str, Any]) -> None:
    spoken = server.get_json("/i18n")
    for language in ("en", "zh", "ja", "de"):
        assert set(listed) == set(spoken[language]["nodeDefs"])
        assert "P2P_PROMPTS" in spoken[language]["dataTypes"]


def test_the_template_browser_finds_the_workflow(server: Server) -> None:
    assert "p2p_word_swap" in server.get_json("/api/workflow_templates")[LINK]
    assert "nodes" in server.get_json(f"/api/workflow_templates/{LINK}/p2p_word_swap.json")
    thumbnail = Image.open(io.BytesIO(server.get(f"/api/workflow_templates/{LINK}/p2p_word_swap.jpg")))
    assert thumbnail.format == "JPEG"


# Results


@dataclass(frozen=True)
class Pictures:
    """RGB pictures [H, W, 3] from one noise: the source, the edit, and the edit prompt without control."""

    source: np.ndarray
    edit: np.ndarray
    alone: np.ndarray

    @property
    def swapped(self) -> np.ndarray:
        """The region of the swapped object in the source, with a margin, [H, W]."""
        color, _ = next(iter(NAMED["source"] - NAMED["edit"]))
        far = np.abs(self.source.astype(int) - COLORS[color]).max(axis=2)
        mask = Image.fromarray((far < 80).astype(np.uint8) * 255)
        return np.array(mask.filter(ImageFilter.MaxFilter(2 * AROUND + 1))) > 0


def named(prompt: str) -> set[tuple[str, str]]:
    """The things a prompt names, as (colour, kind)."""
    return set(re.findall(rf"\b({'|'.join(COLORS)}) ({'|'.join(sorted(KINDS, reverse=True))})\b", prompt))


NAMED = {name: named(WORKFLOW[PAIR]["inputs"][name]) for name in ("source", "edit")}


def changed(node: str, **inputs: Any) -> dict[str, Any]:
    """The workflow with some inputs of one node changed."""
    workflow = copy.deepcopy(WORKFLOW)
    workflow[node]["inputs"].update(inputs)
    return workflow


def draw(server: Server, workflow: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    drawn = server.draw(workflow)
    assert [len(drawn[node]) for node in (SOURCE, EDIT)] == [1, 1]
    source, edit = (
        np.array(Image.open(io.BytesIO(drawn[node][0])).convert("RGB")) for node in (SOURCE, EDIT)
    )
    return source, edit


@pytest.fixture(scope="module")
def pictures(server: Server) -> Pictures:
    source, edit = draw(server, WORKFLOW)
    same_source, alone = draw(server, changed(SWAP, preset="free"))
    assert np.array_equal(source, same_source), "the source picture depends on the edit"
    return Pictures(source, edit, alone)


def difference(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    """Mean absolute difference there, in levels of 0..255."""
    return float(np.abs(a.astype(int) - b)[where].mean())


def test_source_and_edit_come_back(pictures: Pictures) -> None:
    assert pictures.source.shape == pictures.edit.shape == (256, 256, 3)
    assert 0.01 < pictures.swapped.mean() < 0.6, "nothing to swap, or nothing else, in the source"


def test_the_swapped_object_changed_and_the_rest_did_not(pictures: Pictures) -> None:
    rest = ~pictures.swapped
    inside = difference(pictures.source, pictures.edit, pictures.swapped)
    outside = difference(pictures.source, pictures.edit, rest)
    without_control = difference(pictures.source, pictures.alone, rest)
    assert inside > CHANGE > outside
    assert outside < without_control / 3


def test_the_right_things_are_in_the_pictures(pictures: Pictures) -> None:
    """According to the checker, which was trained on rendered scenes: every thing, each in its place."""
    both = torch.from_numpy(np.stack([pictures.source, pictures.edit])).permute(0, 3, 1, 2).float()
    source, edit = Checker.load()(both / 127.5 - 1)
    before, after = ({(t.color, t.kind): t for t in verdict.things} for verdict in (source, edit))
    assert (set(before), set(after)) == (NAMED["source"], NAMED["edit"])
    assert source.background == edit.background
    (old,), (new,) = NAMED["source"] - NAMED["edit"], NAMED["edit"] - NAMED["source"]
    places = [(before[old], after[new]), *((before[kept], after[kept]) for kept in set(before) & set(after))]
    assert all(math.hypot(a.cx - b.cx, a.cy - b.cy) < 0.08 for a, b in places)


# Bad input

BAD = {
    "an empty edit prompt": (PAIR, {"edit": " "}, ["Word Swap", "none", "Prompt Pair's edit field"]),
    "a window of an unknown word": (
        SWAP,
        {"word_windows": "lion: 0.4"},
        ["Word Swap", "'lion'", "Use one of its words: a, purple, house"],
    ),
    "a window that ends before it starts": (SWAP, {"cross_start": 0.9}, ["Word Swap", "0.9-0.4", "Swap"]),
    "an unpatched model": (SAMPLER, {"model": ["1", 0]}, ["Prompt Pair", "plain MODEL", "Connect the MODEL"]),
    "an unpaired conditioning": (SAMPLER, {"positive": ["4", 0]}, ["positive input", "Prompt Pair"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_explained_and_the_server_goes_on(server: Server, pictures: Pictures, case: str) -> None:
    node, inputs, words = BAD[case]
    told = trouble_of(server.run(changed(node, **inputs)))
    assert all(word in told for word in words), told


def cached(entry: dict[str, Any]) -> list[str]:
    """The nodes whose results were kept from an earlier run."""
    return next(body["nodes"] for kind, body in entry["status"]["messages"] if kind == "execution_cached")


def test_after_bad_input_the_same_pictures_come_back(server: Server, pictures: Pictures) -> None:
    """A blank line in the word windows means nothing, but makes the server sample again."""
    assert trouble_of(server.run(changed(SAMPLER, positive=["4", 0])))
    workflow = changed(SWAP, word_windows="\n")
    entry = server.run(workflow)
    assert SAMPLER not in cached(entry)
    source, edit = draw(server, workflow)
    assert np.array_equal(source, pictures.source) and np.array_equal(edit, pictures.edit)


def test_a_trajectory_whose_file_name_is_linked_is_loaded_once(server: Server) -> None:
    workflow = json.loads((WORKFLOWS / "p2p_real_image.json").read_text("utf-8"))
    for node in ("22", "6"):
        workflow[node]["inputs"]["steps"] = 2
    save = {"trajectory": ["22", 0], "filename_prefix": "linked"}
    workflow["30"] = {"class_type": "P2PSaveTrajectory", "inputs": save}
    workflow["31"] = {"class_type": "P2PLoadTrajectory", "inputs": {"file": ["30", 0]}}
    workflow["23"]["inputs"]["trajectory"] = ["31", 0]
    assert not trouble_of(server.run(workflow))
    before = len(server.log)
    again = server.run(workflow)
    assert not trouble_of(again) and {"30", "31", "23", "6"} <= set(cached(again))
    assert "NoneType" not in server.log[before:]
