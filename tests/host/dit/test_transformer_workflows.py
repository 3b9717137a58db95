"""Example workflows for transformers: the server knows all but their files, and tiny models run them."""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from graphs import Graph
from test_edit_nodes import TinyVAE as Encoder
from torch import Tensor

from tools.comfyui.server import Server, ServerError
from tools.workflows.transformer_list import TRANSFORMER_WORKFLOWS

try:
    from test_end_to_end import CHECKPOINTS, tiny_model
    from text_encoders import tiny_clip
    from transformers_tiny import VERSION, here
except ModuleNotFoundError:  # on the stand-in, where these tests do not run
    VERSION = (0, 0, 0)

pytest_plugins = ("server_fixtures",)
pytestmark = [pytest.mark.host, pytest.mark.real_host]

API = Path(__file__).resolve().parents[3] / "example_workflows" / "api"
NAMES = [workflow.name for workflow in TRANSFORMER_WORKFLOWS]
FILES = {"ckpt_name", "unet_name", "clip_name", "clip_name1", "clip_name2", "vae_name", "image"}
TINY = {  # the family of each workflow, in the table of test_end_to_end.py
    "p2p_default_graph": "Z-Image",
    "p2p_z_image": "Z-Image",
    "p2p_krea2": "Krea 2",
    "p2p_qwen_image": "Qwen-Image",
    "p2p_flux2": "Flux.2",
    "p2p_flux1": "Flux.1",
    "p2p_sd35": "SD3",
    "p2p_anima": "Anima",
    "p2p_wan_video": "Wan 2.1",
    "p2p_qwen_edit": "Qwen-Image",
    "p2p_flux2_edit": "Flux.2",
}
EDIT_MODELS = ("p2p_qwen_edit", "p2p_flux2_edit")
HELD = {  # calls of the cross window and of the self window, of all
    **dict.fromkeys(("p2p_default_graph", "p2p_z_image", "p2p_krea2"), (2, 2, 8)),
    "p2p_qwen_image": (20, 10, 50),
    "p2p_flux1": (8, 4, 20),
    "p2p_sd35": (9, 5, 20),  # sgm_uniform is a little earlier than simple
    "p2p_anima": (12, 6, 30),
}
EXTRAS = (
    *("cfg", "custom_sampler", "edit_model", "flux", "hunyuan", "model_advanced", "post_processing"),
    *("qwen", "sd3"),
)
SIDE, FRAMES = 64, 5


def read(name: str) -> dict[str, Any]:
    return json.loads((API / f"{name}.json").read_text("utf-8"))


def test_every_workflow_has_a_tiny_model() -> None:
    assert list(TINY) == NAMES


# In the server


@pytest.fixture
def known(server: Server) -> dict[str, Any]:
    if VERSION < (0, 33, 0):
        pytest.skip("the models of these workflows came later")
    return server.get_json("/object_info")


@pytest.mark.server
@pytest.mark.parametrize("name", NAMES)
def test_the_server_knows_all_but_the_files(server: Server, known: dict[str, Any], name: str) -> None:
    with pytest.raises(ServerError) as refused:
        server.run(read(name))
    told = json.loads(str(refused.value).partition("Bad Request: ")[2])
    reasons = [error for node in told["node_errors"].values() for error in node["errors"]]
    assert {error["type"] for error in reasons} <= {"value_not_in_list", "custom_validation_failed"}, reasons
    assert {error["extra_info"]["input_name"] for error in reasons} <= FILES
    for node in read(name).values():
        kinds = known[node["class_type"]]["input"]
        required, optional = (kinds.get(each, {}) for each in ("required", "optional"))
        assert required.keys() <= node["inputs"].keys() <= {**required, **optional}.keys(), node["class_type"]


# With a tiny model


class TinyVAE(Encoder):
    """Three channels of a latent as a picture."""

    def decode(self, latent: Tensor) -> Tensor:
        """[B, C, h, w] or [B, C, T, h, w] → [B, H, W, 3] or [B, T, H, W, 3]."""
        picture = latent[:, :3].movedim(1, -1).repeat_interleave(8, -3).repeat_interleave(8, -2)
        return picture.sigmoid()


class Running:
    """Runs the nodes of a workflow that its result needs, with tiny models in place of the loaders."""

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph, self.workflow = graph, read(name)
        family = TINY[name]
        own, model = CHECKPOINTS[family], tiny_model(family)
        clip, vae = tiny_clip(own.encoder, attends=True, sees=name == "p2p_qwen_edit"), TinyVAE(own.latent)
        self.loaded = {
            "LoadImage": (torch.rand(1, 96, 144, 3, generator=torch.Generator().manual_seed(1)), None),
            "UNETLoader": (model,),
            "CLIPLoader": (clip,),
            "DualCLIPLoader": (clip,),
            "VAELoader": (vae,),
            "CheckpointLoaderSimple": (model, clip, vae),
        }
        self.outputs: Callable[[str], Sequence[Any]] = functools.cache(self._outputs)

    def of(self, kind: str) -> Sequence[Any]:
        """The outputs of the first node of a class."""
        return self.outputs(next(i for i, node in self.workflow.items() if node["class_type"] == kind))

    def _outputs(self, number: str) -> Sequence[Any]:
        kind, given = (self.workflow[number][each] for each in ("class_type", "inputs"))
        if kind in self.loaded:
            return self.loaded[kind]
        values = {
            key: self.outputs(value[0])[value[1]] if isinstance(value, list) else value
            for key, value in given.items()
        }
        values |= {key: SIDE for key in ("width", "height") if key in values}
        values |= {"length": FRAMES} if "length" in values else {}
        if kind in self.graph.node:
            return self.graph.host.run(self.graph.node[kind], **values)
        with torch.inference_mode():
            return run(kind, values)


def run(kind: str, values: dict[str, Any]) -> Sequence[Any]:
    """A node of the host, V1 or V3."""
    stock = importlib.import_module("nodes").NODE_CLASS_MAPPINGS
    extras = [importlib.import_module(f"comfy_extras.nodes_{name}") for name in EXTRAS]
    node = stock.get(kind) or next(getattr(module, kind) for module in extras if hasattr(module, kind))
    if hasattr(node, "execute"):
        return node.execute(**values).args
    made = node()
    return getattr(made, made.FUNCTION)(**values)


def sampled(running: Running) -> Tensor:
    """The latents of the pair."""
    kinds = {node["class_type"] for node in running.workflow.values()}
    return running.of("KSampler" if "KSampler" in kinds else "SamplerCustomAdvanced")[0]["samples"]


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_draws_a_pair_with_a_tiny_model(
    graph: Graph, pack: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = CHECKPOINTS[TINY[name]]
    if not here(own.family or TINY[name]) or VERSION < (0, 33, 0):
        pytest.skip("this version of ComfyUI lacks the model or its nodes")
    told: list[str] = []
    sampling = importlib.import_module(f"{pack.__name__}.nodes.comfyui.sampling")
    monkeypatch.setattr(sampling, "show_after", lambda held: told.extend(text for _, text in held))
    pair = sampled(Running(graph, name))
    assert len(pair) == 2 and bool(pair.isfinite().all()) and not torch.equal(*pair)
    if name in HELD:
        cross, own_window, steps = HELD[name]
        assert f": {cross} of {steps} steps · self window" in told[0], told[0]
        assert told[0].endswith(f": {own_window} of {steps} steps")
    elif name in EDIT_MODELS:
        assert told[0].startswith("cross window closed · self window 0-0.2: "), told[0]


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name not in ("p2p_default_graph", "p2p_wan_video")]
)
def test_source_and_edit_reach_compare(graph: Graph, name: str) -> None:
    if VERSION < (0, 33, 0):
        pytest.skip("this version of ComfyUI lacks the model or its nodes")
    running = Running(graph, name)
    running.workflow = short(running.workflow)
    source, edits, *_ = running.of("P2PSplitPair")
    assert source.shape == edits.shape and len(source) == 1 and source.shape[-1] == 3
    assert "edit: PSNR" in running.of("P2PCompare")[0]


def test_the_halves_of_a_video_are_decoded_one_by_one(graph: Graph) -> None:
    if VERSION < (0, 33, 0):
        pytest.skip("this version of ComfyUI lacks the nodes")
    running = Running(graph, "p2p_wan_video")
    running.workflow = short(running.workflow)
    decoded = [i for i, node in running.workflow.items() if node["class_type"] == "VAEDecode"]
    source, edit = (running.outputs(i)[0] for i in decoded)
    assert source.shape == edit.shape == (1 + FRAMES // 4, SIDE, SIDE, 3)
    assert not torch.equal(source, edit)


@pytest.mark.parametrize("name", EDIT_MODELS)
def test_a_photo_comes_back_and_stays_outside_the_mask(graph: Graph, name: str) -> None:
    if VERSION < (0, 33, 0):
        pytest.skip("this version of ComfyUI lacks the model or its nodes")
    running = Running(graph, name)
    running.workflow = short(running.workflow)
    blend = next(node for node in running.workflow.values() if node["class_type"] == "P2PLocalBlend")
    blend["inputs"] |= {"threshold": 0.9, "pooling": False, "start": 0.0}  # maps of a random model are even
    (source, edit), (photo,) = sampled(running), running.of("VAEEncode")[0]["samples"]
    outside = running.of("P2PLocalBlend")[1].read().blend[0] == 0
    assert torch.equal(source, photo) and 0 < outside.float().mean() < 1
    assert torch.equal(edit[..., outside], photo[..., outside]) and not torch.equal(edit, photo)


def short(workflow: dict[str, Any]) -> dict[str, Any]:
    """The workflow with two steps; uni_pc makes none of one."""
    changed = {i: {**node, "inputs": dict(node["inputs"])} for i, node in workflow.items()}
    for node in changed.values():
        node["inputs"] |= {"steps": 2} if "steps" in node["inputs"] else {}
    return changed
