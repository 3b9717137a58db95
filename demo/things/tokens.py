"""The BPE vocabulary of the captions, in CLIPTokenizer's own file format, and captions as its token ids.

Every byte is in the alphabet, so any text can be tokenized. Words of the captions become one token each,
except those in SPLIT, which keep two, so that edits meet words of several tokens.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from .captions import NONE, WORDS, compact

START, END = "<|startoftext|>", "<|endoftext|>"
SPLIT = {
    "mushroom": ("mush", "room"),
    "sunflower": ("sun", "flower"),
    "football": ("foot", "ball"),
    "dinosaur": ("dino", "saur"),
    "butterfly": ("butter", "fly"),
    "strawberry": ("straw", "berry"),
    "watercolor": ("water", "color"),
    "purple": ("pur", "ple"),
}
LENGTH = 77
_LETTER_END = "</w>"


class Tokens:
    """Word captions to CLIP's input ids, as CLIPTokenizer on the written files gives them for their texts."""

    def __init__(self, device: torch.device) -> None:
        index = {token: i for i, token in enumerate(vocabulary())}
        rows = [[index[piece] for piece in pieces(word)] for word in WORDS]
        longest = max(len(row) for row in rows)
        padded = [row + [NONE] * (longest - len(row)) for row in rows]
        self.table = torch.tensor([*padded, [NONE] * longest], device=device)
        self.start, self.end = index[START], index[END]

    def __call__(self, words: Tensor) -> Tensor:
        """words [B, L] as `captions` gives them → ids [B, 77] with start, end and padding."""
        inner = compact(self.table[words].flatten(1))[:, : LENGTH - 2]
        ids = torch.full((len(words), LENGTH), self.end, device=words.device)
        ids[:, 0] = self.start
        ids[:, 1 : 1 + inner.shape[1]] = torch.where(inner == NONE, self.end, inner)
        return ids

    @property
    def empty(self) -> Tensor:
        """The ids of the empty text, [77]."""
        ids = torch.full((LENGTH,), self.end, device=self.table.device)
        ids[0] = self.start
        return ids


def pieces(word: str) -> tuple[str, ...]:
    """The tokens of a word of the captions; the last one carries the end of the word."""
    *parts, last = SPLIT.get(word, (word,))
    return (*parts, last + _LETTER_END)


def vocabulary() -> list[str]:
    """Every token, in the order of its id."""
    letters = _byte_alphabet()
    return [*letters, *(c + _LETTER_END for c in letters), *("".join(pair) for pair in merges()), START, END]


def merges() -> list[tuple[str, str]]:
    """Byte-pair merges, most frequent pair first, until every piece is one symbol."""
    live = [_symbols(piece) for word in WORDS for piece in pieces(word)]
    learned: list[tuple[str, str]] = []
    while pairs := Counter(pair for symbols in live for pair in pairwise(symbols)):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        learned.append(best)
        live = [_merged(symbols, best) for symbols in live]
    return learned


def write(folder: Path) -> None:
    """Write vocab.json, merges.txt and tokenizer_config.json into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = {token: i for i, token in enumerate(vocabulary())}
    (folder / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges()), ""]
    (folder / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": LENGTH,
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        "pad_token": END,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def _symbols(piece: str) -> list[str]:
    if piece.endswith(_LETTER_END):
        return [*piece[: -len(_LETTER_END) - 1], piece[-len(_LETTER_END) - 1 :]]
    return list(piece)


def _merged(symbols: Iterable[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for symbol in symbols:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return merged


def _byte_alphabet() -> list[str]:
    """The 256 printable stand-ins for bytes that byte-level BPE uses, in CLIP's order."""
    kept = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(c) for c in (*kept, *range(256, 256 + 256 - len(kept)))]
