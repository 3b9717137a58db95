"""Tokenised prompts from the text encoders of diffusion transformers: T5, Gemma, Qwen, Mistral, Llama, CLIP.

Templates are found by tokenising short texts, weights and brackets by matching the tokens with the text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, Literal

from comfy import sd1_clip

from ...p2p_core.errors import P2PError
from ...p2p_core.words.joining import Part, joined
from ...p2p_core.words.prompts import Prompt, Role
from ...p2p_core.words.reading import Reading, Text, Token, read, words_of
from ...p2p_core.words.texts import bytes_of_letters, bytes_of_piece
from .encoders import Chunks, as_read, encoder_of, require_same_words, tokenizer_of, unknown_clip, word_id
from .encoders import Token as Row
from .text_columns import Stretch, text_columns

Kind = Literal["clip", "letters", "pieces"]

_PROBES = ("x", "7", "the", "red")
_END_OF_WORD, _SPACE, _UNKNOWN = "</w>", "\u2581", "<unk>"


def language_prompt(clip: Any, text: str, given: Mapping[str, Chunks]) -> Prompt:
    """One prompt with its text columns as the diffusion model gets them.

    Raises P2PError for a CLIP that is not known, and for a text that its tokenizer cuts.
    """
    tokens = {name: as_read(chunks, encoder_of(clip, name)) for name, chunks in given.items()}
    stretches = text_columns(clip, tokens)
    names = list(dict.fromkeys(_encoder(name) for name, _ in stretches if name))
    if "l" in names:  # SD3: the other CLIP's output stands in the same columns
        require_same_words(text, [tokens[n] for n in ("l", "g") if encoder_of(clip, n) is not None])
    probes = [clip.tokenize(probe, return_word_ids=True) for probe in _PROBES]
    each = {n: _Encoder(clip, n, tokens[n], [probe[n] for probe in probes]) for n in names}
    words, readings = _read(clip, text, each)
    return joined(text, words, [_part(stretch, readings) for stretch in stretches])


def _encoder(name: str) -> str:
    return name.removesuffix(" by block")


def _part(stretch: Stretch, readings: Mapping[str, Reading]) -> Part:
    name, places = stretch
    if name:
        return Part(name, readings[_encoder(name)], places)
    nothing = (Token(role="padding"),) * len(places)
    return Part("none", Reading(nothing, (None,) * len(places), ()), tuple(range(len(places))))


def _read(clip: Any, text: str, encoders: Mapping[str, _Encoder]) -> tuple[Text, dict[str, Reading]]:
    """The words of the text, and what every encoder reads of them."""
    cut: list[Reading] = []
    for plain in _plain_texts(text):
        words = words_of(plain)
        readings = {name: encoder.read(words) for name, encoder in encoders.items()}
        found = {name: reading for name, reading in readings.items() if reading is not None}
        if len(found) == len(encoders):
            if not any(reading.missing for reading in found.values()):
                return words, found
            cut += [reading for reading in found.values() if reading.missing]
    if cut:
        raise P2PError(
            "a prompt that the text encoder reads completely",
            f"one that it cuts off before {cut[0].missing[0]!r}",
            "Shorten the prompt.",
        )
    raise P2PError(
        f"a prompt whose words {type(clip.tokenizer).__name__} keeps",
        f"{text!r}, which it changes",
        "Write the prompt in plain words, without template markup or unusual characters.",
    )


def _plain_texts(text: str) -> Iterator[str]:
    """What may be left of a text as typed: without weights and their brackets, unescaped, or all of it."""
    escaped = sd1_clip.escape_important(text)
    yield "".join(sd1_clip.unescape_important(part) for part, _ in sd1_clip.token_weights(escaped, 1.0))
    yield sd1_clip.unescape_important(escaped)
    yield text


class _Encoder:
    """The tokens of one encoder, those of a template apart."""

    def __init__(self, clip: Any, name: str, chunks: Chunks, probes: Sequence[Chunks]) -> None:
        self.tokenizer = tokenizer_of(clip, name)
        self.vocabulary: Mapping[int, str] = self.tokenizer.inv_vocab
        self.kind = self._kind(clip)
        self.chunks = chunks
        self.template = self._template([_of_text(chunk) for chunk in probes])

    def read(self, words: Text) -> Reading | None:
        for prefix, suffix in (self.template, (0, 0)):  # without a template where the text brings its own
            tokens = list(self._tokens(prefix, suffix))
            if (found := read(tokens, words)) is not None:
                return found
        return None

    def _kind(self, clip: Any) -> Kind:
        strings = self.vocabulary.values()
        if any(string.startswith(_SPACE) for string in strings):
            return "pieces"
        if any(string.endswith(_END_OF_WORD) for string in strings):
            return "clip"
        if any(string.startswith("\u0120") for string in strings):
            return "letters"
        raise unknown_clip(clip)

    def _template(self, probes: Sequence[Sequence[Any]]) -> tuple[int, int]:
        """How many tokens of the text's own begin and end like any text's."""
        text = _of_text(self.chunks)
        before = _common([text, *probes])
        while before and self.vocabulary.get(text[before - 1]) == _SPACE:
            before -= 1
        return before, _common([ids[before:][::-1] for ids in (text, *probes)])

    def _tokens(self, prefix: int, suffix: int) -> Iterator[Token]:
        count = len(_of_text(self.chunks))
        number = 0
        for chunk in self.chunks:
            begun = ended = False
            for row in chunk:
                if word_id(row) == 0:
                    role = self._special(row, begun, ended)
                    ended = ended or role == "end"
                    begun = begun or role == "start"
                    yield Token(role=role)
                    continue
                begun = True
                role = "prefix" if number < prefix else "suffix" if number >= count - suffix else "word"
                yield self._token(row, role)
                number += 1

    def _special(self, row: Row, begun: bool, ended: bool) -> Role:
        if not begun:
            pads_left = getattr(self.tokenizer, "pad_left", False)
            return "left padding" if pads_left and row[0] == self.tokenizer.pad_token else "start"
        return "end" if row[0] == self.tokenizer.end_token and not ended else "padding"

    def _token(self, row: Row, role: Role) -> Token:
        if not isinstance(row[0], int):
            return Token(role=role, weight=row[1], embedding=word_id(row))
        string = self.vocabulary.get(row[0], "")
        if self.kind == "pieces":
            return Token(None if string == _UNKNOWN else bytes_of_piece(string), role, row[1])
        return Token(bytes_of_letters(string.removesuffix(_END_OF_WORD)), role, row[1])


def _of_text(chunks: Chunks) -> list[Any]:
    """What stands for the text and its template."""
    return [row[0] if isinstance(row[0], int) else None for chunk in chunks for row in chunk if word_id(row)]


def _common(lists: Sequence[Sequence[Any]]) -> int:
    """How many items all begin with."""
    return sum(1 for _ in takewhile(lambda items: len(set(items)) == 1, zip(*lists, strict=False)))
