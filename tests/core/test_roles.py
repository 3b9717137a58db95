"""Alignment of prompts with templates, padding on either side, and several text encoders."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from prompts_of import Around, matrix, read_as, tries

from p2p_core.words.align import Alignment, align_edit, align_refine, align_swap
from p2p_core.words.joining import Part, joined
from p2p_core.words.prompts import Prompt
from p2p_core.words.reading import Token, read, words_of

makes = st.builds(
    Around,
    left=st.integers(0, 4),
    prefix=st.integers(0, 3),
    suffix=st.integers(0, 5),
    end=st.integers(0, 1),
    columns=st.sampled_from([0, 20, 70]),
    letters=st.integers(1, 4),
)
texts = st.lists(st.sampled_from(["cat", "dog", "mushroom", "red", "on"]), min_size=1, max_size=8)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Prompt, Prompt]:
    """Two prompts that the same encoders read; the padding on the left may differ."""
    around = draw(st.lists(makes, min_size=1, max_size=3))
    others = [Around(draw(st.integers(0, 4)), *_rest(make)) for make in around]
    source, edit = (" ".join(draw(texts)) for _ in range(2))
    return read_as(source, *around), read_as(edit, *others)


def _rest(make: Around) -> tuple[int, ...]:
    return make.prefix, make.suffix, make.end, make.columns, make.letters


def places(prompt: Prompt) -> list[tuple[str, str]]:
    """Encoder and role of every column."""
    return [(segment.encoder, role) for segment in prompt.segments for role in segment.roles]


@tries(80)
@given(pairs())
def test_every_source_column_gives_all_of_its_attention(pair: tuple[Prompt, Prompt]) -> None:
    source, edit = pair
    alignment = align_swap(source, edit)
    assert [sum(row) for row in matrix(alignment)] == pytest.approx([1.0] * source.columns)
    assert alignment.alpha == (1.0,) * edit.columns
    assert [entry[:2] for entry in alignment.mapper] == sorted({entry[:2] for entry in alignment.mapper})


@tries(80)
@given(pairs())
def test_columns_keep_to_their_encoder_and_their_role(pair: tuple[Prompt, Prompt]) -> None:
    source, edit = pair
    left, right = places(source), places(edit)
    for s, e, _ in align_swap(source, edit).mapper:
        encoder, role = left[s]
        assert right[e][0] == encoder
        same = {"end", "padding"} if role in ("end", "padding") else {role}
        if any(place == (encoder, other) for place in right for other in same):
            assert right[e][1] in same


def have_a_place(source: Prompt, edit: Prompt) -> bool:
    """Whether what is around the source's words has a place around the edit's, in each encoder."""
    left, right = ({e for e, role in places(prompt) if role != "word"} for prompt in (source, edit))
    return left <= right


@tries(60)
@given(pairs())
def test_in_refinement_a_column_gives_all_or_nothing(pair: tuple[Prompt, Prompt]) -> None:
    """No text encoder gives words alone for one prompt and padding for another."""
    source, edit = pair
    assume(have_a_place(source, edit))
    for alignment in (align_refine(source, edit), align_edit(source, edit)):
        sums = [sum(row) for row in matrix(alignment)]
        assert all(total == pytest.approx(1.0) or total == 0.0 for total in sums)
        assert {c for c, total in enumerate(sums) if total == 0.0} <= source.content
        own = {c for c, alpha in enumerate(alignment.alpha) if alpha == 0.0}
        assert own <= edit.content and not own & {e for _, e, _ in alignment.mapper}


@tries(40)
@given(pairs())
def test_equal_prompts_give_the_identity(pair: tuple[Prompt, Prompt]) -> None:
    prompt = pair[0]
    whole = tuple((c, c, 1.0) for c in range(prompt.columns))
    identity = Alignment(whole, (1.0,) * prompt.columns, prompt.columns)
    for align in (align_swap, align_refine, align_edit):
        assert align(prompt, prompt) == identity


# Examples


def goes_to(alignment: Alignment, column: int) -> dict[int, float]:
    return {e: round(share, 4) for s, e, share in alignment.mapper if s == column}


def test_a_first_word_in_column_0_is_no_start() -> None:
    make = Around(suffix=5)
    alignment = align_swap(read_as("cat on mat", make), read_as("mushroom on mat", make))
    assert goes_to(alignment, 0) == {0: 0.3333, 1: 0.3333, 2: 0.3333}
    assert [goes_to(alignment, c) for c in range(1, 8)] == [{c + 2: 1.0} for c in range(1, 8)]


def test_padding_on_the_left_is_paired_from_the_words_outwards() -> None:
    source = read_as("a cat", Around(left=5, prefix=2, suffix=1))
    edit = read_as("a red cat", Around(left=4, prefix=2, suffix=1))
    alignment = align_swap(source, edit)
    assert [goes_to(alignment, c) for c in range(1, 5)] == [{c - 1: 1.0} for c in range(1, 5)]
    assert goes_to(alignment, 0) == dict.fromkeys(range(4), 0.25)
    assert [goes_to(alignment, c) for c in (5, 6)] == [{4: 1.0}, {5: 1.0}]


def test_padding_that_is_left_over_does_not_go_to_the_template() -> None:
    make = Around(prefix=1, suffix=2, columns=10)
    source, edit = read_as("cat", make), read_as("a red mushroom", make)  # 6 columns of padding, and 2
    alignment = align_swap(source, edit)
    assert [goes_to(alignment, c) for c in (2, 3)] == [{6: 1.0}, {7: 1.0}]
    assert [goes_to(alignment, c) for c in (4, 5, 6)] == [{8: 1.0}, {9: 1.0}, {8: 0.5, 9: 0.5}]


def test_words_of_several_tokens_spread_within_each_encoder() -> None:
    clip, t5 = Around(end=1, columns=6, letters=8), Around(end=1, columns=9, letters=2)
    alignment = align_swap(read_as("cat", clip, t5), read_as("mushroom", clip, t5))
    assert goes_to(alignment, 0) == {0: 1.0}
    assert goes_to(alignment, 6) == {6: 0.25, 7: 0.25, 8: 0.25, 9: 0.25}


def spaced(text: str, *data: bytes) -> Prompt:
    words = words_of(text)
    reading = read([Token(each) for each in data], words)
    assert reading is not None
    return joined(text, words, [Part("t5", reading, tuple(range(len(data))))])


def test_white_space_goes_with_the_word_after_it() -> None:
    source, edit = spaced("a cat", b" ", b"a", b" cat"), spaced("the red cat", b"the", b" ", b"red", b" cat")
    assert [word.spaces for word in source.words] == [(0,), (), ()][:2]
    assert [word.spaces for word in edit.words] == [(), (1,), ()]
    assert align_edit(source, edit).mapper == ((0, 1, 1.0), (1, 0, 0.5), (1, 2, 0.5), (2, 3, 1.0))
    refined = align_refine(source, edit)
    assert refined.mapper == ((2, 3, 1.0),) and refined.alpha == (0.0, 0.0, 0.0, 1.0)
    assert align_refine(edit, edit).mapper == tuple((c, c, 1.0) for c in range(4))


def test_white_space_at_the_end_goes_with_the_last_word() -> None:
    assert [word.spaces for word in spaced("a cat\n", b"a", b" cat", b"\n").words] == [(), (2,)]
