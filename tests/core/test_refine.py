"""Where the source's attention goes when words are added, removed or replaced: refinement and prompt edit."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paper_form import published_refinement
from prompts_of import CHUNK, long_prompts, made_of, made_prompts, matrix, prompt_of, tries

from p2p_core.words.align import Alignment, align_edit, align_refine, edit_changes
from p2p_core.words.prompts import Prompt

Align = Callable[[Prompt, Prompt], Alignment]
Pairs = st.tuples(made_prompts(), made_prompts())
RepeatingPairs = st.tuples(made_prompts(16, different=4), made_prompts(16, different=4))
LongPairs = st.tuples(long_prompts(), long_prompts())


def tokens(prompt: Prompt) -> list[str]:
    """One chunk's tokens with start and end, the ends of words marked."""
    inner = [token for word in prompt.words for token in (*word.tokens[:-1], f"{word.tokens[-1]}/")]
    return ["<start>", *inner, "<end>"]


def given_out(alignment: Alignment) -> list[float]:
    """The total share that each source column passes on."""
    return [sum(row) for row in matrix(alignment)]


def taken_by(source: str, edit: str, alignment: Alignment) -> dict[str, str]:
    """For each word of the edit, the source words whose attention it takes, or `own`."""
    a, b = made_of(source), made_of(edit)
    names = {c: word.text for word in a.words for c in word.columns}
    result: dict[str, str] = {}
    for word in b.words:
        froms = dict.fromkeys(names[s] for s, e, _ in alignment.mapper if e in word.columns)
        own = {alignment.alpha[c] for c in word.columns} == {0.0}
        result[word.text] = "own" if own else " ".join(froms)
    return result


# Refinement against the published alignment


@pytest.mark.parity
@tries(150)
@given(Pairs | RepeatingPairs)
def test_refinement_keeps_and_adds_the_tokens_that_the_published_alignment_does(
    pair: tuple[Prompt, Prompt],
) -> None:
    source, edit = pair
    if max(source.columns, edit.columns) > CHUNK:
        return
    mapper, alpha = published_refinement(tokens(source), tokens(edit))
    ours, inner = align_refine(source, edit), len(tokens(edit)) - 1  # without the end, which is tested below
    kept = {e: s for s, e, _ in ours.mapper if s in source.content and e in edit.content}
    assert kept == {e: s for e, s in enumerate(mapper[:inner]) if e and s != -1}
    assert list(ours.alpha) == alpha
    assert (0, 0) in {entry[:2] for entry in ours.mapper}
    assert (mapper[0], mapper[inner]) == (0, len(tokens(source)) - 1)
    assert matrix(ours)[mapper[inner]][inner] == 1.0


@pytest.mark.parametrize(
    ("source", "edit", "published"),
    [
        ("a b c", "a x b c", [0, 1, -1, 2, 3, 4, 6, 7]),
        ("a b c d", "a c d", [0, 1, 3, 4, 5, 5, 6, 7]),
        ("cat on mat", "dog on mat", [0, -1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_the_published_alignment_by_examples(source: str, edit: str, published: list[int]) -> None:
    mapper, alpha = published_refinement(tokens(made_of(source)), tokens(made_of(edit)))
    assert mapper[: len(published)] == published and mapper[len(published) :] == [
        *range(len(published), CHUNK)
    ]
    assert [a == 0.0 for a in alpha] == [column == -1 for column in mapper]


@pytest.mark.parity
def test_padding_is_paired_in_order_where_the_published_code_pairs_columns_of_one_number() -> None:
    """There, one column of source padding is dropped if a word is added, and the end is taken twice if one is
    removed. Here, padding follows the end, and the remainder is passed on."""
    short, long = made_of("a b c"), made_of("a x b c")
    end = {"short": 4, "long": 5}
    for source, edit, ends, published in [
        (short, long, (end["short"], end["long"]), [4, 6, 7]),
        (long, short, (end["long"], end["short"]), [5, 5, 6]),
    ]:
        first = ends[1]
        assert published_refinement(tokens(source), tokens(edit))[0][first : first + 3] == published
        rows = matrix(align_refine(source, edit))
        takes = [[s for s in range(ends[0], CHUNK) if rows[s][e] == 1.0] for e in range(first, first + 3)]
        assert takes == [[ends[0]], [ends[0] + 1], [ends[0] + 2]]
    leftover = matrix(align_refine(short, long))[CHUNK - 1]
    assert leftover[end["long"] :] == pytest.approx([1 / 72] * 72) and not any(leftover[: end["long"]])


# Conservation


@tries(80)
@given(Pairs | RepeatingPairs | LongPairs)
def test_every_source_column_gives_all_or_where_its_word_is_gone_nothing(
    pair: tuple[Prompt, Prompt],
) -> None:
    source, edit = pair
    removed = [w for c in edit_changes(source, edit) if c.removed for w in source.words[slice(*c.source)]]
    gone = {column for word in removed for column in word.columns}
    shares = given_out(align_edit(source, edit))
    assert shares == pytest.approx([float(column not in gone) for column in range(source.columns)])
    shares = given_out(align_refine(source, edit))
    assert all(share == pytest.approx(1.0) or share == 0.0 for share in shares)
    assert {column for column, share in enumerate(shares) if share == 0.0} <= source.content


@tries(80)
@given(Pairs | RepeatingPairs | LongPairs)
def test_what_keeps_its_own_attention_takes_none_of_the_source(pair: tuple[Prompt, Prompt]) -> None:
    source, edit = pair
    for alignment in (align_refine(source, edit), align_edit(source, edit)):
        added = {column for column, alpha in enumerate(alignment.alpha) if alpha == 0.0}
        assert set(alignment.alpha) <= {0.0, 1.0} and added <= edit.content
        assert not added & {e for _, e, _ in alignment.mapper}
        assert edit.content - added <= {e for _, e, _ in alignment.mapper}
        assert [entry[:2] for entry in alignment.mapper] == sorted({entry[:2] for entry in alignment.mapper})


@tries(40)
@given(made_prompts() | long_prompts())
def test_equal_prompts_give_the_identity(prompt: Prompt) -> None:
    identity = tuple((c, c, 1.0) for c in range(prompt.columns))
    for alignment in (align_refine(prompt, prompt), align_edit(prompt, prompt)):
        assert alignment == Alignment(identity, (1.0,) * prompt.columns, prompt.columns)


@tries(60)
@given(Pairs | RepeatingPairs | LongPairs)
def test_changes_cover_both_prompts_in_order(pair: tuple[Prompt, Prompt]) -> None:
    changes = edit_changes(*pair)
    for side, prompt in (("source", pair[0]), ("edit", pair[1])):
        spans = [getattr(change, side) for change in changes]
        assert [0, *[stop for _, stop in spans]] == [*[start for start, _ in spans], len(prompt.words)]
    assert all(a.kept or b.kept for a, b in pairwise(changes))


# Prompt edit


@pytest.mark.parametrize(
    ("source", "edit", "takes"),
    [
        ("a cat on grass", "a dog on grass", {"dog": "cat"}),
        ("a cat on grass", "a fluffy dog on grass", {"fluffy": "cat", "dog": "cat"}),
        ("a cat on grass", "a red cat on grass", {"red": "own"}),
        ("a cat on grass", "a cat on grass at night", {"at": "own", "night": "own"}),
        ("a cat", "a cat , asleep", {",": "own", "asleep": "own"}),
        ("a cat , asleep", "a cat ; asleep", {";": ","}),
        ("red*2 cat*3 on grass", "dog on a*2 brick", {"dog": "red cat", "a": "grass", "brick": "grass"}),
        ("one cat here", "one dog at*2 night", dict.fromkeys(["dog", "at", "night"], "cat here")),
    ],
)
def test_an_edit_swaps_what_changed_and_adds_what_is_new(
    source: str, edit: str, takes: dict[str, str]
) -> None:
    told = taken_by(source, edit, align_edit(made_of(source), made_of(edit)))
    assert told == {word.text: takes.get(word.text, word.text) for word in made_of(edit).words}


def test_of_repeated_words_the_early_ones_are_kept() -> None:
    alignment = align_edit(made_of("cat cat dog"), made_of("cat dog dog"))
    assert alignment.alpha[1:4] == (1.0, 1.0, 0.0)  # the second dog is new
    words = [entry for entry in alignment.mapper if entry[0] in (1, 2, 3)]
    assert words == [(1, 1, 1.0), (3, 2, 1.0)]  # the second cat is gone


def test_attention_on_removed_words_is_dropped() -> None:
    for align in (align_refine, align_edit):
        rows = matrix(align(made_of("a red*2 cat"), made_of("a cat")))
        assert [sum(row) for row in rows[:6]] == [1.0, 1.0, 0.0, 0.0, 1.0, 1.0]
        assert (rows[1][1], rows[4][2]) == (1.0, 1.0)


@pytest.mark.parametrize("align", [align_refine, align_edit])
def test_a_word_of_a_chunk_that_the_other_prompt_lacks_is_removed_or_added(align: Align) -> None:
    long, short = made_of("w " * 80 + "cat"), made_of("w " * 70)
    (late,) = long.find("cat")
    assert late // CHUNK == 1 and sum(matrix(align(long, short))[late]) == 0.0
    assert align(short, long).alpha[late] == 0.0


@pytest.mark.parametrize("align", [align_refine, align_edit])
@pytest.mark.parametrize(("one", "other"), [(80, 160), (160, 80), (10, 160), (160, 10)])
def test_prompts_of_different_chunk_counts(align: Align, one: int, other: int) -> None:
    source, edit = made_of("w " * one + "cat"), made_of("w " * other + "cat")
    alignment = align(source, edit)
    assert (alignment.source_columns, len(alignment.alpha)) == (source.columns, edit.columns)
    gone = max(one - other, 0)
    assert sum(given_out(alignment)) == pytest.approx(source.columns - gone)
    (a,), (b,) = source.find("cat"), edit.find("cat")
    assert matrix(alignment)[a][b] == 1.0
    starts = {
        (s // CHUNK, e // CHUNK) for s, e, _ in alignment.mapper if s % CHUNK == 0 and s < source.columns
    }
    last = edit.columns // CHUNK - 1
    assert starts == {(chunk, min(chunk, last)) for chunk in range(source.columns // CHUNK)}


def test_words_of_the_demo_tokenizer_are_refined_token_by_token() -> None:
    """`purple` has two tokens: both keep their own attention, `mushroom` the source's."""
    source, edit = prompt_of("a mushroom on grass"), prompt_of("a purple mushroom, on grass")
    alignment = align_refine(source, edit)
    own = {c for c, alpha in enumerate(alignment.alpha) if alpha == 0.0}
    assert own == {*edit.find("purple"), *edit.find(",")} and len(edit.find("purple")) == 2
    pairs = {entry[:2] for entry in alignment.mapper}
    for word in ("a", "mushroom", "on", "grass"):
        assert set(zip(source.find(word), edit.find(word), strict=True)) <= pairs
