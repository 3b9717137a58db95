"""Hostile text in the fields of nodes: each is accepted or refused with a hint, in well under a second."""

from __future__ import annotations

import time
from random import Random
from typing import Any

from graphs import Graph

LONGEST = 10_000  # characters that a field may have
SLOWEST = 3.0  # seconds for a node, on a machine that does other things too
PIECES = (
    *(
        "(",
        ")",
        ":",
        ",",
        "\n",
        " ",
        "\t",
        "a",
        "house",
        "---\n",
        "[",
        "]",
        "1",
        "9",
        ".",
        "-",
        "\\",
        "{",
        "}",
    ),
    *("\u0300", "\u0327", "猫", "é", "input ", "1/4", "1e9", ":1.2)", "embedding:a ", "'s", "!", "\u200d"),
)
NUMBERS = (
    *("9" * 5000, "1e400", "-1e400", "nan", "inf", "0." + "0" * 400 + "1", "1_000", "٣", "0x10", "1e-400"),
    *("999999999999", "-0", "+1", "1.", ".1", "..", "1e", "", "½", "1" * 33),
)
FIELDS = {
    "PromptEdit": ("word_windows", "layers"),
    "WordSwap": ("word_windows", "layers"),
    "Reweight": ("weights", "layers"),
    "LocalBlend": ("source_words", "edit_words", "subtract_words", "layers"),
    "AttentionStore": ("words", "layers"),
}


def growth(graph: Graph, error: type[Exception], random: Random) -> str:
    """A long field of few kinds of pieces."""
    some = random.choices(PIECES, k=random.choice((1, 1, 2, 3)))
    length = random.choice((10, 1000, LONGEST, LONGEST, LONGEST + 1, 10 * LONGEST))
    text = "".join(random.choices(some, k=length))[:length] + random.choice(("", "x", ")", ":1"))
    return _given(graph, error, random, text)


def numbers(graph: Graph, error: type[Exception], random: Random) -> str:
    """Numbers of every spelling where a field has one."""
    number, other = random.choices(NUMBERS, k=2)
    forms = (f"house: {number}", f"house: {number}-{other}", f"house[{number}]", f"(house:{number})",
             f"house[{number}]: {other}", f"input {number}-{other}", f"1/{number}")  # fmt: skip
    return _given(graph, error, random, random.choice(forms))


def _given(graph: Graph, error: type[Exception], random: Random, text: str) -> str:
    node = random.choice(list(FIELDS))
    widgets: dict[str, Any] = {"source_words": "circle"} if node == "LocalBlend" else {}
    widgets[random.choice(FIELDS[node])] = text
    prompts = graph.pair()[0]
    start = time.process_time()
    try:
        graph.on(node, prompts, **widgets)
        result = "accepted"
    except error as refusal:
        assert refusal.hint and refusal.node and len(str(refusal)) < 2000  # type: ignore[attr-defined]
        result = "refused"
    assert time.process_time() - start < SLOWEST, (node, text[:100], len(text))
    return result
