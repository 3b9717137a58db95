"""Example workflows for real checkpoints, without the checkpoints: the server knows all but their files."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_workflows import API, CHECKPOINTS, pictures_of

from tools.comfyui.server import Server, ServerError

pytest_plugins = ("server_fixtures",)
pytestmark = [pytest.mark.real_host, pytest.mark.server]

FILES = {"ckpt_name", "control_net_name", "image"}  # their options are the user's files
SIDE, STEPS = 128, 2


def read(name: str) -> dict[str, Any]:
    return json.loads((API / f"{name}.json").read_text("utf-8"))


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_the_server_refuses_nothing_but_files_that_are_not_there(server: Server, name: str) -> None:
    with pytest.raises(ServerError) as refused:
        server.run(read(name))
    told = json.loads(str(refused.value).partition("Bad Request: ")[2])
    reasons = [e for node in told["node_errors"].values() for e in node["errors"]]
    missing = {e["extra_info"]["input_name"] for e in reasons}
    assert {e["type"] for e in reasons} <= {"value_not_in_list", "custom_validation_failed"}, reasons
    assert "ckpt_name" in missing <= FILES


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_every_node_and_input_is_one_of_the_server(server: Server, name: str) -> None:
    known, workflow = server.get_json("/object_info"), read(name)
    for node in workflow.values():
        kinds = known[node["class_type"]]["input"]
        described = {**kinds.get("required", {}), **kinds.get("optional", {})}
        assert kinds.get("required", {}).keys() <= node["inputs"].keys() <= described.keys()
        for each, value in node["inputs"].items():
            kind, *options = described[each]
            limits = options[0] if options else {}
            if isinstance(value, list):
                source = known[workflow[value[0]]["class_type"]]
                assert source["output"][value[1]] == kind, (node["class_type"], each)
            elif each not in FILES and (isinstance(kind, list) or kind == "COMBO"):
                assert value in (kind if isinstance(kind, list) else limits["options"]), each
            elif kind in ("INT", "FLOAT"):
                assert limits["min"] <= value <= limits["max"], each


def with_the_demo_model(workflow: dict[str, Any]) -> dict[str, Any]:
    """Small, with few steps, with the bundled model in place of the checkpoint, without the ControlNet."""
    made = copy.deepcopy(workflow)
    for node in made.values():
        inputs = node["inputs"]
        if node["class_type"] == "CheckpointLoaderSimple":
            node["class_type"], node["inputs"] = "P2PDemoModel", {}
        for key, small in (("width", SIDE), ("height", SIDE), ("steps", STEPS)):
            if key in inputs:
                inputs[key] = small
        if "source" in inputs:
            inputs.update(source="a red house on sand", edit="a blue house on sand")
    control = {i: node for i, node in made.items() if node["class_type"] == "ControlNetApplyAdvanced"}
    for node in made.values():
        for key, value in node["inputs"].items():
            if isinstance(value, list) and value[0] in control:
                node["inputs"][key] = control[value[0]]["inputs"][("positive", "negative")[value[1]]]
    unused = {*control, *(i for i, node in made.items() if node["class_type"] == "ControlNetLoader")}
    return {i: node for i, node in made.items() if i not in unused}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_its_graph_draws_a_pair_with_the_demo_model(server: Server, name: str) -> None:
    picture = np.full((SIDE, SIDE, 4), 255, np.uint8)
    picture[:, : SIDE // 2] = 128, 60, 60, 0  # a mask is where a picture is transparent
    Image.fromarray(picture).save(server.folder / "input" / "example.png")
    (source,), (edit,) = (pictures_of(server, with_the_demo_model(read(name)))[t] for t in ("Source", "Edit"))
    side = SIDE * 3 // 2 if name == "p2p_hires" else SIDE
    assert source.shape == edit.shape == (side, side, 3)
    assert np.abs(source - edit).max() > 8
    if name == "p2p_inpainting":
        assert (
            np.abs(source - edit)[:, SIDE * 3 // 4 :].mean()
            < 1
            < np.abs(source - edit)[:, : SIDE // 2].mean()
        )
