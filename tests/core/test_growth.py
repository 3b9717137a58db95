"""Every parser of text takes time in proportion to its input, and little of it for the longest field."""

from __future__ import annotations

import math
import time
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest

from p2p_core.architecture.layers import LayerFilter
from p2p_core.errors import P2PError
from p2p_core.words.align import align_edit, align_refine, align_swap
from p2p_core.words.fields import CHARACTERS, blocks, entries
from p2p_core.words.pieces import Piece, build_prompt
from p2p_core.words.prompts import Prompt, split_edits
from p2p_core.words.reading import Token, read, words_of
from p2p_core.words.texts import normalise, parse_query, readings, without_punctuation
from p2p_core.words.weights import parse_weights
from p2p_core.words.windows import parse_word_windows

SIZES = (1250, 2500, 5000, 10_000)
SLOWEST = 1.0  # seconds for the longest field, on a machine that does other things too
Make = Callable[[int], str]

TEXTS: dict[str, Make] = {
    "letters": lambda n: "a" * n,
    "words": lambda n: "a " * (n // 2),
    "different words": lambda n: " ".join(map(str, range(n // 5))),
    "commas": lambda n: "a," * (n // 2),
    "brackets": lambda n: "(" * (n // 2 - 1) + "a" + ")" * (n // 2 - 1),
    "open brackets": lambda n: "(" * n,
    "weighted brackets": lambda n: "(" * (n // 5) + "a" + ":1.)" * (n // 5),
    "digits": lambda n: "(a:" + "1" * (n - 4) + ")",
    "digits at the end": lambda n: "a:" + "1" * (n - 2),
    "a number": lambda n: "a[" + "1" * (n - 3) + "]",
    "colons": lambda n: "a:" * (n // 2 - 2) + "x y",
    "dots": lambda n: "a:" + "." * (n - 3) + "x",
    "spaces": lambda n: "a" + " " * (n - 2) + "x",
    "spaces after a colon": lambda n: "a:" + " " * (n - 3) + "x",
    "line breaks": lambda n: "a" + "\n" * (n - 2) + "x",
    "dashes": lambda n: "---\n" * (n // 4),
    "tabs and dashes": lambda n: "\t" * (n - 4) + "---x",
    "marks": lambda n: "a" + "\u0300\u0327" * (n // 2 - 1),
    "punctuation": lambda n: "!" * (n // 2) + "?." * (n // 4),
    "layers": lambda n: "input 1-3," * (n // 10),
    "layer spaces": lambda n: "input" + " " * (n - 6) + "-",
    "layer digits": lambda n: "input " + "9" * (n - 6),
    "embeddings": lambda n: "embedding:a " * (n // 12),
}
PARSERS: dict[str, Callable[[str], object]] = {
    "blocks": blocks,
    "entries": entries,
    "edits": split_edits,
    "queries": parse_query,
    "normal form": normalise,
    "readings": readings.__wrapped__,
    "punctuation": without_punctuation,
    "weights": parse_weights,
    "windows": parse_word_windows,
    "layers": LayerFilter,
    "words": words_of,
    "bytes": lambda text: read([Token(part.encode()) for part in text.split()], words_of(text)),
}


def exponent(seconds: Sequence[float]) -> float:
    """The slope of time over size, both as logarithms, by least squares."""
    x, y = [math.log(size) for size in SIZES], [math.log(max(s, 1e-4)) for s in seconds]
    mx, my = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / sum((a - mx) ** 2 for a in x)


def growing(parse: Callable[[str], object], make: Make) -> list[float]:
    """The least of a few runs at each size: other work on the machine only adds time."""
    return [min(seconds(parse, make(size)) for _ in range(3)) for size in SIZES]


def seconds(parse: Callable[[str], object], text: str) -> float:
    start = time.process_time()
    with suppress(P2PError):
        parse(text)
    return time.process_time() - start


def require_linear(parse: Callable[[str], object], make: Make) -> None:
    for _ in range(3):  # a busy machine may spoil a measurement
        times = growing(parse, make)
        if exponent(times) <= 1.2 and times[-1] < SLOWEST:
            return
    raise AssertionError(f"exponent {exponent(times):.2f}, {times[-1]:.2f} s for {SIZES[-1]} characters")


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("text", TEXTS)
def test_a_parser_is_linear(parser: str, text: str) -> None:
    require_linear(PARSERS[parser], TEXTS[text])


# What looks words up


def prompt(text: str) -> Prompt:
    pieces = [Piece("", "special"), *map(Piece, text.split()), Piece("", "special")]
    return build_prompt(text, pieces, chunk=len(pieces))


FULL = "a " * (CHARACTERS // 2)
LOOKUPS: dict[str, Callable[[str], object]] = {
    "words in a growing prompt": lambda text: prompt(text).find("a a a a b"),
    "a growing phrase": lambda text: LONG.find(text + "b"),
    "names": lambda text: [prompt(text).names],
    "each word by its name": lambda text: [
        found.find(name) for found in [prompt(text)] for name in found.names
    ],
    "a word swap": lambda text: align_swap(prompt(text), prompt("b " + text)),
    "a refinement": lambda text: align_refine(prompt(text), prompt("b " + text)),
    "an edit": lambda text: align_edit(prompt(text), prompt("b " + text)),
}
LONG = prompt(FULL)


@pytest.mark.parametrize("lookup", LOOKUPS)
@pytest.mark.parametrize("text", ["words", "different words"])
def test_looking_up_words_is_linear(lookup: str, text: str) -> None:
    require_linear(LOOKUPS[lookup], TEXTS[text])


# Bounds


@pytest.mark.parametrize(
    "parse", [blocks, entries, split_edits, parse_weights, parse_word_windows, LayerFilter]
)
def test_a_field_has_a_longest_length(parse: Callable[[str], object]) -> None:
    with pytest.raises(P2PError, match=r"at most 10,000 characters in a field, got 10,001"):
        parse("a" * (CHARACTERS + 1))


def test_numbers_with_too_many_digits_are_none() -> None:
    for query in ("a[" + "9" * 5000 + "]", "a[9999999]"):
        assert parse_query(query) == (query, None)
    for layers in ("input 99999", "1/" + "9" * 5000, "input " + "9" * 5000):
        with pytest.raises(P2PError, match="layers such as"):
            LayerFilter(layers)
    for windows in ("a: 0." + "0" * 5000, "a: " + "0" * 40):
        with pytest.raises(P2PError, match="word windows such as"):
            parse_word_windows(windows)


def test_a_phrase_that_becomes_one_of_another_length_has_a_limit() -> None:
    left, right = ("x" + " y" * 2000), " ".join(map(str, range(1500)))
    with pytest.raises(P2PError, match="Keep some words between the changes"):
        align_swap(prompt(left), prompt(right))


def test_marks_keep_their_normal_form_up_to_thirty_in_a_row() -> None:
    text = "e\u0301 a\u0327\u0301 \u1ed9" + "o" + "\u0323" * 30
    assert normalise(text) == unicodedata.normalize("NFC", text)
