"""Which words the tokens of a text stand for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompts_of import tries

from p2p_core.words.joining import Part, joined
from p2p_core.words.prompts import Prompt
from p2p_core.words.reading import Reading, Token, read, words_of
from p2p_core.words.texts import bytes_of_letters, bytes_of_piece, is_readable, token_text


def reading(text: str, *data: bytes | None) -> Reading | None:
    return read([Token(each) for each in data], words_of(text))


def prompt(text: str, *data: bytes | None) -> Prompt:
    found = reading(text, *data)
    assert found is not None
    return joined(text, words_of(text), [Part("encoder", found, tuple(range(len(data))))])


def columns(text: str, *data: bytes | None) -> dict[str, tuple[int, ...]]:
    return {word.text: word.columns for word in prompt(text, *data).words}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a red cat, on T-shirt", ["a", "red", "cat", ",", "on", "T", "-", "shirt"]),
        ("don't 'quote' man's", ["don", "'t", "'", "quote", "'", "man", "'s"]),
        ("1990 a1 x_y", ["1990", "a", "1", "x", "_", "y"]),
        ("红猫，a", ["红", "猫", "，", "a"]),  # noqa: RUF001
        ("🐱🐶 ❤️ 👨‍👩‍👧!?", ["🐱", "🐶", "❤️", "👨‍👩‍👧", "!?"]),
        ("हिन्दी ไทย", ["हिन्दी", "ไทย"]),
        ("a \u200b\u3000 b", ["a", "b"]),
        ("an embedding:Foo-1, xembedding:b", ["an", "embedding:Foo-1", ",", "xembedding", ":", "b"]),
        ("", []),
    ],
)
def test_words_of_a_text(text: str, words: list[str]) -> None:
    assert list(words_of(text).words) == words


def test_words_that_share_a_token_are_one() -> None:
    found = prompt("a T-shirt, red", b"a", b" T", b"-sh", b"irt", b",", b" red")
    assert [(word.text, word.columns) for word in found.words] == [
        ("a", (0,)), ("t", (1,)), ("-shirt", (2, 3)), (",", (4,)), ("red", (5,))
    ]  # fmt: skip
    assert found.find("shirt") == found.find("-shirt") == (2, 3)
    assert found.find("T-shirt") == (1, 2, 3)
    assert not found.has("irt") and not found.has("s")


def test_letters_that_are_split_between_tokens() -> None:
    cat = "猫".encode()
    assert columns("红猫", "红".encode(), cat[:1], cat[1:]) == {"红": (0,), "猫": (1, 2)}
    assert columns("红猫", "红".encode() + cat[:1], cat[1:]) == {"红猫": (0, 1)}


def test_phrases_in_a_script_without_spaces() -> None:
    found = prompt("红色的猫", "红色".encode(), "的".encode(), "猫".encode())
    assert found.find("红色的猫") == (0, 1, 2) and found.find("的猫") == (1, 2) and not found.has("色")


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("Cat", [b"cat"]),
        ("\ufb01re", [b"fire"]),
        ("\ufb01re", ["\ufb01".encode(), b"re"]),
        ("e\u0301t", ["ét".encode()]),
        ("½", ["1\u20442".encode()]),
        ("ca\u200bt", [b"ca", b"t"]),
        ("ca\u200bt", [b"ca", "\u200b".encode(), b"t"]),
        ("cat ❤\ufe0f", [b"cat", "❤".encode()]),
        ("a\u3000b", [b"a", b" ", b"b"]),
        ("a\u3000b", [b"a", b"\xe3\x80", b"\x80", b"b"]),
    ],
)
def test_what_tokenizers_change(text: str, data: list[bytes]) -> None:
    found = reading(text, *data)
    assert found is not None and not found.missing
    assert prompt(text, *data).words[0].columns[0] == 0


def test_what_a_vocabulary_does_not_have_stands_for_what_is_left() -> None:
    assert columns("a 机器 cat", b"a", None, b" cat") == {"a": (0,), "机器": (1,), "cat": (2,)}
    assert columns("机器", None) == {"机器": (0,)}


def test_embeddings() -> None:
    tokens = [Token(b"a"), *(Token(embedding=2) for _ in range(2)), Token(b"cat"), Token(embedding=4)]
    text = words_of("a embedding:one, embedding:no cat embedding:two")
    found = read([*tokens[:3], Token(b","), *tokens[3:]], text)
    assert found is not None and not found.missing
    assert found.spans == ((0, 1), (1, 2), (1, 2), (2, 3), (4, 5), (5, 6))


@pytest.mark.parametrize("data", [[b"dog"], [b"ca", b"at"], [b"cat", b"x"], [b"at"]])
def test_other_tokens_than_those_of_the_text(data: list[bytes]) -> None:
    assert reading("cat", *data) is None


def test_words_that_are_cut_off_are_named() -> None:
    found = reading("a red cat", b"a", b"re")
    assert found is not None and found.missing == ("red", "cat")


def test_special_tokens_belong_to_no_word() -> None:
    text = words_of("cat")
    found = read([Token(b"cat", "prefix"), Token(b"cat"), Token(b"cat", "suffix")], text)
    assert found is not None and found.spans == (None, (0, 1), None)


@tries(150)
@given(st.text(max_size=30), st.lists(st.integers(1, 5), min_size=1, max_size=8))
def test_any_text_cut_anywhere(text: str, sizes: list[int]) -> None:
    """Tokens of a text's own bytes are found, and words with letters have columns."""
    if "embedding:" in text or any("\ud800" <= c <= "\udfff" for c in text):
        return
    data, pieces = text.encode(), list[bytes]()
    while data:
        size = sizes[len(pieces) % len(sizes)]
        pieces, data = [*pieces, data[:size]], data[size:]
    found = reading(text, *pieces)
    assert found is not None and not found.missing
    parted = prompt(text, *pieces)
    held = [column for word in parted.words for column in (*word.columns, *word.spaces)]
    assert len(held) == len(set(held))
    if any(c.isalpha() for c in text):
        assert sorted(held) == list(range(len(pieces)))


def test_bytes_of_tokens() -> None:
    assert bytes_of_letters("Ġcat") == b" cat" and bytes_of_letters("Ċ") == b"\n"
    assert bytes_of_piece("▁cat") == b" cat" and bytes_of_piece("<0xF0>") == b"\xf0"
    assert token_text(b"\xf0\x9f") != token_text(b"\xf0\x9e")
    assert is_readable("猫") and not is_readable(token_text(b"\xf0"))
