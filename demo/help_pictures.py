"""`python -m demo.help_pictures` makes the help pages' pictures: nodes in ComfyUI's front end, after a run.

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

from .hosts import find_comfy
from .server import PACK, comfy_server

OUT = PACK / "web" / "docs" / "pictures"
SCRIPT = PACK / "tests" / "web" / "pictures.mjs"
GROUND, GAP = (20, 20, 22), 12
Plan = list[dict[str, Any]]


def _pair(workflow: str, node: str, **more: Any) -> dict[str, Any]:
    """The node, and source and edit beside it."""
    return {"workflow": workflow, "shots": {node: node, f"{node}-1": "Source", f"{node}-2": "Edit"}, **more}


def plan() -> Plan:
    """Of each run the nodes to shoot; NODE-1, NODE-2 stand at the right of NODE."""
    preview = {"type": "PreviewImage", "title": "Components", "size": [420, 330]}
    components = {"type": "P2PSelfAttentionComponents", "title": "Parts", "size": [300, 130]}
    compare = {"type": "P2PCompare", "title": "P2P Compare", "size": [360, 460]}
    blend = _pair("p2p_local_blend", "P2PLocalBlend")
    blend["shots"] |= {"P2PBlendMask": "P2PBlendMask", "P2PCompare": "P2P Compare"}
    split = {"source": ["P2PSplitPair", 0], "edits": ["P2PSplitPair", 1], "prompts": ["P2PPromptPair", 0]}
    blend["add"] = [compare | {"from": split | {"mask": ["P2PBlendMask", 0]}}]
    edit = _pair("p2p_prompt_edit", "P2PPromptEdit")
    edit["shots"] |= {"P2PSplitPair": "P2PSplitPair", "P2PSplitPair-1": "Source", "P2PSplitPair-2": "Edit"}
    edit["shots"] |= {"P2PDemoModel": "P2PDemoModel", "P2PDemoModel-1": "Source"}
    texts = {"source": ["Negative prompt", 0], "edit": ["Negative prompt", 0]}
    pairing = {"type": "P2PPairConditioning", "title": "P2P Pair Conditioning", "size": [300, 90]}
    edit |= {"add": [pairing | {"from": texts}]}
    edit["shots"] |= {"P2PPairConditioning": "P2PPairConditioning"}
    several = {"P2PPromptPair": "P2PPromptPair", "P2PPromptPair-1": "Source", "P2PPromptPair-2": "Edits"}
    reweight = {"P2PReweight": "P2PReweight", "P2PReweight-1": "Plain, then each weight"}
    maps = {
        "P2PAttentionStore": "P2PAttentionStore",
        "P2PAttentionStore-1": "Maps",
        "P2PAttentionMaps": "P2PAttentionMaps",
        "P2PSelfAttentionComponents": "Parts",
        "P2PSelfAttentionComponents-1": "Components",
    }
    kept = [
        {"type": "P2PAttentionStore", "name": "step_groups", "value": 4},
        {"type": "P2PAttentionStore", "name": "self_attention", "value": "1/2"},
    ]
    parts = components | {"from": {"store": ["P2PAttentionStore", 1], "latent": ["KSampler", 0]}}
    return [
        edit,
        _pair("p2p_word_swap", "P2PWordSwap"),
        _pair("p2p_refine", "P2PRefine"),
        {"workflow": "p2p_reweight", "shots": reweight},
        {"workflow": "p2p_several_edits", "shots": several, "sizes": {"P2PPromptPair": [340, 560]}},
        blend,
        {
            "workflow": "p2p_attention_maps",
            "shots": maps,
            "set": kept,
            "add": [parts, preview | {"from": {"images": ["Parts", 0]}}],
        },
    ]


def main() -> None:
    installs, browser, node = find_comfy(os.environ, PACK), shutil.which("chromium"), shutil.which("node")
    if not (installs and browser and node):
        sys.exit("needs ComfyUI, Chromium and Node.js")
    runs = [{**run, "workflow": f"{PACK}/examples_workflows/{run['workflow']}.json"} for run in plan()]
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
    """The first picture, and the others below each other at its right; in few colours, as they are drawn."""
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
