"""Prompts as the text encoders of transformers read them: which word stands in which columns.

The encoders are the narrow ones of the harness: each row of their output depends on its own token alone.
"""

from __future__ import annotations

import importlib
import unicodedata
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

pytestmark = [pytest.mark.host, pytest.mark.real_host]

try:
    from small_tokenizers import spiece
    from text_encoders import HERE, tiny_clip
except ModuleNotFoundError:  # missing on the stand-in, where these tests do not run
    HERE = []

Prompted = Callable[..., Any]
A = "a photo of a red cat, sitting on grass"
B = "a photo of a red dog, sitting on grass"

READS_WEIGHTS = {
    "flux", "chroma", "ltxv", "cosmos", "mochi", "cogvideo", "aura", "wan", "sd3", "sd3 of t5", "hidream",
    "hunyuan video", "omnigen2", "lumina2", "anima",
}  # fmt: skip
if "z-image" not in HERE:  # 0.3.64
    READS_WEIGHTS.add("lumina2 gemma 3")
# the template that stays in the columns: tokens before and after the words
TEMPLATES = {"z-image": (3, 5), "klein": (3, 9), "qwen image": (0, 5), "krea2": (0, 5), "omnigen2": (23, 2)}


@pytest.fixture(scope="module")
def prompt(pack: ModuleType) -> Prompted:
    return importlib.import_module(f"{pack.__name__}.nodes.comfyui.tokens").tokenised


@pytest.fixture(scope="module")
def prompts(pack: ModuleType) -> Prompted:
    return importlib.import_module(f"{pack.__name__}.nodes.comfyui.tokens").prompt_set


def rows(clip: Any, text: str) -> Tensor:
    """The text columns that a diffusion model gets, [T, C]."""
    [[cond, options]] = clip.encode_from_tokens_scheduled(clip.tokenize(text))
    if "t5xxl_ids" in options:  # Anima's own network makes one column of each
        return options["t5xxl_ids"][:, None]
    if "conditioning_llama3" in options:  # HiDream: T5, the last layer, the layer of a block
        layers = options["conditioning_llama3"][0]
        return torch.cat([cond[0, :, :16], layers[-1], layers[0]])
    return cond[0]


def squeezed(text: str) -> str:
    return "".join(unicodedata.normalize("NFC", text).lower().split())


# Columns


@pytest.mark.parametrize("name", HERE)
def test_a_word_stands_in_the_columns_that_change_with_it(name: str, prompt: Prompted) -> None:
    clip = tiny_clip(name)
    source, edit = prompt(clip, A), prompt(clip, B)
    a, b = rows(clip, A), rows(clip, B)
    assert [word.text for word in source.words] == [
        "a", "photo", "of", "a", "red", "cat", ",", "sitting", "on", "grass"
    ]  # fmt: skip
    assert len(a) == source.columns == edit.columns == len(b)
    assert source.find("cat") == edit.find("dog")
    changed = tuple((a != b).any(1).nonzero().flatten().tolist())
    if name == "ltx2 in one":  # normalised over all columns
        assert len(changed) == source.columns
    else:
        assert changed == source.find("cat")


@pytest.mark.parametrize("name", HERE)
def test_as_many_columns_as_the_conditioning_has(name: str, prompt: Prompted) -> None:
    clip = tiny_clip(name)
    for text in ("a (red:1.3) cat\n", "🐱 naïve" + " the old man," * 20):
        assert prompt(clip, text).columns == len(rows(clip, text)), text


@pytest.mark.parametrize("name", HERE)
def test_every_column_has_one_role(name: str, prompt: Prompted) -> None:
    source = prompt(tiny_clip(name), A)
    roles = [role for segment in source.segments for role in segment.roles]
    of_words = sorted(column for word in source.words for column in (*word.columns, *word.spaces))
    assert len(roles) == source.columns
    assert of_words == [column for column, role in enumerate(roles) if role in ("word", "space")]
    assert all(len(word.columns) == len(word.tokens) for word in source.words)
    before, after = TEMPLATES.get(name, (roles.count("prefix"), roles.count("suffix")))
    assert (roles.count("prefix"), roles.count("suffix")) == (before, after)


@pytest.mark.parametrize("name", ["sd3", "hidream"])
def test_a_word_stands_in_the_columns_of_every_encoder(name: str, prompt: Prompted) -> None:
    if name not in HERE:
        pytest.skip("not in this version")
    source = prompt(tiny_clip(name), A)
    encoders = {"sd3": ["l", "t5xxl"], "hidream": ["t5xxl", "llama", "llama by block"]}[name]
    assert list(source.encoders) == encoders
    for word in source.words:
        assert all(set(word.columns) & set(columns) for columns in source.encoders.values()), word


def test_long_prompts_have_chunks_of_clip_and_one_of_t5(prompt: Prompted) -> None:
    source = prompt(tiny_clip("sd3"), "the red cat, " * 30)
    assert [(s.encoder, len(s.roles)) for s in source.segments] == [("l", 77), ("l", 77), ("t5xxl", 121)]
    assert len(rows(tiny_clip("sd3"), "the red cat, " * 30)) == source.columns
    assert [segment.having("start") for segment in source.segments] == [[0], [77], []]


# Texts

TEXTS = [
    "assistant user system 'quoted text' and \"a sign\" 🐱",
    "An old man's  T-shirt\nnew line\n\n",
    "\n x",
    "一只红色的猫\uff0c坐在草地上 next to 机器",
    "青い傘の下の猫とラーメン",
    "🐱🐶 👨‍👩‍👧 ❤️ cat",
    "e\u0301clair \ufb01re ½ cup ™ \u3000cat … \uff21\uff22 \u200b dog",
    "1990 [and] {braces} <tag> a/b_c #7 don't",
    "the the the cat the",
]


@pytest.mark.parametrize("name", HERE)
def test_the_words_are_those_of_the_text(name: str, prompt: Prompted) -> None:
    clip = tiny_clip(name)
    for text in TEXTS:
        source = prompt(clip, text)
        seen = "".join(c for c in squeezed(text) if c not in "\u200b")
        assert squeezed("".join(word.text for word in source.words)) == seen, text
        assert all(word.columns for word in source.words)
        for word in source.words:
            assert source.has(word.text), word.text


@pytest.mark.parametrize("name", HERE)
def test_weights_where_the_encoder_reads_them_and_brackets_where_it_does_not(
    name: str, prompt: Prompted
) -> None:
    source = prompt(tiny_clip(name), r"a (red:1.3) cat \(on\) grass")
    words = [word.text for word in source.words]
    (red,) = [word for word in source.words if word.text == "red"]
    if name in READS_WEIGHTS:
        assert red.weight == 1.3 and "1.3" not in "".join(words)
    else:
        assert red.weight == 1.0 and squeezed("".join(words)).startswith("a(red:1.3)cat")
    assert squeezed("".join(words)).replace("\\", "").endswith("(on)grass")
    assert source.find("(red:1.3)") == source.find("red") == red.columns


@pytest.mark.parametrize("name", [n for n in ("z-image", "qwen image", "krea2", "klein") if n in HERE])
def test_words_inside_a_run_of_letters_and_next_to_punctuation(name: str, prompt: Prompted) -> None:
    source = prompt(tiny_clip(name), '红色的猫 in a T-shirt, "OPEN" (old) sign')
    texts = [word.text for word in source.words]
    assert "-shirt" in texts  # one token holds the hyphen and the letters
    for query in ("猫", "红色的猫", "shirt", "T-shirt", "t-shirt,", "open", '"open"', "old", "sign"):
        assert source.has(query), query
    assert not source.has("hirt") and not source.has("ope")


@pytest.mark.parametrize("name", [n for n in ("qwen image", "krea2", "mage flow", "kandinsky5") if n in HERE])
def test_a_text_that_brings_its_own_template(name: str, prompt: Prompted) -> None:
    clip = tiny_clip(name)
    text = "<|im_start|>system\nBe brief<|im_end|>\n<|im_start|>user\na red cat<|im_end|>\n"
    source = prompt(clip, text)
    assert source.columns == len(rows(clip, text))
    assert len(source.find("red")) == 1 and source.find("cat")[0] == source.find("red")[0] + 1


def test_an_embedding_is_a_word_of_the_encoders_that_have_it(tmp_path: Path, prompt: Prompted) -> None:
    from safetensors.torch import save_file

    vectors = torch.randn(2, 16, generator=torch.Generator().manual_seed(0)).half()
    save_file({"clip_l": vectors, "clip_g": vectors.clone()}, tmp_path / "thing.safetensors")
    clip = tiny_clip("sd3", str(tmp_path))
    text = "a red embedding:thing, on embedding:nothing grass"
    source = prompt(clip, text)
    assert [word.text for word in source.words] == ["a", "red", "embedding:thing", ",", "on", "grass"]
    assert source.find("embedding:thing") == (3, 4)
    assert len(source.find("grass")) == 2 and source.columns == len(rows(clip, text))


# What cannot be read


@pytest.mark.parametrize(
    ("name", "count"), [("longcat", 600), ("hidream", 130), ("pixeldit", 500), ("lens", 600)]
)
def test_a_prompt_that_the_encoder_cuts(
    name: str, count: int, prompt: Prompted, error: type[Exception]
) -> None:
    if name not in HERE:
        pytest.skip("not in this version")
    with pytest.raises(error, match=r"reads completely, got one that it cuts off before 'cat'. Shorten"):
        prompt(tiny_clip(name), "cat " * count + "red dog")


def test_a_clip_of_an_unknown_kind_is_named(prompt: Prompted, error: type[Exception]) -> None:
    from comfy.text_encoders.hydit import HyditTokenizer

    class Unknown:
        tokenizer = HyditTokenizer(tokenizer_data={"mt5xl.spiece_model": spiece(False, False)})
        cond_stage_model = torch.nn.Module()

        def tokenize(self, text: str, **options: Any) -> Any:
            return self.tokenizer.tokenize_with_weights(text, **options)

    with pytest.raises(error, match="HyditTokenizer with Module"):
        prompt(Unknown(), "a cat")


def test_an_encoding_that_another_node_replaced(
    prompt: Prompted, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = tiny_clip("chroma")
    own = clip.cond_stage_model.encode_token_weights
    monkeypatch.setattr(clip.cond_stage_model, "encode_token_weights", lambda tokens: own(tokens))
    with pytest.raises(error, match="PixArtTokenizer with PixArtTEModel"):
        prompt(clip, A)


def test_quoted_texts_are_words_too(prompts: Prompted) -> None:
    clip = tiny_clip("hunyuan image")
    for edit in ('a sign "CLOSED"', "a sign OPEN"):
        assert prompts(clip, 'a sign "OPEN"', [edit]).source.has("open")


@pytest.mark.parametrize("name", [n for n in ("flux", "sd3", "hidream", "ltx2", "krea2") if n in HERE])
def test_reading_leaves_the_clip_as_it_is(name: str, prompt: Prompted) -> None:
    clip = tiny_clip(name)
    parts = dict(clip.cond_stage_model.named_modules())
    before = rows(clip, A)
    prompt(clip, B)
    assert dict(clip.cond_stage_model.named_modules()) == parts
    assert torch.equal(rows(clip, A), before)


@pytest.mark.parametrize("name", ["flux", "qwen image", "wan", "z-image", "krea2"])
def test_prompt_pair_takes_it(name: str, node: dict[str, Any]) -> None:
    if name not in HERE:
        pytest.skip("not in this version")
    found, conditioning = node["P2PPromptPair"].execute(clip=tiny_clip(name), source=A, edit=B).args
    assert [len(prompt.words) for prompt in found.prompts] == [10, 10]
    assert len(conditioning[0][0]) == 2
