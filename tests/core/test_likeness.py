"""PSNR over the whole picture and in a part of it."""

from __future__ import annotations

import math

import pytest
import torch

from p2p_core.errors import P2PError
from p2p_core.pictures.likeness import in_words, psnr

BLACK = torch.zeros(4, 8, 3)
HALF = torch.cat([BLACK[:, :4], BLACK[:, 4:] + 0.1], dim=1)
LEFT = torch.tensor([[1.0, 0.0]])  # of any size


def test_psnr_is_ten_times_the_logarithm_of_the_mean_square() -> None:
    assert psnr(BLACK, BLACK + 0.1) == pytest.approx(20)
    assert psnr(BLACK, HALF) == pytest.approx(20 + 10 * math.log10(2), abs=1e-4)
    assert psnr(HALF, HALF) == math.inf


def test_only_the_part_that_is_asked_for_counts() -> None:
    assert psnr(BLACK, HALF, LEFT) == math.inf
    assert psnr(BLACK, HALF, 1 - LEFT) == pytest.approx(20)
    assert psnr(BLACK, HALF, 0 * LEFT) is None


def test_in_words() -> None:
    assert [in_words(value) for value in (20.04, math.inf, None)] == ["20.0 dB", "identical", "nothing there"]


def test_pictures_of_two_sizes_are_refused() -> None:
    with pytest.raises(P2PError, match="images of one size, got 8 × 4 and 4 × 8"):
        psnr(BLACK, BLACK.transpose(0, 1))
