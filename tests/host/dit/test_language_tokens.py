"""Words and their columns, with the host's own tokenizers and what it makes of their tokens."""

from __future__ import annotations

import functools
import importlib
import re
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
from torch import nn

pytestmark = [pytest.mark.host, pytest.mark.real_host]


@dataclass(frozen=True)
class Encoder:
    """A text encoder of the host: its module, tokenizer and model. parts: the encoders in it, with the layers
    that each gives. places: the columns of "fluffy", "cat" and "," in PROMPT."""

    module: str
    tokenizer: str
    model: str
    parts: dict[str, int]
    places: tuple[tuple[int, ...], ...]


PROMPT = "a photo of a fluffy red cat, sitting on naïve 机器 (dog:1.3)"
HOSTILE = (
    PROMPT,
    "assistant user system 'quoted text' and \"a sign\" 🐱",
    "An (old:1.2) man's  T-shirt\nnew line (nested (deep:0.5))",
    "一只白猫坐在草地上",
    "x",
)
ENCODERS = {
    "Flux.1": Encoder(
        "flux", "FluxTokenizer", "FluxClipModel", {"clip_l": 0, "t5xxl": 0}, ((6,), (8,), (9,))
    ),
    "SD3": Encoder(
        "sd3_clip", "SD3Tokenizer", "SD3ClipModel", {"clip_l": 0, "clip_g": 0, "t5xxl": 0},
        ((5, 83), (7, 85), (8, 86)),
    ),
    "Chroma": Encoder("pixart_t5", "PixArtTokenizer", "PixArtT5XXL", {"t5xxl": 0}, ((6,), (8,), (9,))),
    "AuraFlow": Encoder(
        "aura_t5", "AuraT5Tokenizer", "AuraT5Model", {"pile_t5xl": 0}, ((4, 5, 6), (8,), (9,))
    ),
    "Qwen-Image": Encoder(
        "qwen_image", "QwenImageTokenizer", "QwenImageTEModel", {"qwen25_7b": 0}, ((4,), (6,), (7,))
    ),
    "Z-Image": Encoder("z_image", "ZImageTokenizer", "ZImageTEModel", {"qwen3_4b": 0}, ((7,), (9,), (10,))),
    "Flux.2 Klein": Encoder("flux", "KleinTokenizer", "Flux2TEModel", {"qwen3_4b": 3}, ((7,), (9,), (10,))),
    "Krea 2": Encoder("krea2", "Krea2Tokenizer", "Krea2TEModel", {"qwen3vl_4b": 12}, ((4,), (6,), (7,))),
    "Anima": Encoder("anima", "AnimaTokenizer", "AnimaTEModel", {"qwen3_06b": 0}, ((6,), (8,), (9,))),
}  # fmt: skip


class Clip:
    """A CLIP of the host with its tokenizer and its class of text encoder, without weights."""

    def __init__(self, encoder: Encoder) -> None:
        try:
            module = importlib.import_module(f"comfy.text_encoders.{encoder.module}")
            model, self.tokenizer = getattr(module, encoder.model), getattr(module, encoder.tokenizer)()
        except (ImportError, AttributeError):
            pytest.skip("not in this version")
        self.cond_stage_model = object.__new__(model)
        nn.Module.__init__(self.cond_stage_model)
        name = next(iter(encoder.parts))
        self.cond_stage_model.clip = self.cond_stage_model.clip_name = name
        self.cond_stage_model.t5_attention_mask = False
        for name, layers in encoder.parts.items():
            part: Any = nn.Module()
            part.layer = list(range(layers)) or "last"
            part.return_attention_masks = "qwen" in name
            self.cond_stage_model.add_module(name, part)

    def tokenize(self, text: str, return_word_ids: bool = False) -> dict[str, Any]:
        return self.tokenizer.tokenize_with_weights(text, return_word_ids)


@pytest.fixture(params=ENCODERS)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return ENCODERS[request.param]


@pytest.fixture
def clip(encoder: Encoder) -> Clip:
    return loaded(encoder.module, encoder.tokenizer)


@functools.cache
def loaded(module: str, tokenizer: str) -> Clip:
    return Clip(next(e for e in ENCODERS.values() if (e.module, e.tokenizer) == (module, tokenizer)))


@pytest.fixture(scope="session")
def tokens(pack: ModuleType) -> Any:
    return importlib.import_module(f"{pack.__name__}.nodes.comfyui.tokens")


def test_words_are_in_the_columns_that_the_host_gives_them(clip: Clip, encoder: Encoder, tokens: Any) -> None:
    prompt = tokens.tokenised(clip, PROMPT)
    assert tuple(prompt.find(word) for word in ("fluffy", "cat", ",")) == encoder.places


@pytest.mark.parametrize("text", HOSTILE)
def test_every_word_has_columns_of_its_own(clip: Clip, tokens: Any, text: str) -> None:
    prompt = tokens.tokenised(clip, text)
    columns = [column for word in prompt.words for column in word.columns]
    assert len(columns) == len(set(columns)) and set(columns) <= set(range(prompt.columns))
    assert all(word.columns for word in prompt.words)
    read = re.sub(r"\((\w+):[\d.]+\)|[()]", r"\1", text) if _parses_weights(clip) else text
    assert "".join(word.text for word in prompt.words).replace(" ", "") == "".join(read.lower().split())


def _parses_weights(clip: Clip) -> bool:
    return any(token[1] != 1 for rows in clip.tokenize("(x:1.5)").values() for row in rows for token in row)


def test_words_of_the_template_are_found_in_the_prompt(clip: Clip, tokens: Any) -> None:
    prompt = tokens.tokenised(clip, HOSTILE[1])
    assert prompt.words[0].text == "assistant"
    first = tokens.tokenised(clip, "x").words[0].columns
    assert prompt.words[0].columns[0] == first[0]


def test_characters_without_spaces_are_found_together(clip: Clip, tokens: Any) -> None:
    prompt = tokens.tokenised(clip, HOSTILE[3])
    if len(prompt.words) > 1:  # an encoder that knows them
        assert prompt.find("白猫") or prompt.find("白猫坐")
