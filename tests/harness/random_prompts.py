"""Random prompts and text fields about them; no torch, no host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random


def _words(text: str) -> list[str]:
    return text.split()


COMMON = _words("""
    a an the and on in of red blue yellow purple circle star house tree grass snow sand water cat big photo,
    4k masterpiece, it's rock'n'roll
""")
UNUSUAL = _words("""
    🐈 👩‍👩‍👧 مرحبا שלום 日本語 ночь naïve Ω≈ç√ — (( )) (: () [x] \\( {a|b} <lora:x:1> embedding:none BREAK
    AND --- ... ,, </w> <|endoftext|> <|startoftext|> 1e9 - " ' # %s $HOME \\
""")
UNUSUAL += ["e\u0301", "\u200b", "\u202e", "\ufeff", "\x00", "\t", "a" * 200]
WINDOWS = (": 0.4", ": 0.2-0.8", ": 0", ": 1", ": -1", ": 2", ": x", ":", "")
WEIGHTS = (": 2", ": -1", ": 0", ": 1e3", ": nan", ": 1,5", ":", "")


@dataclass(frozen=True)
class Case:
    """Prompts and the text fields of nodes that refer to their words."""

    source: str
    edit: str
    word_windows: str
    weights: str
    blend: str


def case(random: Random) -> Case:
    source = prompt(random)
    edits = [_edited(random, source) for _ in range(random.choice([1, 1, 1, 2, 3]))]
    words = [w for text in (source, *edits) for w in text.split()] or ["a"]
    windows, weights = _fields(random, words, WINDOWS, 0), _fields(random, words, WEIGHTS, 1)
    return Case(source, "\n---\n".join(edits), windows, weights, _fields(random, words, ("",), 1))


def prompt(random: Random) -> str:
    count = random.choice([0, 1, 2, 5, 8, 8, 8, 12, 20, 80, 200])
    unusual = random.choice([0.0, 0.0, 0.1, 0.5])
    return random.choice([" ", " ", " ", "  ", "\n", ""]).join(_word(random, unusual) for _ in range(count))


def _word(random: Random, unusual: float) -> str:
    word = random.choice(UNUSUAL if random.random() < unusual else COMMON)
    weighted = [word] * 12 + [f"({word}:{random.uniform(-2, 3):.2f})", f"({word})", f"[{word}]", word.upper()]
    return random.choice(weighted)


def _edited(random: Random, source: str) -> str:
    """The source with some words changed, added, removed or moved; sometimes another prompt."""
    if random.random() < 0.15:
        return prompt(random)
    words = source.split(" ")
    for _ in range(random.choice([0, 1, 1, 2, 4])):
        at = random.randrange(len(words) + 1)
        if random.random() < 0.2:
            random.shuffle(words)
        else:
            words[at : at + random.choice([0, 1, 1])] = [_word(random, 0.1)] * random.choice([0, 1, 1])
    return " ".join(words)


def _fields(random: Random, words: list[str], values: Sequence[str], least: int) -> str:
    """Entries with words and phrases that mostly exist."""
    entries: list[str] = []
    for _ in range(random.choice([least, 1, 2])):
        at = random.randrange(len(words))
        phrase = " ".join(words[at : at + random.choice([1, 1, 2])])
        entries.append(random.choice([phrase] * 8 + ["zebra", f"{phrase}[2]", ""]) + random.choice(values))
    return random.choice(["\n", ", "]).join(entries)
