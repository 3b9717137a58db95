"""Phrases in the words of prompts that repeat themselves."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompts_of import tries

from p2p_core.words import finding
from p2p_core.words.finding import Finder

LETTERS = st.sampled_from(["a", "b", "aa", "ab", ",", "'s", "a,", "a b", "\u732b"])


@tries(300)
@given(st.lists(LETTERS, max_size=12), st.lists(LETTERS, min_size=1, max_size=5), st.data())
def test_both_ways_find_the_same(words: list[str], phrase: list[str], data: st.DataObject) -> None:
    text = phrase[0] + "".join(data.draw(st.sampled_from(["", " "])) + word for word in phrase[1:])
    assert found(words, text, few=True) == found(words, text, few=False)


def found(words: list[str], phrase: str, few: bool) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finding, "_MANY", 10**9 if few else 0)
        return Finder(words).spans(phrase)


def test_a_phrase_that_overlaps_itself_is_found_from_the_left() -> None:
    assert Finder(["a"] * 5).spans("a a") == [(0, 2), (2, 4)]
