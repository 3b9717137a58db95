"""Prompts as the host's CLIP sees them: which word occupies which columns."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from adapter import Host
from graphs import CLOSED, OPEN, Graph, differ

pytestmark = pytest.mark.host


def prompts(graph: Graph, source: str, edit: str = "a red circle") -> Any:
    return graph.pair(source, edit)[0]


def test_words_stand_in_order_after_the_start(graph: Graph):
    source = prompts(graph, "a Red circle, and a star").source
    assert [word.text for word in source.words] == ["a", "red", "circle", ",", "and", "a", "star"]
    columns = [column for word in source.words for column in word.columns]
    assert columns == list(range(1, len(columns) + 1))
    assert source.columns == 77
    (segment,) = source.segments
    assert segment.having("start") == [0] and segment.having("end") == [columns[-1] + 1]
    assert segment.having("padding") == list(range(columns[-1] + 2, 77))


def test_a_word_of_several_tokens(graph: Graph):
    source = prompts(graph, "a red xylophone on grass").source
    columns = source.find("xylophone")
    assert len(columns) > 1 and columns == tuple(range(columns[0], columns[0] + len(columns)))
    assert [word.text for word in source.words][2] == "xylophone"


def test_weights_are_those_of_the_host(graph: Graph):
    source = prompts(graph, "a red (blue circle:1.3) on grass").source
    weights = {word.text: word.weight for word in source.words}
    assert weights == {"a": 1.0, "red": 1.0, "blue": 1.3, "circle": 1.3, "on": 1.0, "grass": 1.0}
    assert source.find("(circle:1.3)") == source.find("circle")


def test_columns_are_those_of_the_conditioning(graph: Graph, host: Host):
    """A word in the second chunk: changing it changes the encoding of its chunk, not of the first."""
    long = "a " * 80
    pair = prompts(graph, long + "circle", long + "star").prompts
    encoded = [host.encode(text)[0][0] for text in (long + "circle", long + "star")]
    assert all(prompt.columns == tensor.shape[1] == 154 for prompt, tensor in zip(pair, encoded, strict=True))
    first = min(*pair[0].find("circle"), *pair[1].find("star"))
    assert first > 77
    assert torch.equal(encoded[0][:, :77], encoded[1][:, :77])
    assert not torch.equal(encoded[0][:, first], encoded[1][:, first])


# ComfyUI's own syntax


@pytest.mark.real_host
def test_brackets(graph: Graph):
    source = prompts(graph, r"a (red) ((circle)) and a \(blue\) star").source
    weights = {word.text: round(word.weight, 2) for word in source.words}
    assert weights["red"] == 1.1 and weights["circle"] == 1.21 and weights["blue"] == 1.0
    assert "(" in weights and ")" in weights


@pytest.fixture
def clip_with_embedding(host: Host, tmp_path: Path) -> Any:
    """A clone of the CLIP that finds a textual inversion of two vectors, `thing`, in a test's folder."""
    from safetensors.torch import save_file

    clip = host.clip().clone()
    clip.tokenizer = copy.copy(clip.tokenizer)
    clip.tokenizer.clip_l = copy.copy(clip.tokenizer.clip_l)
    clip.tokenizer.clip_l.embedding_directory = str(tmp_path)
    width = host.encode("a")[0][0].shape[2]
    vectors = torch.randn(2, width, generator=torch.Generator().manual_seed(0))
    save_file({"clip_l": vectors}, tmp_path / "thing.safetensors")
    return clip


@pytest.mark.real_host
def test_an_embedding_is_a_word(graph: Graph, host: Host, clip_with_embedding: Any):
    texts = {"source": "a red circle on grass", "edit": "a red embedding:thing on grass"}
    pair, positive = host.run(graph.node["P2PPromptPair"], clip=clip_with_embedding, **texts)
    (edit,) = pair.edits
    assert [word.text for word in edit.words] == ["a", "red", "embedding:thing", "on", "grass"]
    assert edit.find("embedding:thing") == (3, 4)
    plain, swapped = (graph.sample(graph.swapped(pair, **windows), positive) for windows in (CLOSED, OPEN))
    assert torch.equal(plain[0], swapped[0]) and differ(plain[1], swapped[1])


@pytest.mark.real_host
def test_an_embedding_that_is_not_there_is_no_word(graph: Graph, host: Host, clip_with_embedding: Any):
    """The host skips it with its own warning; the names of the others stay correct."""
    text = "a embedding:nothing circle embedding:thing, on embedding:thing"
    clip = clip_with_embedding
    pair, _ = host.run(graph.node["P2PPromptPair"], clip=clip, source=text, edit="a red circle")
    words = [word.text for word in pair.source.words]
    assert words.count("embedding:thing") == 2
    assert len(pair.source.find("embedding:thing[2]")) == 2
    assert words[-1] == "embedding:thing"
