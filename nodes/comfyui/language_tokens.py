"""Tokenised prompts from text encoders other than CLIP: T5, Qwen, Gemma, Mistral, and several at once.

Nothing here knows a family. The template around a prompt is what two other prompts have in common. Words are
found by walking the text along the bytes of its tokens. The column of a token is what the host's own
`encode_token_weights` makes of it, over encoders that return the places of their tokens.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from comfy.sd1_clip import ClipTokenWeightEncoder, escape_important, token_weights, unescape_important
from torch import nn

from ...p2p_core.errors import P2PError
from ...p2p_core.words.prompts import Prompt, Word, normalise, token_bytes

_PROBES = ("x", "7")  # prompts that have no token in common but the template's
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"  # Kana and Han: a word a character
_WORD = re.compile(
    rf"['\u2019](?:s|t|re|ve|m|ll|d)\b|[{_UNSPACED}]|[^\W_{_UNSPACED}]+|[^\w\s]|_", re.IGNORECASE
)
_END, _SPACE, _UNKNOWN = "</w>", "\u2581", "<unk>"

Token = tuple[Any, ...]  # token, weight and, of text that was parsed for weights, the number of its part
Place = tuple[str, int]  # an encoder and the place of one of its tokens


@dataclass(frozen=True)
class Piece:
    """A token of the text: its place, its string, its weight, and which bytes of the squeezed text it has."""

    place: Place
    string: str
    weight: float
    start: int
    stop: int


def language_prompt(clip: Any, text: str) -> Prompt:
    """One prompt with the columns that the host's encoders give it."""
    tokens = clip.tokenize(text, return_word_ids=True)
    columns = column_places(clip, tokens)
    at = {place: column for column, place in enumerate(columns)}
    encoders = list(dict.fromkeys(name for name, _ in columns))
    pieces = [piece for name in encoders for piece in _pieces(clip, name, text) if piece.place in at]
    words = tuple(_words(_plain(clip, encoders[0], text), pieces, at))
    starts = [next(i for i, (name, _) in enumerate(columns) if name == encoder) for encoder in encoders]
    return Prompt(text, words, len(columns), len(columns), tuple(starts))


# Columns


class _Places(ClipTokenWeightEncoder):
    """In the place of a text encoder: encodes each token as its place, plus `base`."""

    def __init__(self, encoder: Any, base: int, width: int) -> None:
        self.base, self.width = base, width
        layers = getattr(encoder, "layer", None)
        self.layers = len(layers) if isinstance(layers, list) else 0
        self.masks = getattr(encoder, "return_attention_masks", False)

    def encode(self, rows: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
        count = len(rows[0])
        places = torch.arange(len(rows) * count, dtype=torch.float64).view(len(rows), count, 1) + self.base
        places = places.expand(-1, -1, self.width)
        if self.layers:
            places = places[:, None].expand(-1, self.layers, -1, -1)
        masks = ({"attention_mask": torch.ones(len(rows), count)},) if self.masks else ()
        return places, torch.zeros(1, 1), *masks

    def encode_token_weights(self, token_weight_pairs: Any) -> Any:
        return super().encode_token_weights([[(t[0], 1.0) for t in row] for row in token_weight_pairs])


_BASE = 1 << 20  # more than the tokens of any prompt


def column_places(clip: Any, tokens: Mapping[str, Any]) -> list[Place]:
    """The token that each column of the conditioning stands for."""
    model = clip.cond_stage_model
    names = list(tokens)
    probe = object.__new__(type(model))
    nn.Module.__init__(probe)
    probe.__dict__.update({key: value for key, value in model.__dict__.items() if not key.startswith("_")})
    for n, name in enumerate(names):
        attribute = name if name in model._modules else f"clip_{name}"
        encoder = model._modules.get(attribute)
        if encoder is not None:
            probe.__dict__[attribute] = _Places(encoder, n * _BASE, 4096 if name == "t5xxl" else 1)
    out, _, extra, *_ = (*probe.encode_token_weights(tokens), {})
    if "t5xxl_ids" in extra:  # the columns of Anima's text network
        return [("t5xxl", place) for place in range(len(extra["t5xxl_ids"]))]
    return [(names[int(v) // _BASE], int(v) % _BASE) for v in out[0, :, 0].tolist()]


# Tokens


def _pieces(clip: Any, name: str, text: str) -> Iterator[Piece]:
    """The tokens of the prompt itself, walked along its text."""
    sub = tokenizer_of(clip, name)
    strings, spaced = sub.inv_vocab, any(str(s).startswith(_SPACE) for s in sub.inv_vocab.values())
    folded = any(str(s).endswith(_END) for s in sub.inv_vocab.values())
    target, at, waiting = squeezed(_plain(clip, name, text), folded), 0, []
    for place, token in _own(clip, name, text):
        string = str(strings.get(token[0], ""))
        own = b"" if string == _UNKNOWN else _squeezed_bytes(string, spaced, folded)
        if not own:
            waiting.append((place, string, token))
            continue
        found = target.find(own, at) if any(string == _UNKNOWN for _, string, _ in waiting) else at
        if found < 0 or not target.startswith(own, found):
            raise _lost(text, string)
        for other, its, its_token in waiting:  # what is unknown to the tokenizer, and lone spaces
            yield Piece((name, other), its, its_token[1], at, max(found, at + (its != _UNKNOWN)))
        waiting, at = [], found + len(own)
        yield Piece((name, place), string.removesuffix(_END), token[1], found, at)
    for place, string, token in waiting:
        if string == _UNKNOWN:
            yield Piece((name, place), string, token[1], at, len(target))


def _own(clip: Any, name: str, text: str) -> list[tuple[int, Token]]:
    """Tokens with their places, without the template and without start, end and padding."""
    tokens, first, second = (_content(clip, name, each) for each in (text, *_PROBES))
    ids = [[token[0] for _, token in each] for each in (first, second)]
    head = _common(ids[0], ids[1])
    tail = _common(ids[0][::-1], ids[1][::-1])
    return tokens[head : len(tokens) - tail]


def _content(clip: Any, name: str, text: str) -> list[tuple[int, Token]]:
    rows = [token for chunk in clip.tokenize(text, return_word_ids=True)[name] for token in chunk]
    return [(place, token) for place, token in enumerate(rows) if len(token) < 3 or token[2] != 0]


def _common(a: Sequence[Any], b: Sequence[Any]) -> int:
    return next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _plain(clip: Any, name: str, text: str) -> str:
    """The text as the encoder reads it: without the brackets of weights where it parses them."""
    weighted = any(token[1] != 1.0 for _, token in _content(clip, name, "(x:1.5)"))
    if not weighted:
        return text
    return "".join(unescape_important(part) for part, _ in token_weights(escape_important(text), 1.0))


def tokenizer_of(clip: Any, name: str) -> Any:
    """The tokenizer of one text encoder."""
    return getattr(clip.tokenizer, name, None) or getattr(clip.tokenizer, f"clip_{name}")


# Bytes


def squeezed(text: str, folded: bool) -> bytes:
    """The bytes that tokens and text are compared by: no spaces, one form of each character."""
    text = unicodedata.normalize("NFKC", text)
    return "".join((text.lower() if folded else text).split()).encode()


def _squeezed_bytes(string: str, spaced: bool, folded: bool) -> bytes:
    """Those of a token's string; part of a character stays as it is."""
    byte = re.fullmatch(r"<0x([0-9A-F]{2})>", string) if spaced else None
    if byte:
        raw = bytes([int(byte[1], 16)])
    else:
        raw = string.replace(_SPACE, " ").encode() if spaced else token_bytes(string.removesuffix(_END))
    try:
        return squeezed(raw.decode(), folded)
    except UnicodeDecodeError:
        return b"".join(raw.split())


def _lost(text: str, token: str) -> P2PError:
    return P2PError(
        "a prompt that its text encoder splits into its own characters",
        f"{text!r}, where the token {token!r} does not follow",
        "Write the prompt without unusual characters.",
    )


# Words


def _words(text: str, pieces: Sequence[Piece], at: Mapping[Place, int]) -> Iterator[Word]:
    """Words and punctuation marks; those that share a token are one word, as in scripts without spaces."""
    joined: list[tuple[tuple[int, int], list[Piece]]] = []
    for first, last in (word.span() for word in _WORD.finditer(text)):
        bounds = len(squeezed(text[:first], False)), len(squeezed(text[:last], False))
        own = [piece for piece in pieces if piece.start < bounds[1] and piece.stop > bounds[0]]
        if joined and any(piece in joined[-1][1] for piece in own):
            (start, _), before = joined.pop()
            joined.append(((start, last), [*before, *(piece for piece in own if piece not in before)]))
        elif own:
            joined.append(((first, last), own))
    for (first, last), own in joined:
        columns = tuple(at[piece.place] for piece in own)
        strings = tuple(piece.string for piece in own)
        yield Word(normalise(text[first:last]), columns, own[0].weight, strings)
