"""Model inputs from a conditioning: repeated over the batch and concatenated with others."""

import math

import torch

from .utils import repeat_to_batch_size


class CONDRegular:
    def __init__(self, cond):
        self.cond = cond

    def process_cond(self, batch_size, **kwargs):
        return type(self)(repeat_to_batch_size(self.cond, batch_size))

    def can_concat(self, other):
        lengths = self.cond.shape[1], other.cond.shape[1]
        return math.lcm(*lengths) // min(lengths) <= 4

    def concat(self, others):
        conds = [self.cond, *(other.cond for other in others)]
        longest = math.lcm(*(cond.shape[1] for cond in conds))
        return torch.cat([cond.repeat(1, longest // cond.shape[1], 1) for cond in conds])


class CONDCrossAttn(CONDRegular):
    pass


class CONDConstant(CONDRegular):
    def process_cond(self, batch_size, **kwargs):
        return type(self)(self.cond)

    def can_concat(self, other):
        return self.cond == other.cond

    def concat(self, others):
        return self.cond
