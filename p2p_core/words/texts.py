"""The text of words: how it is compared, how queries are read, and the bytes of tokens. Torch-free."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Literal


def normalise(text: str) -> str:
    """The form in which words are compared: composed characters, lower case, single spaces."""
    return " ".join(composed(text).lower().split())


def composed(text: str, form: Literal["NFC", "NFKC"] = "NFC") -> str:
    """The text in a normal form of Unicode.

    After 30 marks in a row, a joiner ends the run, as in Unicode's stream-safe text: sorting the marks of a
    run takes quadratic time.
    """
    return text if text.isascii() else unicodedata.normalize(form, _long_run().sub("\\g<0>\u034f", text))


@lru_cache(maxsize=1)
def _long_run() -> re.Pattern[str]:
    return re.compile(f"[{marks()}]{{30}}(?=[{marks()}])")


@lru_cache(maxsize=1)
def marks() -> str:
    """All combining marks, for a class in a regular expression."""
    return "".join(chr(c) for c in range(0x300, 0x11000) if unicodedata.category(chr(c))[0] == "M")


def without_punctuation(phrase: str) -> str:
    """The phrase without punctuation and spaces around it."""
    return phrase.strip(" " + "".join(c for c in set(phrase) if unicodedata.category(c).startswith("P")))


CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")


@lru_cache(maxsize=4096)
def readings(word: str) -> tuple[str, ...]:
    """A word as it is, and without the punctuation that a tokenizer joined with it."""
    bare = word if word in CONTRACTIONS else without_punctuation(word)
    return (word,) if bare in ("", word) else (word, bare)


def splits_a_word(text: str, rest: str) -> bool:
    """Whether a tokenizer would not end the word `text` before `rest`, that is, inside a run of letters.

    Contractions ('s, 't) are always separate words in CLIP, and Chinese and Japanese have no spaces.
    """
    if not (text[-1].isalpha() and rest[0].isalpha()):
        return False
    return not text.startswith("'") and not (_is_wide(text[-1]) or _is_wide(rest[0]))


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


DIGITS = 32  # characters of a number; longer ones are none
_NTH = re.compile(r"\[([1-9]\d{0,5})\]$")
_WEIGHT = re.compile(r":\s*[-+]?\d*\.?\d+")


def parse_query(query: str) -> tuple[str, int | None]:
    """A word as a user writes it (`cat`, `cat[2]`, `red car`, `(cat:1.2)`) → normalised phrase, number."""
    text = _unweighted(query)
    match = _NTH.search(text)
    if match is None or not match.start():
        return normalise(text), None
    return normalise(_unweighted(text[: match.start()])), int(match[1])


def _unweighted(text: str) -> str:
    """The text without spaces and brackets around it, and without a weight in them."""
    start, stop = _bare(text, 0, len(text))
    while stop - start > 2 and text[start] == "(" and text[stop - 1] == ")":
        start, stop = start + 1, stop - 1
        colon = text.rfind(":", max(start + 1, stop - DIGITS), stop)
        stop = colon if colon >= 0 and _WEIGHT.fullmatch(text, colon, stop) else stop
        start, stop = _bare(text, start, stop)
    return text[start:stop]


def _bare(text: str, start: int, stop: int) -> tuple[int, int]:
    """The span without spaces at its ends."""
    while start < stop and text[start].isspace():
        start += 1
    while start < stop and text[stop - 1].isspace():
        stop -= 1
    return start, stop


def number(text: str) -> float:
    """The number that a text is. Raises ValueError for other texts, and for more digits than make sense."""
    if len(text) > DIGITS:
        raise ValueError
    return float(text)


# Tokens


@lru_cache(maxsize=1)
def _byte_of_letter() -> dict[str, int]:
    """Byte-level BPE writes each byte as one printable letter: printable bytes stand for themselves, and the
    others are moved to 256 and up, in order."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = [b for b in range(256) if b not in set(kept)]
    return {chr(b): b for b in kept} | {chr(256 + i): b for i, b in enumerate(moved)}


def bytes_of_letters(letters: str) -> bytes:
    """What byte-level BPE letters stand for; a string with other characters stands for itself."""
    table = _byte_of_letter()
    if any(letter not in table for letter in letters):
        return letters.encode("utf-8", "surrogateescape")
    return bytes(table[letter] for letter in letters)


_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


def bytes_of_piece(piece: str) -> bytes:
    """What a SentencePiece piece stands for: text with ▁ for spaces, or one byte such as <0xF0>."""
    match = _BYTE.fullmatch(piece)
    return bytes([int(match[1], 16)]) if match else piece.replace("\u2581", " ").encode()


def token_text(data: bytes) -> str:
    """The text of a token; bytes of letters that are split between tokens become lone surrogates."""
    return data.decode("utf-8", "surrogateescape")


def is_readable(text: str) -> bool:
    """Whether `token_text` has whole letters only."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)
