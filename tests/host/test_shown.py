"""What the nodes send to the front end: plain data with everything needed to draw."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from adapter import Host
from graphs import EDIT, SOURCE, Graph

pytestmark = pytest.mark.host

SEVERAL = f"{EDIT}\n---\na blue star on grass"
ONE: dict[str, Any] = {"steps": 1}


def shown(graph: Graph, name: str, key: str, **inputs: Any) -> dict[str, Any]:
    """The data under a key of a node's UI output; it has to be JSON."""
    ui = graph.host.result(graph.node[f"P2P{name}"], **inputs).ui
    return json.loads(json.dumps(ui))[key][0]


def pair(graph: Graph, source: str, edit: str) -> dict[str, Any]:
    return shown(graph, "PromptPair", "p2p.prompts", clip=graph.host.clip(), source=source, edit=edit)


def test_words_come_with_their_tokens_and_the_name_that_finds_them(graph: Graph):
    prompts, _ = graph.pair("a cat and a dog", "")
    words = pair(graph, "a cat and a dog", "")["source"]["words"]
    assert [word["text"] for word in words] == ["a", "cat", "and", "a", "dog"]
    assert [word["name"] for word in words] == ["a[1]", "cat", "and", "a[2]", "dog"]
    for word, itself in zip(words, prompts.source.words, strict=True):
        assert prompts.source.find(word["name"]) == itself.columns
        assert "".join(word["tokens"]) == word["text"] and word["columns"] == len(itself.columns)


@pytest.mark.real_host
def test_a_letter_that_is_cut_in_two_is_shown_whole(graph: Graph):
    (word,) = pair(graph, "猫", "")["source"]["words"]
    assert word["text"] == "猫" and "".join(word["tokens"]) == "猫"


def test_changes_are_named_and_cover_both_prompts(graph: Graph):
    data = pair(graph, "a red cat on grass", "a cat in snow\n---\na red dog on grass")
    first, second = data["edits"]
    assert first["text"] == "a cat in snow" and data["source"]["text"] == "a red cat on grass"
    assert [c["kind"] for c in first["changes"]] == ["kept", "removed", "kept", "swapped"]
    assert [c["kind"] for c in second["changes"]] == ["kept", "kept", "swapped", "kept", "kept"]
    for edit in (first, second):
        assert edit["changes"][-1]["source"][1] == len(data["source"]["words"])
        assert edit["changes"][-1]["edit"][1] == len(edit["words"])


def test_prompt_edit_shows_them_too(graph: Graph):
    prompts, _ = graph.pair()
    edit = shown(graph, "PromptEdit", "p2p.prompts", model=graph.host.model(), prompts=prompts)
    assert edit == pair(graph, SOURCE, EDIT)


@pytest.mark.parametrize(("groups", "steps"), [(1, 1), (2, 3)])
def test_maps_come_for_every_row_step_and_layer(graph: Graph, groups: int, steps: int):
    prompts, positive = graph.pair(SOURCE, SEVERAL)
    words = {"words": "circle, star", "step_groups": groups}
    model, store = graph.on("AttentionStore", prompts, graph.swapped(prompts), **words)
    latent = {"samples": graph.sample(model, positive)}
    pictures = torch.zeros(3, 64, 64, 3)
    data = shown(graph, "AttentionMaps", "p2p.maps", store=store, latent=latent, images=pictures)
    assert data["words"] == ["circle", "star"] and len(data["steps"]) == steps
    assert [row["name"] for row in data["rows"]] == ["source", "edit 1", "edit 2"]
    assert [row["has"] for row in data["rows"]] == [[True, True], [False, True], [False, True]]
    assert len(data["layers"]) == 1 + len(store.read().maps) and len(data["pictures"]) == 3
    assert all(layer["file"]["type"] == "temp" for layer in data["layers"])


def test_masks_come_for_every_threshold(graph: Graph, host: Host):
    prompts, positive = graph.pair(SOURCE, SEVERAL)
    around = {"source_words": "circle", "start": 0.0, "threshold": 0.4}
    model, store = graph.on("LocalBlend", prompts, graph.swapped(prompts), **around)
    latent = {"samples": graph.sample(model, positive)}
    data = shown(
        graph, "BlendMask", "p2p.masks", store=store, latent=latent, images=torch.zeros(3, 64, 64, 3)
    )
    assert data["threshold"] == 0.4 and len(data["limits"]) == 101 and len(data["pictures"]) == 2
    for edit in data["edits"]:
        used, *others = edit["shares"]
        assert used == others[40] and others == sorted(others, reverse=True) and others[0] > others[90]


def test_a_mask_of_the_user_has_no_threshold(graph: Graph):
    prompts, positive = graph.pair()
    mask = torch.ones(1, 8, 8)
    model, store = graph.on("LocalBlend", prompts, mask=mask, mask_mode="replace", start=0.0)
    latent = {"samples": graph.sample(model, positive, **ONE)}
    data = shown(graph, "BlendMask", "p2p.masks", store=store, latent=latent)
    assert data["threshold"] is None and data["limits"] == [] and data["pictures"] == []
    assert [edit["shares"] for edit in data["edits"]] == [[1.0]]


# Compare


def compared(graph: Graph, source: Any, edits: Any, **inputs: Any) -> Any:
    return graph.host.result(graph.node["P2PCompare"], source=source, edits=edits, **inputs)


def test_compare_says_how_alike_they_are(graph: Graph):
    source, edits = torch.zeros(1, 8, 8, 3), torch.zeros(2, 8, 8, 3)
    edits[1, :, :4] = 0.1
    mask = torch.zeros(1, 8, 8)
    mask[..., :4] = 1
    prompts, _ = graph.pair(SOURCE, SEVERAL)
    result = compared(graph, source, edits, prompts=prompts, mask=mask)
    told = [pair["told"] for pair in result.ui["p2p.pairs"][0]["pairs"]]
    assert told[0] == "PSNR over the image identical, outside the mask identical"
    assert told[1] == "PSNR over the image 23.0 dB, outside the mask identical"
    assert result.args == (f"edit 1: {told[0]}\nedit 2: {told[1]}",)
    assert result.ui["p2p.pairs"][0]["pairs"][1]["text"] == "a blue star on grass"


def test_compare_knows_the_edits_of_several_samples(graph: Graph):
    pairs = compared(graph, torch.zeros(2, 8, 8, 3), torch.zeros(4, 8, 8, 3)).ui["p2p.pairs"][0]["pairs"]
    assert [(pair["name"], pair["sample"]) for pair in pairs] == [
        ("edit 1", 0),
        ("edit 2", 0),
        ("edit 1 of sample 2", 1),
        ("edit 2 of sample 2", 1),
    ]


BAD = {
    "another number of edits": ({"edits": torch.zeros(3, 8, 8, 3)}, "the same number of edits for each of 2"),
    "another size": ({"edits": torch.zeros(2, 8, 16, 3)}, "images of one size, got 8 × 8 and 16 × 8"),
    "another number of masks": ({"mask": torch.zeros(3, 8, 8)}, "one mask or 2"),
}


@pytest.mark.parametrize("case", BAD)
def test_compare_refuses(graph: Graph, error: type[Exception], case: str):
    changed, message = BAD[case]
    inputs = {"source": torch.zeros(2, 8, 8, 3), "edits": torch.zeros(2, 8, 8, 3), **changed}
    with pytest.raises(error, match=f"Compare: .*{message}"):
        compared(graph, **inputs)


def test_compare_refuses_prompts_of_other_edits(graph: Graph, error: type[Exception]):
    prompts, _ = graph.pair(SOURCE, SEVERAL)
    with pytest.raises(error, match="the prompts of 1 edits, got those of 2"):
        compared(graph, torch.zeros(1, 8, 8, 3), torch.zeros(1, 8, 8, 3), prompts=prompts)
