"""The order of rows, and tensors of rows."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from prompts_of import tries
from torch import Tensor

from p2p_core.errors import P2PError
from p2p_core.rows import (
    Batch,
    PairedRow,
    Rows,
    blended,
    by_sample,
    edits,
    equal_in_samples,
    joined_with_source,
    per_row,
    sources,
    with_edits,
    with_sources,
)

Counts = st.tuples(st.integers(1, 4), st.integers(1, 3))


def numbered(count: int, *sides: int) -> Tensor:
    """[count, *sides], each row filled with its number."""
    return torch.arange(count, dtype=torch.float32).view(-1, *[1] * len(sides)).expand(-1, *sides).clone()


def random_rows(count: int, seed: int, *sides: int) -> Tensor:
    return torch.randn(count, *sides, generator=torch.Generator().manual_seed(seed))


# Numbers and names


@pytest.mark.parametrize("prompts", [1, 2, 3])
def test_row_r_holds_prompt_r_mod_p_of_sample_r_div_p(prompts: int) -> None:
    rows = Rows(prompts, 2)
    assert rows.count == 2 * prompts
    for row in range(rows.count):
        assert (rows.sample(row), rows.prompt(row)) == divmod(row, prompts)
        assert rows.row(rows.sample(row), rows.prompt(row)) == row


def test_edited_rows_are_those_of_edit_prompts() -> None:
    assert Rows(3, 2).edited == (1, 2, 4, 5)
    assert Rows(1, 4).edited == ()


def test_rows_are_named_by_prompt_and_by_sample_after_the_first() -> None:
    pair, three = Rows(2, 2), Rows(3, 2)
    assert [pair.name(row) for row in range(4)] == [
        "source",
        "edit",
        "source of sample 2",
        "edit of sample 2",
    ]
    assert [three.name(row) for row in (1, 2, 5)] == ["edit 1", "edit 2", "edit 2 of sample 2"]


def test_the_rows_of_a_batch_by_its_size() -> None:
    assert Rows.of(6, 3) == Rows(3, 2)
    assert Rows.of(5, 1) == Rows(1, 5)


@pytest.mark.parametrize(("count", "prompts"), [(0, 2), (1, 2), (7, 3)])
def test_a_batch_without_whole_samples_is_refused(count: int, prompts: int) -> None:
    with pytest.raises(P2PError, match=f"{prompts} rows per sample, got {count} rows"):
        Rows.of(count, prompts)


# Rows of a batch with several parts


@pytest.mark.parametrize(
    ("size", "paired", "prompts", "rows"),
    [  # rows: each as batch row, row of its source, sample, prompt
        (2, (True,), 2, [(0, 0, 0, 0), (1, 0, 0, 1)]),
        (4, (False, True), 2, [(2, 2, 0, 0), (3, 2, 0, 1)]),
        (4, (True, False), 2, [(0, 0, 0, 0), (1, 0, 0, 1)]),
        (
            8,
            (True, True),
            2,
            [
                *[(0, 0, 0, 0), (1, 0, 0, 1), (2, 2, 1, 0), (3, 2, 1, 1)],
                *[(4, 4, 0, 0), (5, 4, 0, 1), (6, 6, 1, 0), (7, 6, 1, 1)],
            ],
        ),
        (
            12,
            (False, True),
            3,
            [(6, 6, 0, 0), (7, 6, 0, 1), (8, 6, 0, 2), (9, 9, 1, 0), (10, 9, 1, 1), (11, 9, 1, 2)],
        ),
        (3, (False, True, False), 1, [(1, 1, 0, 0)]),
        (6, (False,), 3, []),
    ],
)
def test_a_paired_part_of_a_batch_holds_every_row(
    size: int, paired: tuple[bool, ...], prompts: int, rows: list[tuple[int, int, int, int]]
) -> None:
    assert Batch(size, paired, prompts).rows == tuple(PairedRow(*row) for row in rows)


@pytest.mark.parametrize(
    ("size", "paired", "prompts"), [(3, (True,), 2), (3, (False, True), 2), (6, (False, True), 2)]
)
def test_a_batch_whose_parts_hold_no_whole_samples_is_refused(
    size: int, paired: tuple[bool, ...], prompts: int
) -> None:
    with pytest.raises(P2PError, match=f"got a batch of {size}"):
        Batch(size, paired, prompts).rows  # noqa: B018


# Tensors in rows


@tries(30)
@given(Counts, st.sampled_from([(), (3,), (2, 4, 5)]))
def test_each_row_holds_its_sample(counts: tuple[int, int], sides: tuple[int, ...]) -> None:
    prompts, samples = counts
    rows = per_row(numbered(samples, *sides), prompts)
    assert rows.reshape(len(rows), -1).amax(1).tolist() == [
        Rows(prompts, samples).sample(r) for r in range(len(rows))
    ]
    assert equal_in_samples(rows, prompts)


def test_what_is_written_into_rows_leaves_the_samples_alone() -> None:
    """A sampler writes into what it is given."""
    for prompts in (1, 2):
        samples = numbered(3, 4)
        per_row(samples, prompts).fill_(9)
        assert torch.equal(samples, numbered(3, 4))


@tries(30)
@given(Counts, st.integers(0, 9))
def test_sources_and_edits_are_parts_of_the_rows(counts: tuple[int, int], seed: int) -> None:
    prompts, samples = counts
    rows, layout = random_rows(prompts * samples, seed, 2, 3), Rows(prompts, samples)
    assert torch.equal(sources(rows, prompts), rows[[layout.row(b, 0) for b in range(samples)]])
    assert torch.equal(edits(rows, prompts), rows[list(layout.edited)])
    assert torch.equal(by_sample(rows, prompts)[samples - 1, prompts - 1], rows[-1])


@tries(30)
@given(st.tuples(st.integers(2, 4), st.integers(1, 3)), st.integers(0, 9))
def test_rows_are_put_together_from_sources_and_edits(counts: tuple[int, int], seed: int) -> None:
    prompts, samples = counts
    rows, others = (random_rows(prompts * samples, s, 2, 3) for s in (seed, seed + 1))
    before = rows.clone()
    mixed = with_sources(rows, sources(others, prompts), prompts)
    assert torch.equal(sources(mixed, prompts), sources(others, prompts))
    assert torch.equal(edits(mixed, prompts), edits(rows, prompts))
    assert torch.equal(with_edits(mixed, edits(others, prompts), prompts), others)
    assert torch.equal(rows, before)


def test_parts_take_the_precision_of_the_rows() -> None:
    rows = torch.zeros(2, 3, dtype=torch.float16)
    assert with_sources(rows, torch.ones(1, 3), 2).dtype == torch.float16
    assert with_edits(rows, torch.ones(1, 3), 2).dtype == torch.float16


def test_one_changed_number_in_one_row_is_seen() -> None:
    rows = per_row(random_rows(2, 0, 3, 4), 3)
    assert equal_in_samples(rows, 3)
    rows[4, 2, 1] += 1e-6
    assert not equal_in_samples(rows, 3)


def test_edits_are_joined_with_the_source_of_their_sample() -> None:
    values = torch.tensor([[0.0, 5.0], [1.0, 1.0], [7.0, 0.0], [9.0, 9.0], [0.0, 0.0], [3.0, 12.0]])
    assert joined_with_source(values, 3).tolist() == [[1, 5], [7, 5], [9, 9], [9, 12]]


# Blending


@tries(40)
@given(
    st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.sampled_from([(), (3,)])),
    st.integers(0, 99),
)
def test_outside_the_mask_the_edit_is_the_source_and_inside_it_is_itself_to_the_bit(
    dtype: torch.dtype, counts: tuple[int, int, tuple[int, ...]], seed: int
) -> None:
    """For images [B, C, H, W] and videos [B, C, T, H, W]."""
    samples, count, frames = counts
    random, prompts = torch.Generator().manual_seed(seed), count + 1
    rows = (torch.randn(samples * prompts, 4, *frames, 5, 6, generator=random) * 100).to(dtype)
    mask = torch.randint(0, 3, (samples * count, 5, 6), generator=random) / 2
    before = rows.clone()
    result = blended(rows, mask, prompts)
    assert torch.equal(rows, before) and result.dtype == dtype and result.shape == rows.shape
    for row in range(len(rows)):
        b, p = divmod(row, prompts)
        source = rows[b * prompts]
        if p == 0:
            assert torch.equal(result[row], source)
            continue
        weight = mask[b * count + p - 1]
        assert torch.equal(result[row][..., weight == 0], source[..., weight == 0])
        assert torch.equal(result[row][..., weight == 1], rows[row][..., weight == 1])
        half = weight == 0.5
        middle = (source.double() + rows[row].double())[..., half] / 2
        eps = torch.finfo(dtype).eps
        torch.testing.assert_close(result[row][..., half].double(), middle, atol=400 * eps, rtol=2 * eps)


def test_frames_are_blended_one_by_one() -> None:
    rows, mask = torch.rand(4, 3, 2, 5, 6), torch.rand(2, 2 * 5, 6)
    video = blended(rows, mask, 2)
    for frame in range(2):
        image = blended(rows[:, :, frame], mask[:, 5 * frame : 5 * frame + 5], 2)
        assert torch.equal(video[:, :, frame], image)
