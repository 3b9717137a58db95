"""Prompts of unequal length have a common one, within bounds."""

from __future__ import annotations

import pytest
import torch

from p2p_core.errors import P2PError
from p2p_core.real.guidance import MOST_COLUMNS, common_columns, mixed_negative


@pytest.mark.parametrize(
    ("lengths", "common"),
    [((77,), 77), ((77, 77), 77), ((77, 154, 231), 462), ((19 * 77, 20 * 77), 380 * 77), ((10**6,), 10**6)],
)
def test_the_common_length_is_the_least_common_multiple(lengths: tuple[int, ...], common: int) -> None:
    assert common_columns(*lengths) == common


def test_lengths_without_a_useful_one_are_rejected_with_both_of_them() -> None:
    for lengths in ((20 * 77, 21 * 77), (MOST_COLUMNS, MOST_COLUMNS + 1)):
        with pytest.raises(P2PError, match=f"got {lengths[0]} and {lengths[1]} tokens") as error:
            common_columns(*lengths)
        assert str(MOST_COLUMNS) in error.value.expected


def test_a_mixed_negative_has_the_common_length_or_is_rejected() -> None:
    prompt, negative = torch.ones(1, 4, 1), torch.zeros(1, 6, 1)
    assert torch.equal(mixed_negative(prompt, negative, 0.25), torch.full((1, 12, 1), 0.25))
    with pytest.raises(P2PError, match="got 1540 and 1617 tokens"):
        mixed_negative(torch.ones(1, 20 * 77, 1), torch.ones(1, 21 * 77, 1), 0.5)
