"""Where the source's attention goes in a word swap."""

from __future__ import annotations

import random
import time
from functools import cache
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paper_form import published_mapper
from prompts_of import CHUNK, long_prompts, made_of, made_prompts, matrix, prompt_of, tries, word_by_word

from p2p_core.words.align import align_swap, common_words, swap_changes
from p2p_core.words.prompts import Prompt

Pairs = st.tuples(made_prompts(), made_prompts())
LongPairs = st.tuples(long_prompts(), long_prompts())
RepeatingPairs = st.tuples(made_prompts(20, different=4), made_prompts(20, different=4))


# Properties


@tries(80)
@given(Pairs | RepeatingPairs | LongPairs | word_by_word())
def test_every_source_column_gives_all_of_its_attention(pair: tuple[Prompt, Prompt]) -> None:
    source, edit = pair
    alignment = align_swap(source, edit)
    given_out = [0.0] * source.columns
    for s, e, share in alignment.mapper:
        assert share > 0
        assert 0 <= e < edit.columns
        given_out[s] += share
    assert given_out == pytest.approx([1.0] * source.columns)
    assert alignment.alpha == (1.0,) * edit.columns
    assert alignment.source_columns == source.columns
    assert [entry[:2] for entry in alignment.mapper] == sorted({entry[:2] for entry in alignment.mapper})


@tries(40)
@given(Pairs | RepeatingPairs | LongPairs)
def test_every_word_of_the_edit_gets_attention_of_words_and_specials_of_specials(
    pair: tuple[Prompt, Prompt],
) -> None:
    source, edit = pair
    mapper, source_words, edit_words = align_swap(source, edit).mapper, source.content, edit.content
    assert edit_words <= {e for _, e, _ in mapper}
    assert all((s in source_words) == (e in edit_words) for s, e, _ in mapper)
    assert {(s, e) for s, e, _ in mapper if s == 0} == {(0, 0)}


@tries(40)
@given(made_prompts() | long_prompts())
def test_equal_prompts_give_the_identity(prompt: Prompt) -> None:
    assert align_swap(prompt, prompt).mapper == tuple((c, c, 1.0) for c in range(prompt.columns))


@tries(40)
@given(Pairs | RepeatingPairs | word_by_word())
def test_changes_cover_both_prompts_in_order(pair: tuple[Prompt, Prompt]) -> None:
    changes = swap_changes(*pair)
    for side, prompt in (("source", pair[0]), ("edit", pair[1])):
        spans = [getattr(change, side) for change in changes]
        assert all(start < stop for start, stop in spans)
        assert [0, *[stop for _, stop in spans]] == [*[start for start, _ in spans], len(prompt.words)]


@tries(40)
@given(Pairs | RepeatingPairs | word_by_word())
def test_kept_words_keep_their_attention(pair: tuple[Prompt, Prompt]) -> None:
    source, edit = pair
    mapper = align_swap(source, edit).mapper
    for change in swap_changes(source, edit):
        if change.kept:
            a, b = source.words[change.source[0]], edit.words[change.edit[0]]
            assert a.text == b.text
            one_to_one = {(s, e, 1.0) for s, e in zip(a.columns, b.columns, strict=True)}
            assert {entry for entry in mapper if entry[0] in a.columns or entry[1] in b.columns} == one_to_one


@tries(40)
@given(word_by_word())
def test_equal_word_counts_pair_word_by_word(pair: tuple[Prompt, Prompt]) -> None:
    source, edit = pair
    goes_to = {(s, e) for s, e, _ in align_swap(source, edit).mapper if s in source.content}
    pairs = {
        (s, e)
        for a, b in zip(source.words, edit.words, strict=True)
        for n, s in enumerate(a.columns)
        for m, e in enumerate(b.columns)
        if len(a.columns) != len(b.columns) or n == m
    }
    assert goes_to == pairs


@tries(100)
@given(st.text("abc", max_size=12), st.text("abc", max_size=12))
def test_common_words_are_as_many_as_can_be(a: str, b: str) -> None:
    pairs = common_words(a, b)
    assert all(a[i] == b[j] for i, j in pairs)
    assert all(i < k and j < m for (i, j), (k, m) in pairwise(pairs))

    @cache
    def most(i: int, j: int) -> int:
        if i == len(a) or j == len(b):
            return 0
        return 1 + most(i + 1, j + 1) if a[i] == b[j] else max(most(i + 1, j), most(i, j + 1))

    assert len(pairs) == most(0, 0)


# Examples: unequal word counts


def becomes(source: str, edit: str) -> dict[str, str]:
    """The words of the edit that get attention from each source word."""
    a, b = made_of(source), made_of(edit)
    goes_to = {(s, e) for s, e, _ in align_swap(a, b).mapper}
    return {
        word.text: " ".join(w.text for w in b.words if goes_to & set(product(word.columns, w.columns)))
        for word in a.words
    }


@pytest.mark.parametrize(
    ("source", "edit", "changed"),
    [
        ("cat on grass", "cat on a brick wall", {"grass": "a brick wall"}),
        ("cat on grass", "cat on a*2 brick*3 wall", {"grass": "a brick wall"}),
        ("a cat", "a red cat", {"cat": "red cat"}),
        ("a cat", "a cat asleep", {"cat": "cat asleep"}),
        ("a cat", "see a cat", {"a": "see a"}),
        ("a red cat", "a cat", {"red": "cat", "cat": "cat"}),
        ("a cat asleep outside", "a cat", {"cat": "cat", "asleep": "cat", "outside": "cat"}),
        ("see a cat", "a cat", {"see": "a", "a": "a"}),
        (
            "old cat near tree",
            "dog near one bush near",
            {"old": "dog", "cat": "dog", "tree": "one bush near"},
        ),
        ("cat", "big red dog", {"cat": "big red dog"}),
        ("big red*2 dog", "cat", {"big": "cat", "red": "cat", "dog": "cat"}),
        ("a big cat here", "a cat here and there", {"big": "cat", "cat": "cat", "here": "here and there"}),
        ("a b", "b a c", {"a": "b a c", "b": "b a c"}),
        ("a house on sand .", "a red house on sand", {"house": "red house", ".": "sand"}),
        ("a cat , on grass", "a big cat on grass", {"cat": "big cat", ",": "on"}),
        ("old cat near tree", "near big old cat", {"old": "near big old", "near": "cat", "tree": "cat"}),
    ],
)
def test_a_phrase_maps_onto_a_phrase(source: str, edit: str, changed: dict[str, str]) -> None:
    expected = {word.text: changed.get(word.text, word.text) for word in made_of(source).words}
    assert becomes(source, edit) == expected


def test_words_that_occur_early_are_kept() -> None:
    """So that an added phrase widens the noun after it and not the article before."""
    changes = swap_changes(made_of("a dog"), made_of("a cat and a dog"))
    assert [(c.source, c.edit, c.kept) for c in changes] == [((0, 1), (0, 1), True), ((1, 2), (1, 5), False)]


def test_the_tokens_of_a_phrase_share_evenly() -> None:
    mapper = align_swap(made_of("big*2 cat here"), made_of("a*2 dog*3 here")).mapper
    assert {entry for entry in mapper if entry[1] in (1, 2)} == {(1, 1, 1.0), (2, 2, 1.0)}
    mapper = align_swap(made_of("big*2 cat here"), made_of("dog*4 here")).mapper
    assert mapper[1:14] == (*[(s, e, 0.25) for s in (1, 2, 3) for e in (1, 2, 3, 4)], (4, 5, 1.0))


def test_words_of_several_tokens_share_evenly() -> None:
    mapper = align_swap(prompt_of("red on grass"), prompt_of("purple on grass")).mapper
    assert [entry for entry in mapper if entry[0] in (1, 2)] == [(1, 1, 0.5), (1, 2, 0.5), (2, 3, 1.0)]
    mapper = align_swap(prompt_of("a purple mushroom"), prompt_of("a diamond sailing")).mapper
    assert mapper == tuple((c, c, 1.0) for c in range(CHUNK))


def test_padding_that_is_left_over_is_spread_over_the_end_and_padding_of_the_edit() -> None:
    rows = matrix(align_swap(made_of("a cat"), made_of("a rhino*3")))
    for column, target in ((3, 5), (4, 6), (74, 76)):
        assert rows[column][target] == 1.0
    for column in (75, 76):
        assert rows[column][5:] == [1 / 72] * 72


def test_chunks_that_the_edit_does_not_have_go_to_its_last() -> None:
    source, edit = made_of("w " * 80 + "cat"), made_of("w " * 80 + "cat" + " w" * 70)
    assert (source.columns, edit.columns) == (2 * CHUNK, 3 * CHUNK)
    there, back = align_swap(source, edit).mapper, align_swap(edit, source).mapper
    assert {s for s, e, _ in there if e >= 2 * CHUNK and s not in source.content} == set()
    assert (2 * CHUNK, CHUNK, 1.0) in back
    assert {e // CHUNK for s, e, _ in back if s >= 2 * CHUNK} == {1}


# Parity with the published code (word counts equal, one chunk)


@pytest.mark.parity
@tries(40)
@given(word_by_word(one_token=True))
def test_equal_token_counts_align_as_published(pair: tuple[Prompt, Prompt]) -> None:
    assert matrix(align_swap(*pair)) == published_mapper(*pair)


@pytest.mark.parity
@tries(40)
@given(word_by_word())
def test_unequal_token_counts_align_as_published_to_the_last_changed_word(
    pair: tuple[Prompt, Prompt],
) -> None:
    source, edit = pair
    if max(source.columns, edit.columns) > CHUNK:
        return
    changed = [(a, b) for a, b in zip(source.words, edit.words, strict=True) if a.text != b.text]
    rows, columns = (word.columns[-1] + 1 for word in changed[-1]) if changed else (CHUNK, CHUNK)
    ours, published = matrix(align_swap(source, edit)), published_mapper(source, edit)
    assert [row[:columns] for row in ours[:rows]] == [row[:columns] for row in published[:rows]]


@pytest.mark.parity
def test_after_the_last_changed_word_the_published_mapper_shifts_and_ours_does_not() -> None:
    """The published code maps j to j there, so `grass` gets the attention of a later column."""
    source, edit = made_of("cat on grass"), made_of("rhino*3 on grass")
    (grass,), (behind,) = source.find("grass"), edit.find("grass")
    ours, published = matrix(align_swap(source, edit)), published_mapper(source, edit)
    assert (ours[grass][behind], published[grass][behind]) == (1.0, 0.0)
    assert published[behind][behind] == 1.0
    assert sum(map(sum, ours)) == pytest.approx(CHUNK) != sum(map(sum, published))


# Speed


@pytest.mark.parametrize("kind", ["words", "tags", "one word"])
def test_prompts_of_five_thousand_letters_align_at_once(kind: str) -> None:
    rng = random.Random(0)
    if kind == "one word":
        source, edit = ["a"] * 2500, ["a"] * 2480
    elif kind == "tags":
        source, edit = (" , ".join(f"{side}{n:05}" for n in range(620)).split() for side in "xy")
        edit = edit[:-9]
    else:
        source = [f"word{rng.randrange(200)}" for _ in range(700)]
        edit = [word if rng.random() < 0.9 else "other" for word in source[5:]]
    a, b = made_of(" ".join(source)), made_of(" ".join(edit))
    assert len(a.text) > 4900

    def seconds() -> float:
        start = time.process_time()
        align_swap(a, b)
        return time.process_time() - start

    assert min(seconds() for _ in range(5)) < 0.1
