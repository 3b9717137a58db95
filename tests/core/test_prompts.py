"""Words, their columns, and finding them by text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompts_of import CHUNK, layout, long_prompts, made_of, made_prompts, prompt_of, tries

from p2p_core.errors import P2PError
from p2p_core.words.pieces import Piece, build_prompt
from p2p_core.words.prompts import Prompt, PromptSet, split_edits


def texts(prompt: Prompt) -> list[str]:
    return [word.text for word in prompt.words]


# Words and columns


def test_a_word_has_the_columns_of_its_tokens() -> None:
    prompt = prompt_of("a purple mushroom on grass")
    assert [(w.text, w.columns) for w in prompt.words] == [
        ("a", (1,)),
        ("purple", (2, 3)),
        ("mushroom", (4, 5)),
        ("on", (6,)),
        ("grass", (7,)),
    ]
    assert prompt.columns == CHUNK
    assert prompt.content == frozenset(range(1, 8))


def test_a_word_may_lie_across_the_border_of_two_chunks() -> None:
    prompt = prompt_of("a " * 74 + "mushroom on grass")
    assert prompt.columns == 2 * CHUNK
    assert prompt.find("mushroom") == (75, 78)  # 76 ends the first chunk, 77 starts the second
    assert prompt.find("grass") == (80,)


@tries(40)
@given(made_prompts() | long_prompts())
def test_words_share_out_all_columns_but_specials(prompt: Prompt) -> None:
    columns = [c for word in prompt.words for c in word.columns]
    assert columns == sorted(set(columns))
    assert all(0 < c % CHUNK < CHUNK - 1 for c in columns)
    assert " ".join(f"{w.text}*{len(w.columns)}" for w in prompt.words) == prompt.text
    assert prompt.columns == CHUNK * -(-len(columns) // (CHUNK - 2))


def test_the_weight_of_a_word_is_kept() -> None:
    pieces = [Piece("fl", ends_word=False, weight=1.3), Piece("uffy", weight=1.3), Piece("cat")]
    prompt = build_prompt("(fluffy:1.3) cat", list(layout(pieces)))
    assert [(w.text, w.weight) for w in prompt.words] == [("fluffy", 1.3), ("cat", 1.0)]


def test_an_embedding_is_one_word_of_several_columns() -> None:
    vectors = [Piece("embedding:Foo", "embedding", ends_word=last) for last in (False, False, True)]
    prompt = build_prompt("embedding:Foo cat", list(layout([*vectors, Piece("cat")])))
    assert texts(prompt) == ["embedding:foo", "cat"]
    assert prompt.find("embedding:Foo") == (1, 2, 3)
    assert prompt.find("embedding:foo cat") == (1, 2, 3, 4)
    assert not prompt.has("foo")


@pytest.mark.parametrize("count", [0, 1, 76, 78])
def test_columns_are_a_whole_number_of_chunks(count: int) -> None:
    with pytest.raises(P2PError, match=f"chunks of 77 tokens, got {count} tokens"):
        build_prompt("a", [Piece("a")] * count)


def test_prompts_that_differ_in_their_tokens_alone_are_different() -> None:
    assert made_of("a cat") == made_of("a cat")
    one, two = (build_prompt("cat", list(layout([Piece("cat", weight=w)]))) for w in (1.0, 1.2))
    assert one != two


# Finding


@pytest.mark.parametrize(
    ("text", "query", "columns"),
    [
        ("a red house on grass", "red", (2,)),
        ("a red house on grass", "RED House", (2, *prompt_of("a red house").words[2].columns)),
        ("a red house on grass", "  red ", (2,)),
        ("a red house, on grass", "red", (2,)),
        ("a red, blue star", "red, blue", (2, 3, 4)),
        ("a red, blue star", "red , blue", (2, 3, 4)),
        ("a red, blue star", "red,", (2, 3)),
        ("a red star", "red,", (2,)),
        ("a red star", '"red star"', (2, 3)),
        ("a purple mushroom", "purple mushroom", (2, 3, 4, 5)),
        ("red on red on red", "red", (1, 3, 5)),
        ("red on red on red", "red[2]", (3,)),
        ("red on red on red", "on red[2]", (4, 5)),
        ("red red red", "red red", (1, 2)),
        ("a red star", "(red:1.2)", (2,)),
        ("a red star", "((red))", (2,)),
        ("a red star", "(red star:-0.5)", (2, 3)),
        ("red on red", "(red:1.2)[2]", (3,)),
        ("red on red", "(red[2]:1.2)", (3,)),
    ],
)
def test_find(text: str, query: str, columns: tuple[int, ...]) -> None:
    assert prompt_of(text).find(query) == columns
    assert prompt_of(text).has(query)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("concatenate strings", "cat"),
        ("a cat", "concatenate"),
        ("a cat", "at"),
        ("a cat", "ca"),
        ("a red star", "redstar"),
        ("a redstar", "red star"),
        ("a red star", "red a star"),
        ("a red, blue star", "red blue"),
        ("a red", "red star"),
        ("red on red", "red[3]"),
        ("red", "red[0]"),
        ("red", ""),
        ("red", "()"),
        ("red", "..."),
        ("red", "red 😀"),
    ],
)
def test_what_is_not_there_is_an_error_with_the_words(text: str, query: str) -> None:
    prompt = prompt_of(text)
    assert not prompt.has(query)
    with pytest.raises(P2PError) as error:
        prompt.find(query)
    assert repr(query) in error.value.got
    assert ", ".join(texts(prompt)) in error.value.hint
    assert repr(text) in error.value.expected


def test_the_error_says_how_often_a_word_is_there() -> None:
    with pytest.raises(P2PError, match=r"'red\[3\]' \(it occurs 2 times\)"):
        prompt_of("red on red").find("red[3]")


@pytest.mark.parametrize(
    ("typed", "query"),
    [
        ("it's", "it's"),
        ("o'toole", "O'Toole"),
        ("red-blue", "red-blue"),
        ("42", "42"),
        ("café", unicodedata.normalize("NFD", "café")),
        (unicodedata.normalize("NFD", "café"), "CAFÉ"),
        ("😀", "😀"),
        ("👩‍🚀", "👩‍🚀"),
        ("שלום", "שלום"),
        ("हिन्दी", "हिन्दी"),
        ("İstanbul", "İstanbul"),
    ],
)
def test_a_typed_word_is_found_however_it_is_cut(typed: str, query: str) -> None:
    prompt = prompt_of(f"star {typed} star")
    assert prompt.find(query) == tuple(c for word in prompt.words[1:-1] for c in word.columns)


@tries(40)
@given(made_prompts(30, different=8), st.data())
def test_every_span_of_words_is_found_where_it_is(prompt: Prompt, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(prompt.words) - 1))
    stop = data.draw(st.integers(start + 1, len(prompt.words)))
    span = prompt.words[start:stop]
    found = prompt.find(" ".join(word.text for word in span))
    length = sum(len(word.columns) for word in span)
    places = [found[i : i + length] for i in range(0, len(found), length)]
    assert [by_column(prompt, place) for place in places] == [[w.text for w in span]] * len(places)
    assert [prompt.find(f"{' '.join(w.text for w in span)}[{n + 1}]") for n in range(len(places))] == places


def by_column(prompt: Prompt, columns: tuple[int, ...]) -> list[str]:
    return [word.text for word in prompt.words if word.columns[0] in columns]


# Names of words


def test_a_repeated_word_is_numbered_from_the_first_on() -> None:
    prompt = made_of("a cat , a cat sat")
    assert prompt.names == ("a[1]", "cat[1]", ",", "a[2]", "cat[2]", "sat")
    assert [prompt.find(name) for name in ("cat[1]", "cat[2]", "cat")] == [(2,), (5,), (2, 5)]
    with pytest.raises(P2PError, match="occurs 2 times"):
        prompt.find("cat[3]")


def test_words_of_a_set_are_numbered_where_any_prompt_repeats_them() -> None:
    prompts = PromptSet(made_of("a cat , a cat"), (made_of("a dog on a hill a"),))
    assert prompts.names == ("a[1]", "cat[1]", ",", "a[2]", "cat[2]", "dog", "on", "hill", "a[3]")
    once = PromptSet(made_of("a cat"), (made_of("a cat by a tree"),))
    assert once.names == ("a[1]", "cat", "by", "a[2]", "tree")


@tries(40)
@given(made_prompts(20, different=8), st.lists(made_prompts(20, different=8), max_size=2))
def test_every_word_is_found_by_its_name_and_by_no_other(source: Prompt, edits: list[Prompt]) -> None:
    for prompt in (source, *edits):
        assert [prompt.find(name) for name in prompt.names] == [word.columns for word in prompt.words]
    prompts = PromptSet(source, tuple(edits))
    for prompt in prompts.prompts:
        found = [prompt.find(name) for name in prompts.names if prompt.has(name)]
        assert sorted(found) == [word.columns for word in prompt.words]


# Prompt sets


@pytest.mark.parametrize(
    ("source", "edits", "trouble"),
    [
        ("", ["a"], "a source prompt"),
        ("a", ["b", ""], "an edit prompt"),
    ],
)
def test_empty_prompts_are_refused(source: str, edits: list[str], trouble: str) -> None:
    with pytest.raises(P2PError, match=f"expected {trouble}"):
        PromptSet(made_of(source), tuple(made_of(edit) for edit in edits))


def test_rows_of_a_prompt_set() -> None:
    pair = PromptSet(made_of("a cat"), (made_of("a dog"), made_of("a fox")))
    assert pair.texts == ("a cat", "a dog", "a fox")
    assert pair.prompts[2] is pair.edits[1]


@pytest.mark.parametrize(
    ("text", "edits"),
    [
        ("a dog", ("a dog",)),
        (" a dog\n", ("a dog",)),
        ("a dog\n---\na fox", ("a dog", "a fox")),
        ("a dog\r\n --- \r\na fox", ("a dog", "a fox")),
        ("a dog,\nrunning\n---\na fox", ("a dog,\nrunning", "a fox")),
        ("a dog\n---\n", ("a dog", "")),
        ("a --- dog\n----\na fox", ("a --- dog\n----\na fox",)),
        ("", ()),
        (" \n", ()),
    ],
)
def test_split_edits(text: str, edits: tuple[str, ...]) -> None:
    assert split_edits(text) == edits
