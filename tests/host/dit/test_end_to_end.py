"""Edits of transformers as a user wires them: Prompt Pair with the family's text encoder, the nodes of the
pack, KSampler, Split Pair.

Both models are tiny and random, of the host's own classes. In the text encoders tokens attend to each other.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import pytest
import torch
from graphs import CLOSED, NEGATIVE, OPEN, Graph, close, differ, repeated
from torch import Tensor

pytestmark = [pytest.mark.host, pytest.mark.real_host]

try:
    from text_encoders import HERE, tiny_clip
    from transformer_table import FAMILIES
    from transformers_tiny import built, here
except ModuleNotFoundError:  # on the stand-in, where these tests do not run
    HERE = []

SOURCE = "a photo of a red cat, sitting on grass"
EDITS = {
    "equal": "a photo of a red dog, sitting on grass",
    "longer": "a photo of a red dog, sitting on grass next to the old sea at night with stars",
}
EDITS["shorter and longer"] = f"a red dog on grass\n---\n{EDITS['longer']}"


@dataclass(frozen=True)
class Checkpoint:
    """A family's text encoder, what its transformer needs to fit the encoder, and a latent of one frame.

    family: its name in the table of transformers, where that is another one.
    """

    encoder: str
    model: Mapping[str, Any]
    latent: tuple[int, ...] = (16, 8, 12)
    family: str = ""


CHECKPOINTS = {
    "Z-Image": Checkpoint("z-image", {"cap_feat_dim": 16}),
    "Qwen-Image": Checkpoint("qwen image", {"joint_attention_dim": 16}, (16, 1, 8, 12)),
    "Flux.1": Checkpoint("flux", {"context_in_dim": 16, "vec_in_dim": 16}),
    "Flux.1 Fill": Checkpoint("flux", {"context_in_dim": 16, "vec_in_dim": 16}),
    "Wan 2.1": Checkpoint("wan", {"text_dim": 16}, (16, 1, 8, 12)),
    "Wan 2.1 I2V": Checkpoint("wan", {"text_dim": 16}, (16, 1, 8, 12)),
    "Wan VACE": Checkpoint("wan", {"text_dim": 16}, (16, 1, 8, 12)),
    "Wan Camera": Checkpoint("wan", {"text_dim": 16}, (16, 1, 8, 12)),
    "SD3": Checkpoint(
        "sd3",
        {
            "adm_in_channels": 32,
            "context_embedder_config": {
                "target": "torch.nn.Linear", "params": {"in_features": 4096, "out_features": 192}
            },
        },
        family="SD3.5 medium",
    ),
    "Flux.2": Checkpoint("flux2", {"context_in_dim": 48}, (128, 4, 6)),
    "Flux.2 Klein": Checkpoint(
        "klein", {"context_in_dim": 48, "guidance_embed": False}, (128, 4, 6), "Flux.2"
    ),
    "Krea 2": Checkpoint("krea2", {"txtdim": 16, "txtlayers": 12}, (16, 1, 8, 12)),
    "Lumina 2": Checkpoint("lumina2", {"cap_feat_dim": 16}),
    "Anima": Checkpoint("anima", {}, (16, 1, 8, 12)),
    "Chroma": Checkpoint("chroma", {"context_in_dim": 16}),
    "Chroma Radiance": Checkpoint("chroma", {"context_in_dim": 16}, (3, 16, 24)),
    "NewBie": Checkpoint("newbie", {"cap_feat_dim": 16, "clip_text_dim": 16}),
    "Cosmos-Predict2": Checkpoint("cosmos", {"crossattn_emb_channels": 16}, (16, 1, 8, 12)),
    "Kandinsky 5": Checkpoint("kandinsky5", {"in_text_dim": 16, "in_text_dim2": 16}, (16, 1, 8, 12)),
    "LongCat": Checkpoint("longcat", {"context_in_dim": 16}),
    "Ovis": Checkpoint("ovis", {"context_in_dim": 16}),
    "LTXV": Checkpoint("ltxv", {"caption_channels": 16}, (128, 1, 4, 6)),
    "Cosmos 1": Checkpoint("cosmos", {"crossattn_emb_channels": 16}, (16, 1, 8, 12)),
    "AuraFlow": Checkpoint("aura", {"cond_seq_dim": 16}, (4, 8, 12)),
    "CogVideoX": Checkpoint("cogvideo", {"text_embed_dim": 16, "max_text_seq_length": 226}, (16, 1, 8, 12)),
    "HiDream-I1": Checkpoint("hidream", {"caption_channels": [16, 16], "text_emb_dim": 32}),
    "MageFlow": Checkpoint("mage flow", {"joint_attention_dim": 16}, (128, 4, 6)),
    "Ideogram 4": Checkpoint("ideogram4", {"llm_features_dim": 208}, (128, 4, 6)),
    "ERNIE-Image": Checkpoint("ernie", {"text_in_dim": 16}, (128, 4, 6)),
    "PixArt": Checkpoint("chroma", {"caption_channels": 16}, (4, 32, 40)),
    "JoyImage": Checkpoint("joyimage", {"text_dim": 16}, (16, 1, 8, 12)),
    "Lens": Checkpoint("lens", {"enc_hidden_dim": 16, "selected_layer_index": (0, 1, 2, 3)}, (128, 4, 6)),
    "HunyuanVideo": Checkpoint(
        "hunyuan video", {"context_in_dim": 16, "vec_in_dim": 16}, (16, 1, 8, 12)
    ),
    "HunyuanImage": Checkpoint("hunyuan image", {"context_in_dim": 16}, (64, 4, 6)),
    "HunyuanVideo 1.5": Checkpoint("hunyuan video 1.5", {"context_in_dim": 16}, (32, 1, 4, 6)),
    "Boogu": Checkpoint("boogu", {"instruction_feat_dim": 16}),
    "Omnigen 2": Checkpoint("omnigen2", {"text_feat_dim": 16}),
}  # fmt: skip
NAMES = [name for name, own in CHECKPOINTS.items() if own.encoder in HERE and here(own.family or name)]
CASES = [(name, length) for name in NAMES for length in EDITS]


class Flow:
    """The graph of one checkpoint."""

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph, self.run, self.node = graph, graph.host.run, graph.node
        own = CHECKPOINTS[name]
        self.clip, self.model = tiny_clip(own.encoder, attends=True), tiny_model(name)
        self.latent = {"samples": torch.zeros(1, *own.latent)}

    def pair(self, edit: str, source: str = SOURCE) -> tuple[Any, Any]:
        return self.run(self.node["P2PPromptPair"], clip=self.clip, source=source, edit=edit)

    def edited(self, prompts: Any, model: Any = None, **windows: Any) -> Any:
        return self.graph.on("PromptEdit", prompts, model or self.model, **windows)[0]

    def sample(self, model: Any, positive: Any, latent: Any = None) -> dict[str, Any]:
        negative = self.encoded(NEGATIVE)
        return self.graph.host.sample(model, positive, negative, latent=latent or self.latent)

    def encoded(self, text: str) -> Any:
        """CLIP Text Encode."""
        with torch.inference_mode():
            return self.clip.encode_from_tokens_scheduled(self.clip.tokenize(text))

    def plain(self, text: str, rows: int = 2) -> Tensor:
        return self.sample(self.model, self.encoded(text), repeated(self.latent, rows))["samples"]

    def split(self, prompts: Any, latent: dict[str, Any]) -> list[Tensor]:
        *_, source, edit = self.run(self.node["P2PSplitPair"], prompts=prompts, latent=latent)
        return [source["samples"], edit["samples"]]


@functools.cache
def tiny_model(name: str) -> Any:
    own = CHECKPOINTS[name]
    family = FAMILIES[own.family or name]
    return built(replace(family, model={**family.model, **own.model}))


@pytest.mark.parametrize(("name", "length"), CASES)
def test_closed_windows_draw_each_prompt_as_alone_and_open_ones_edit(
    graph: Graph, name: str, length: str
) -> None:
    flow = Flow(graph, name)
    prompts, positive = flow.pair(EDITS[length])
    closed = flow.sample(flow.edited(prompts, **CLOSED), positive)["samples"]
    for row, text in enumerate(prompts.texts):
        plain = flow.plain(text, prompts.count)[row]
        assert torch.equal(closed[row], plain) if length == "equal" else close(closed[row], plain)
    source, edits = flow.split(prompts, flow.sample(flow.edited(prompts, **OPEN), positive))
    assert close(source, closed[:1])
    for edit, own in zip(edits, closed[1:], strict=True):
        assert not torch.equal(edit, own) and differ(edit, source[0])


@pytest.mark.parametrize(("name", "length"), [case for case in CASES if "shorter" not in case[1]])
def test_maps_of_words(graph: Graph, name: str, length: str) -> None:
    flow = Flow(graph, name)
    prompts, positive = flow.pair(EDITS[length])
    model, store = flow.graph.on(
        "AttentionStore", prompts, flow.edited(prompts, **OPEN), words="cat\ndog\ngrass"
    )
    latent = flow.sample(model, positive)
    maps = flow.run(flow.node["P2PAttentionMaps"], store=store, latent=latent)
    assert maps[2].shape[0] == 2
    recorded = store.read(latent["samples"])
    height, width = (-(-side // layer.scale) for layer in list(recorded.maps)[:1] for side in recorded.latent)
    for map in recorded.maps.values():
        assert map.shape == (1, 2, 3, height, width) and bool(map.isfinite().all())
        sums = map[0].flatten(2).mean(2)  # [P, n]: the share of attention that a word gets
        assert bool((sums <= 1).all())
        assert (sums > 1e-6).tolist() == [[True, False, True], [False, True, True]]


@pytest.mark.parametrize("name", [name for name in ("Z-Image", "Flux.1", "Anima") if name in NAMES])
def test_zeros_of_a_pair_are_the_zeros_of_each_prompt(graph: Graph, name: str) -> None:
    """ComfyUI's default graph connects Conditioning Zero Out of the positive as negative."""
    flow, zeros = Flow(graph, name), importlib.import_module("nodes").ConditioningZeroOut().zero_out
    prompts, positive = flow.pair(EDITS["longer"])
    run, model = graph.host.sample, flow.edited(prompts, **CLOSED)
    closed = run(model, positive, zeros(positive)[0], latent=flow.latent)["samples"]
    for row, text in enumerate(prompts.texts):
        own = flow.encoded(text)
        plain = run(flow.model, own, zeros(own)[0], latent=repeated(flow.latent, 2))["samples"]
        assert close(closed[row], plain[row])
    assert not close(closed, flow.sample(model, positive)["samples"])


@pytest.mark.skipif("Flux.1" not in NAMES, reason="needs Flux.1")
def test_blocks_are_chosen_by_the_names_of_the_model(graph: Graph, error: type[Exception]) -> None:
    flow = Flow(graph, "Flux.1")
    prompts, positive = flow.pair(EDITS["equal"])
    drawn = [
        flow.sample(flow.edited(prompts, layers=layers, **OPEN), positive)["samples"]
        for layers in ("double 0-1, single", "all", "double 1")
    ]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[1], drawn[2])
    with pytest.raises(error, match=r"got 'middle'. Use 'all', its blocks double 0-1, single 0-1, or"):
        flow.edited(prompts, layers="middle")


@pytest.mark.parametrize("name", NAMES)
def test_all_nodes_in_a_chain(graph: Graph, name: str) -> None:
    flow = Flow(graph, name)
    prompts, positive = flow.pair(EDITS["equal"])
    on = flow.graph.on
    model = on("WordSwap", prompts, flow.model, cross_end=0.8, self_end=0.4)[0]
    swapped = flow.sample(model, positive)["samples"]
    model = on("Reweight", prompts, model, weights="grass: 3")[0]
    model = on("LocalBlend", prompts, model, source_words="cat", edit_words="dog", threshold=0.95)[0]
    source, edit = flow.split(prompts, flow.sample(model, positive))
    assert close(source, swapped[:1]) and bool(edit.isfinite().all())
    assert not torch.equal(edit, swapped[1:]) and not torch.equal(edit, source)


@pytest.mark.parametrize("name", NAMES)
def test_a_source_alone(graph: Graph, name: str) -> None:
    flow = Flow(graph, name)
    prompts, positive = flow.pair("")
    model, store = graph.on("AttentionStore", prompts, flow.model, words="cat")
    latent = flow.sample(model, positive)
    assert torch.equal(latent["samples"], flow.plain(SOURCE, 1))
    assert all(bool((map > 0).all()) for map in store.read(latent["samples"]).maps.values())
    model, prompts = graph.on("Reweight", prompts, flow.model, weights="cat: 4")
    source, edit = flow.split(prompts, flow.sample(model, positive))
    assert torch.equal(source, flow.plain(SOURCE)[:1]) and not torch.equal(edit, source)


@pytest.mark.parametrize(
    ("name", "length"), [case for case in CASES if case[0] not in ("Anima", "HiDream-I1")]
)  # their models make other columns of the text, or take it in parts
def test_the_columns_of_prompts_are_those_of_their_layout(
    graph: Graph, pack: ModuleType, name: str, length: str
) -> None:
    flow, seen = Flow(graph, name), []
    key = importlib.import_module(f"{pack.__name__}.nodes.comfyui.keys").CALL
    prompts, positive = flow.pair(EDITS[length])

    def note(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        if (call := kwargs["transformer_options"].get(key)) is not None:
            seen.append((kwargs["context"], call.layout))

    hook = flow.model.model.diffusion_model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        flow.sample(flow.edited(prompts, **OPEN), positive)
    finally:
        hook.remove()
    text, layout = max(seen, key=lambda each: each[0].shape[1])
    rows = text[-prompts.count :]  # after the negative's, where they share a call
    for row, prompt in zip(rows, prompts.prompts, strict=True):
        span, own = layout.prompt(prompt.columns), flow.encoded(prompt.text)[0][0][0]
        assert torch.equal(row[span.start : span.stop], own.to(row)), (span, own.shape)


@pytest.mark.parametrize("name", NAMES)
def test_self_attention_is_recorded_where_it_is_apart(
    graph: Graph, pack: ModuleType, name: str, error: type[Exception]
) -> None:
    flow = Flow(graph, name)
    prompts, positive = flow.pair(EDITS["equal"])
    families = importlib.import_module(f"{pack.__name__}.nodes.comfyui.families")
    scale = f"1/{families.layers_of(flow.model)[0].scale}"
    if families.family_of(flow.model).tokens.joint:
        with pytest.raises(error, match="Attention Store: expected a MODEL with self-attention apart"):
            graph.on("AttentionStore", prompts, flow.model, self_attention="1/2")
    elif scale != "1/1":
        model, store = graph.on("AttentionStore", prompts, flow.model, self_attention=scale)
        own = store.read(flow.sample(model, positive)["samples"]).self_map
        torch.testing.assert_close(own.sum(-1), torch.ones(own.shape[:2]))


LONG = "the old sea at night with stars, " * 80  # more than 512 tokens
QUOTED = 'a red "cat" on grass'
QUOTES = {"longer": 'a red "dog at night" on grass', "none": "a red dog on grass"}
OTHERS = {
    **{(name, "longer than filled"): (SOURCE, LONG) for name in ("Flux.2", "Flux.2 Klein")},
    ("LTXV", "longer than filled"): (SOURCE, LONG),
    **{
        (name, f"quoted, then {which}"): (QUOTED, edit)
        for name in ("HunyuanImage", "HunyuanVideo 1.5")
        for which, edit in QUOTES.items()
    },
}


@pytest.mark.parametrize(("name", "case"), [case for case in OTHERS if case[0] in NAMES])
def test_text_of_other_lengths_is_drawn_as_alone(graph: Graph, name: str, case: str) -> None:
    flow = Flow(graph, name)
    source, edit = OTHERS[name, case]
    for texts in ((source, edit), (edit, source)):
        prompts, positive = flow.pair(texts[1], texts[0])
        closed = flow.sample(flow.edited(prompts, **CLOSED), positive)["samples"]
        for row, text in enumerate(prompts.texts):
            assert close(closed[row], flow.plain(text)[row])
        opened = flow.sample(flow.edited(prompts, **OPEN), positive)["samples"]
        assert close(opened[0], closed[0]) and not torch.equal(opened[1], closed[1])
