"""Every example workflow on a real ComfyUI server: it runs as saved and shows its subject."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tools.comfyui.server import Server
from tools.workflows.transformer_list import TRANSFORMER_WORKFLOWS

pytest_plugins = ("server_fixtures",)
pytestmark = [pytest.mark.real_host, pytest.mark.server]

API = Path(__file__).resolve().parents[2] / "example_workflows" / "api"
PAIRS = ("p2p_start_here", "p2p_word_swap", "p2p_prompt_edit", "p2p_refine", "p2p_local_blend")
REAL = ("p2p_real_image", "p2p_real_image_blend", "p2p_edit_friendly", "p2p_null_text")
SEVERAL = {"p2p_several_edits": 3, "p2p_reweight": 4}
CHECKPOINTS = ("p2p_controlnet", "p2p_hires", "p2p_inpainting", "p2p_sdxl")  # in test_checkpoint_workflows.py
TRANSFORMERS = {workflow.name for workflow in TRANSFORMER_WORKFLOWS}  # in dit/test_transformer_workflows.py
CELL = 8  # pixels per latent cell
FAR = 3  # neighbouring cells that affect a cell when it is decoded


def shown(server: Server, name: str) -> dict[str, list[np.ndarray]]:
    """The pictures [H, W, 3] of the preview nodes by their titles."""
    return pictures_of(server, workflow_of(name))


def pictures_of(server: Server, workflow: dict[str, Any]) -> dict[str, list[np.ndarray]]:
    drawn = server.draw(workflow)
    return {
        workflow[node]["_meta"]["title"]: [
            np.array(Image.open(io.BytesIO(file)).convert("RGB")).astype(int) for file in files
        ]
        for node, files in drawn.items()
        if files
    }


def test_every_workflow_is_run_here() -> None:
    names = {*PAIRS, *REAL, *SEVERAL, *CHECKPOINTS, *TRANSFORMERS, "p2p_attention_maps"}
    assert names == {file.stem for file in API.glob("*.json")}


@pytest.mark.parametrize("name", PAIRS)
def test_a_pair_is_of_two_pictures_that_differ_in_part(server: Server, name: str) -> None:
    pictures = shown(server, name)
    (source,), (edit,) = pictures["Source"], pictures["Edit"]
    changed = np.abs(source - edit).max(axis=2) > 24
    assert source.shape == edit.shape == (256, 256, 3)
    assert 0.005 < changed.mean() < 0.6


@pytest.mark.parametrize("name", REAL)
def test_a_picture_is_edited_in_part(server: Server, name: str) -> None:
    """The source equals the decoded image; with null texts, nearly."""
    pictures = shown(server, name)
    (source,), (edit,) = pictures["Source"], pictures["Edit"]
    (drawn,) = pictures_of(server, decoded_alone(workflow_of(name)))["Source"]
    changed = np.abs(source - edit).max(axis=2) > 24
    assert 0.005 < changed.mean() < 0.6
    assert np.abs(source - drawn).mean() < (8 if name == "p2p_null_text" else 1)


def workflow_of(name: str) -> dict[str, Any]:
    return json.loads((API / f"{name}.json").read_text("utf-8"))


def decoded_alone(workflow: dict[str, Any]) -> dict[str, Any]:
    """The workflow reduced to encoding and decoding the image."""
    kinds = {node["class_type"]: name for name, node in workflow.items()}
    titles = {node["_meta"]["title"]: name for name, node in workflow.items()}
    kept = {kinds[kind] for kind in ("P2PDemoModel", "P2PDemoPicture", "VAEEncode", "VAEDecode")}
    cut = {name: workflow[name] for name in (*kept, titles["Source"])}
    cut[kinds["VAEDecode"]]["inputs"]["samples"] = [kinds["VAEEncode"], 0]
    cut[titles["Source"]]["inputs"]["images"] = [kinds["VAEDecode"], 0]
    return cut


@pytest.mark.parametrize("name", SEVERAL)
def test_every_edit_has_a_picture_of_its_own(server: Server, name: str) -> None:
    pictures = [picture for each in shown(server, name).values() for picture in each]
    assert len(pictures) == SEVERAL[name] + (name == "p2p_several_edits")
    for i, one in enumerate(pictures):
        assert all(np.abs(one - other).max() > 24 for other in pictures[:i])


def test_away_from_its_mask_a_local_blend_changes_nothing(server: Server) -> None:
    pictures = shown(server, "p2p_local_blend")
    (source,), (edit,), (mask,) = (pictures[title] for title in ("Source", "Edit", "Mask"))
    reach = np.array(mask[..., 0] > 0)
    assert 0.01 < reach.mean() < 0.9
    wide = np.kron(grown(reach[::CELL, ::CELL]), np.ones((CELL, CELL))) > 0
    inside, outside = (np.abs(source - edit)[where].mean() for where in (reach, ~wide))
    assert outside < 0.5 < 4 < inside


def grown(cells: np.ndarray) -> np.ndarray:
    """The mask plus the cells that the decoder mixes with it."""
    padded = np.pad(cells, FAR)
    height, width = cells.shape
    shifts = [(y, x) for y in range(2 * FAR + 1) for x in range(2 * FAR + 1)]
    return np.any([padded[y : y + height, x : x + width] for y, x in shifts], axis=0)


def test_attention_maps_are_drawn(server: Server) -> None:
    pictures = shown(server, "p2p_attention_maps")
    assert len(pictures["Over the image"]) == 3 and len(pictures["Maps"]) == 1
    assert all(picture.shape == (256, 256, 3) for picture in pictures["Over the image"])
    assert all(picture.std() > 5 for each in pictures.values() for picture in each)
