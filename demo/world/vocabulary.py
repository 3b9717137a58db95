"""The demo model's BPE vocabulary, in CLIPTokenizer's own file format (vocab.json, merges.txt).

Every byte is in the alphabet, so any text can be tokenised. Each word of the captions becomes one token,
except those in `SPLIT`, which stay in parts, so that the pack meets words of several tokens.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from .scenes import BACKGROUNDS, COLORS, KINDS, SIZES

START, END = "<|startoftext|>", "<|endoftext|>"
SPLIT = {
    "mushroom": ("mush", "room"),
    "triangle": ("tri", "angle"),
    "sailing": ("sail", "ing"),
    "purple": ("pur", "ple"),
    "diamond": ("dia", "mond"),
}
OTHER_WORDS = ("a", "an", "and", "the", "picture", "of", "with", ",", ".")


def words() -> list[str]:
    """Every word the captions use, sorted."""
    texts = [*COLORS, *KINDS, *SIZES, *BACKGROUNDS.values(), *OTHER_WORDS]
    return sorted({w for text in texts for w in text.split()})


def byte_alphabet() -> list[str]:
    """The 256 printable stand-ins for bytes that byte-level BPE uses, in CLIP's order."""
    kept = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    moved = [256 + i for i in range(256 - len(kept))]
    return [chr(c) for c in kept + moved]


def learn_merges(pieces: Iterable[tuple[str, ...]]) -> list[tuple[str, str]]:
    """Byte-pair merges, most frequent pair first, until every piece is one symbol."""
    live = [list(p) for p in pieces]
    merges: list[tuple[str, str]] = []
    while True:
        pairs = Counter((a, b) for symbols in live for a, b in pairwise(symbols))
        if not pairs:
            return merges
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        live = [_merge(symbols, best) for symbols in live]


def _merge(symbols: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    i = 0
    while i < len(symbols):
        if tuple(symbols[i : i + 2]) == pair:
            merged.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            merged.append(symbols[i])
            i += 1
    return merged


def write(folder: Path) -> None:
    """Write vocab.json, merges.txt and tokenizer_config.json into `folder`."""
    pieces: list[tuple[str, ...]] = []
    for word in words():
        parts = SPLIT.get(word, (word,))
        pieces += [tuple(p) for p in parts[:-1]] + [(*parts[-1][:-1], parts[-1][-1] + "</w>")]
    merges = learn_merges(pieces)
    letters = byte_alphabet()
    tokens = [*letters, *(c + "</w>" for c in letters), *("".join(m) for m in merges), START, END]
    folder.mkdir(parents=True, exist_ok=True)
    vocab = {token: i for i, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(m) for m in merges), ""]
    (folder / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": 77,
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        "pad_token": END,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
