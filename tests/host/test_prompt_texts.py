"""Prompts of every kind through ComfyUI's own tokenizers and narrow encoders: SD1's, SD2's, SDXL's two."""

from __future__ import annotations

import contextlib
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import torch
from graphs import CLOSED, EDIT, OPEN, SOURCE, Graph, close, differ

pytestmark = [pytest.mark.host, pytest.mark.real_host]

with contextlib.suppress(ModuleNotFoundError):  # missing on the stand-in, where these tests do not run
    from families import TINY, TinyHost, tiny_clip

KINDS = ("SD15", "SD20", "SDXL", "SDXLRefiner")
TEXTS = {
    "accents": "a naïve café in Århus, façade über alles",
    "composed later": unicodedata.normalize("NFD", "a naïve café in Århus"),
    "Cyrillic": "красный круг и синяя звезда на траве",
    "Chinese": "一只 猫 坐在 草地 上",
    "Japanese": "赤い 円 と 青い 星",
    "Arabic, right to left": "دائرة حمراء ونجمة زرقاء على العشب",
    "Hebrew, right to left": "עיגול אדום וכוכב כחול על דשא",
    "both directions": "a red דשא and a نجمة on grass",
    "emoji": "a 🐱 and a 👩‍👩‍👧 under 🌈 on grass 🇫🇷",
    "punctuation": "a cat's photo - 85mm, f/1.8; (masterpiece) \\o/ 50%!",
    "numbers": "1girl, 2cats 1234567 3.14",
    "one long word": "x" * 400,
    "blanks": "  a \t red\n\n circle   ",
    "control characters": "a red\u200bcircle \ufeff and\u202ea star",
}


def graph_of(name: str, node: dict[str, Any]) -> Graph:
    return Graph(TinyHost(name), node)


def words(count: int, thing: str = "circle") -> str:
    """A prompt with `count` words of one token each."""
    return " ".join(["red", thing, *["grass"] * (count - 2)])


# Words and columns


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TEXTS)
def test_every_column_of_a_text_belongs_to_one_word(node: dict[str, Any], graph: Graph, kind: str, name: str):
    text = TEXTS[name]
    prompts, _ = graph.host.run(node["P2PPromptPair"], clip=tiny_clip(kind), source=text, edit="a cat")
    for chunks in tiny_clip(kind).tokenize(text, return_word_ids=True).values():
        tokens = [token for chunk in chunks for token in chunk]
        columns = [column for word in prompts.source.words for column in word.columns]
        assert columns == [column for column, (_, _, word) in enumerate(tokens) if word]
        assert prompts.source.columns == len(tokens)


@pytest.mark.parametrize("name", TEXTS)
def test_every_word_of_a_text_is_found(node: dict[str, Any], graph: Graph, name: str):
    text = TEXTS[name]
    prompts, _ = graph.host.run(node["P2PPromptPair"], clip=tiny_clip("SD15"), source=text, edit="a cat")
    for word in text.replace("\\", " ").split():
        if any(letter.isalnum() for letter in word) or name == "emoji":
            assert prompts.source.find(word), word


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_edited(node: dict[str, Any], name: str):
    graph = graph_of("SD1.5", node)
    text = TEXTS[name]
    source, edit = graph.edited(text, f"{text} and a blue star")
    assert differ(source, edit)
    if len(graph.pair(text)[0].source.words) and graph.host.encode(text)[0][0].shape[1] == 77:
        assert torch.equal(source, graph.plain(text)[0])


def test_weights_in_both_encoders(node: dict[str, Any]):
    graph = graph_of("SDXL", node)
    text, plain = "a (red:1.4) ((circle)) on [grass]", "a red circle on [grass]"
    prompts, _ = graph.pair(text)
    weights = {word.text: round(word.weight, 2) for word in prompts.source.words}
    assert (weights["red"], weights["circle"], weights["on"]) == (1.4, 1.21, 1.0)
    weighted, unweighted = graph.edited(text, EDIT), graph.edited(plain, EDIT)
    assert torch.equal(weighted[0], graph.plain(text)[0]) and differ(weighted[0], unweighted[0])


# Long prompts


@pytest.mark.parametrize("negative", [10, 100])
@pytest.mark.parametrize(
    ("source", "edit"), [(10, 100), (100, 10), (100, 120), (100, 160), (160, 230), (230, 310), (310, 10)]
)
def test_prompts_of_several_chunks(node: dict[str, Any], source: int, edit: int, negative: int):
    graph, texts = graph_of("SD1.5", node), (words(source), words(edit, "house"))
    options: dict[str, Any] = {"negative": graph.host.encode(words(negative))}
    closed = graph.edited(*texts, CLOSED, **options)
    plain = [graph.plain(text, **options)[row] for row, text in enumerate(texts)]
    same_length = len({prompt.columns for prompt in graph.pair(*texts)[0].prompts}) == 1
    agree = torch.equal if same_length else close
    assert agree(closed[0], plain[0]) and agree(closed[1], plain[1])
    opened = graph.edited(*texts, OPEN, **options)
    assert torch.equal(opened[0], closed[0]) and differ(opened[1], closed[1])


@pytest.mark.parametrize("name", ["SD1.5", "SDXL"])
def test_the_word_of_a_later_chunk_is_edited(node: dict[str, Any], name: str):
    graph = graph_of(name, node)
    before = words(90)
    prompts, _ = graph.pair(f"{before} star", f"{before} moon")
    assert min(prompts.source.find("star")) > 77
    source, edit = graph.edited(f"{before} star", f"{before} moon")
    assert differ(source, edit) and torch.equal(source, graph.plain(f"{before} star")[0])


@pytest.mark.parametrize(
    ("name", "added", "chunks"),
    [("SD1.5", " and a large old tree in the water" * 12, [18, 19]), ("SDXL", "", [18, 18])],
)
def test_prompts_of_five_thousand_characters(node: dict[str, Any], name: str, added: str, chunks: list[int]):
    """With 18 and 19 chunks: the columns are repeated to 342 chunks."""
    graph = graph_of(name, node)
    source = ("a red circle and a blue star on grass, " * 200)[:5000].rsplit(" ", 1)[0]
    edit = source.replace("circle", "house") + added
    prompts, _ = graph.pair(source, edit)
    assert [prompt.columns // 77 for prompt in prompts.prompts] == chunks
    rows = graph.edited(source, edit, steps=1)
    assert torch.isfinite(rows).all() and differ(*rows)
    if chunks[0] == chunks[1]:
        assert torch.equal(rows[0], graph.plain(source, steps=1)[0])


def test_prompts_whose_lengths_do_not_fit(node: dict[str, Any], error: type[Exception]):
    graph = graph_of("SD1.5", node)
    with pytest.raises(error, match=r"Prompt Pair: expected prompts whose lengths .* tokens\. Shorten"):
        graph.pair("a " * (75 * 22), "a " * (75 * 23))


# Textual inversions


def saved(folder: Path, name: str, **vectors: tuple[int, int]) -> None:
    """An embedding file with vectors [n, width] by encoder name."""
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(len(name))
    made = {key: torch.randn(*shape, generator=generator) for key, shape in vectors.items()}
    save_file(made, folder / f"{name}.safetensors")


@pytest.fixture
def inversions(tmp_path: Path) -> Path:
    """A folder with one embedding for every encoder, one for SD1 only, one with a width of no encoder."""
    saved(tmp_path, "thing", **{name: (3, width) for name, width in TINY.items()})
    saved(tmp_path, "first", clip_l=(2, TINY["clip_l"]))
    saved(tmp_path, "wide", other=(2, 7))
    saved(tmp_path, "uneven", clip_l=(2, TINY["clip_l"]), clip_g=(5, TINY["clip_g"]))
    return tmp_path


def paired(graph: Graph, kind: str, folder: Path, source: str, edit: str = "a red circle on grass") -> Any:
    clip = tiny_clip(kind, str(folder))
    return graph.host.run(graph.node["P2PPromptPair"], clip=clip, source=source, edit=edit)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_an_embedding_for_every_encoder(graph: Graph, kind: str, inversions: Path):
    source = paired(graph, kind, inversions, "a (embedding:thing:1.2), on embedding:thing grass").source
    found = [word.text for word in source.words]
    assert found.count("embedding:thing") == 2 and found[-1] == "grass"
    assert source.find("embedding:thing[1]") == (2, 3, 4)
    first = next(word for word in source.words if word.text == "embedding:thing")
    assert round(first.weight, 2) == 1.2


def test_an_embedding_in_a_sampling_of_sdxl(node: dict[str, Any], inversions: Path):
    graph = graph_of("SDXL", node)
    clip, text = tiny_clip("SDXL", str(inversions)), "a red embedding:thing on grass"
    prompts, positive = graph.host.run(node["P2PPromptPair"], clip=clip, source=SOURCE, edit=text)
    closed, opened = (graph.sample(graph.swapped(prompts, **way), positive) for way in (CLOSED, OPEN))
    assert torch.equal(closed[0], opened[0]) and differ(closed[1], opened[1])
    assert torch.equal(closed[0], graph.plain(SOURCE)[0])


@pytest.mark.parametrize("kind", ["SD15", "SD20"])
def test_an_embedding_that_the_encoder_leaves_out_is_no_word(graph: Graph, kind: str, inversions: Path):
    """One of another width: the host encodes the prompt without it, so everything after it moves up."""
    text = "a embedding:wide circle on embedding:thing grass"
    source = paired(graph, kind, inversions, text).source
    without = paired(graph, kind, inversions, "a circle on embedding:thing grass").source
    assert [word.text for word in source.words] == [word.text for word in without.words]
    assert source.find("circle") == without.find("circle")
    encoded = [
        tiny_clip(kind, str(inversions)).encode_from_tokens_scheduled(
            tiny_clip(kind, str(inversions)).tokenize(prompt.text)
        )[0][0]
        for prompt in (source, without)
    ]
    assert torch.equal(*encoded)


def test_an_embedding_that_one_encoder_alone_leaves_out(
    graph: Graph, inversions: Path, error: type[Exception]
):
    """Words after it would be in different columns of each encoder."""
    for name in ("first", "uneven"):
        with pytest.raises(
            error, match=r"Prompt Pair: .*both text encoders.*\. Use an embedding made for SDXL"
        ):
            paired(graph, "SDXL", inversions, f"a embedding:{name} circle")


def test_the_refiner_asks_its_own_encoder(graph: Graph, inversions: Path):
    source = paired(graph, "SDXLRefiner", inversions, "a embedding:first circle").source
    assert [word.text for word in source.words] == ["a", "circle"] and source.find("circle") == (2,)
