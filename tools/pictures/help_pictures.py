"""Screenshots for the help pages: nodes in ComfyUI's front end, after a run.

`python -m tools.pictures.help_pictures` takes them.

Needs a ComfyUI whose front end draws nodes with Vue, Chromium, and Node.js with tests/web installed (npm ci).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from ..comfyui.find import find_comfy
from ..comfyui.server import PACK, comfy_server

OUT = PACK / "web" / "docs" / "pictures"
SCRIPT = PACK / "tests" / "web" / "pictures.mjs"
GROUND, GAP = (20, 20, 22), 12
Plan = list[dict[str, Any]]


def _set(node: str, name: str, value: Any) -> dict[str, Any]:
    return {"node": node, "name": name, "value": value}


def _new(type_: str, title: str, size: tuple[int, int], **inputs: tuple[str, int]) -> dict[str, Any]:
    """An additional node; its inputs are outputs of other nodes, by title or type and number."""
    return {"type": type_, "title": title, "size": size, "from": inputs}


def plan() -> Plan:
    """The nodes to capture in each run, by title or type. NODE-1, NODE-2 go to the right of NODE."""
    return [
        *(
            _pair(workflow, node)
            for workflow, node in (("word_swap", "P2PWordSwap"), ("refine", "P2PRefine"))
        ),
        {
            "workflow": "p2p_reweight",
            "shots": {"P2PReweight": "P2PReweight", "P2PReweight-1": "Plain, then each weight"},
        },
        {
            "workflow": "p2p_several_edits",
            "shots": _beside("P2PPromptPair", "Source", "Edits"),
            "sizes": {"P2PPromptPair": [340, 780]},
        },
        prompt_edit(),
        local_blend(),
        attention(),
        real_image(),
        remember_source(),
        {"workflow": "p2p_real_image", "shots": _beside("P2PDemoPicture", "Source")},
    ]


def _beside(node: str, *others: str) -> dict[str, str]:
    return {node: node, **{f"{node}-{i}": other for i, other in enumerate(others, 1)}}


def _pair(workflow: str, node: str) -> dict[str, Any]:
    """The node with source and edit next to it."""
    return {"workflow": f"p2p_{workflow}", "shots": _beside(node, "Source", "Edit")}


def prompt_edit() -> dict[str, Any]:
    text = ("Negative prompt", 0)
    pairing = _new("P2PPairConditioning", "P2P Pair Conditioning", (300, 90), source=text, edit=text)
    shots = _beside("P2PPromptEdit", "Source", "Edit") | _beside("P2PSplitPair", "Source", "Edit")
    shots |= _beside("P2PDemoModel", "Source") | _beside("P2PPairConditioning")
    return {"workflow": "p2p_prompt_edit", "add": [pairing], "shots": shots}


def local_blend() -> dict[str, Any]:
    split, mask, prompts = "P2PSplitPair", ("P2PBlendMask", 0), ("P2PPromptPair", 0)
    inputs = {"source": (split, 0), "edits": (split, 1), "prompts": prompts, "mask": mask}
    shots = _beside("P2PLocalBlend", "Source", "Edit") | _beside("P2PBlendMask") | _beside("P2PCompare")
    compare = _new("P2PCompare", "P2P Compare", (360, 460), **inputs)
    return {"workflow": "p2p_local_blend", "add": [compare], "shots": shots}


def attention() -> dict[str, Any]:
    components, store = "P2PSelfAttentionComponents", "P2PAttentionStore"
    read = {"store": (store, 1), "latent": ("KSampler", 0)}
    add = [
        _new(components, "P2P Self-Attention Components", (300, 130), **read),
        _new("PreviewImage", "Components", (420, 330), images=(components, 0)),
    ]
    shots = _beside(store, "Maps") | _beside("P2PAttentionMaps") | _beside(components, "Components")
    values = [_set(store, "step_groups", 4), _set(store, "self_attention", "1/2")]
    return {"workflow": "p2p_attention_maps", "set": values, "add": add, "shots": shots}


def real_image() -> dict[str, Any]:
    """The source of a pair as a real picture: inverted, then edited again."""
    model, vae, pair = ("P2PDemoModel", 0), ("P2PDemoModel", 2), ("P2PPromptPair", 1)
    prompts, negative, found = ("P2PPromptPair", 0), ("Negative prompt", 0), ("P2PInvert", 0)
    real, edited = "P2PRealImage", ("P2PPromptEdit", 0)
    sampling = {"model": (real, 0), "positive": pair, "negative": negative, "latent_image": (real, 1)}
    search = {"model": model, "trajectory": found, "source": pair, "negative": negative}
    add = [
        _new("VAEEncode", "Encode", (200, 60), pixels=("P2PSplitPair", 0), vae=vae),
        _new("P2PInvert", "P2P Invert", (330, 380), model=model, source=pair, latent=("Encode", 0)),
        _new(real, "P2P Real Image", (330, 260), model=edited, prompts=prompts, trajectory=found),
        _new("KSampler", "Again", (300, 300), **sampling),
        _new("VAEDecode", "Decode", (200, 60), samples=("Again", 0), vae=vae),
        _new("P2PSplitPair", "Split", (300, 120), prompts=prompts, images=("Decode", 0)),
        _new("PreviewImage", "Picture", (290, 310), images=("Split", 0)),
        _new("PreviewImage", "Its edit", (290, 310), images=("Split", 1)),
        _new("P2PSaveTrajectory", "P2P Save Trajectory", (330, 110), trajectory=found),
        _new("P2PLoadTrajectory", "P2P Load Trajectory", (330, 90)),
        _new("P2PNullText", "P2P Null Text", (330, 200), **search),
    ]
    values = [_set(node, "steps", 24) for node in ("P2PInvert", "Again")]
    values += [_set(node, "scheduler", "simple") for node in ("P2PInvert", "Again")]
    values += [
        _set("Again", "cfg", 5.0),
        _set("P2PLoadTrajectory", "file", "p2p/house_00001_.p2p.safetensors [output]"),
    ]
    shots = _beside("P2PInvert", "Picture") | _beside(real, "Picture", "Its edit")
    shots |= _beside("P2PSaveTrajectory") | _beside("P2PLoadTrajectory") | _beside("P2PNullText")
    return {"workflow": "p2p_prompt_edit", "add": add, "set": values, "shots": shots}


def remember_source() -> dict[str, Any]:
    """A sampler on the node, next to the workflow's own."""
    remember, pair, negative = "P2PRememberSource", ("P2PPromptPair", 1), ("Negative prompt", 0)
    sampling = {"model": (remember, 0), "positive": pair, "negative": negative}
    add = [
        _new(remember, "P2P Remember Source", (330, 300), model=("P2PPromptEdit", 0)),
        _new("EmptyLatentImage", "Empty", (250, 110)),
        _new("KSampler", "Again", (300, 300), **sampling, latent_image=("Empty", 0)),
        _new("VAEDecode", "Decode", (200, 60), samples=("Again", 0), vae=("P2PDemoModel", 2)),
        _new("PreviewImage", "Pair", (290, 310), images=("Decode", 0)),
    ]
    values = [_set("Empty", name, 256) for name in ("width", "height")]
    values += [_set(node, "steps", 8) for node in ("KSampler", "Again")]
    return {"workflow": "p2p_prompt_edit", "add": add, "set": values, "shots": _beside(remember)}


def main() -> None:
    installs, browser, node = find_comfy(os.environ, PACK), shutil.which("chromium"), shutil.which("node")
    if not (installs and browser and node):
        sys.exit("needs ComfyUI, Chromium and Node.js")
    runs = [{**run, "workflow": f"{PACK}/example_workflows/{run['workflow']}.json"} for run in plan()]
    with tempfile.TemporaryDirectory() as name, comfy_server(installs[-1]) as server:
        folder = Path(name)
        (folder / "plan.json").write_text(json.dumps(runs), "utf-8")
        command = [node, str(SCRIPT), server.url, browser, name, str(folder / "plan.json")]
        subprocess.run(command, check=True)
        OUT.mkdir(exist_ok=True)
        for run in runs:
            for first in (shot for shot in run["shots"] if "-" not in shot):
                files = [folder / f"{shot}.png" for shot in run["shots"] if shot.split("-")[0] == first]
                beside(files).save(OUT / f"{first}.png", optimize=True)
                print(OUT / f"{first}.png")


def beside(files: list[Path]) -> Image.Image:
    """The first picture with the others stacked to its right, reduced to few colours."""
    first, *others = [Image.open(file).convert("RGB") for file in files]
    wide = max((picture.width for picture in others), default=-GAP)
    down = sum(picture.height + GAP for picture in others) - GAP
    page = Image.new("RGB", (first.width + GAP + wide, max(first.height, down)), GROUND)
    page.paste(first, (0, 0))
    top = 0
    for picture in others:
        page.paste(picture, (first.width + GAP, top))
        top += picture.height + GAP
    return page.quantize(192)


if __name__ == "__main__":
    main()
