"""The order of rows in a batch. No other module computes with P.

B samples of P prompts (the source and E edits, P = 1 + E) are P·B rows: row r holds prompt r mod P of sample
r div P, and prompt 0 is the source. A batch for a model holds such rows once per paired part (a conditional
or an unconditional half).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from einops import rearrange
from torch import Tensor

from .errors import P2PError


@dataclass(frozen=True)
class Rows:
    """The rows of B samples with P prompts each."""

    prompts: int
    samples: int

    @property
    def count(self) -> int:
        """P·B."""
        return self.prompts * self.samples

    @property
    def edited(self) -> tuple[int, ...]:
        """The rows of edit prompts, in order."""
        return tuple(row for row in range(self.count) if self.prompt(row))

    def prompt(self, row: int) -> int:
        """The prompt of a row: 0 for the source, 1..E for an edit."""
        return row % self.prompts

    def sample(self, row: int) -> int:
        return row // self.prompts

    def row(self, sample: int, prompt: int) -> int:
        return sample * self.prompts + prompt

    def name(self, row: int) -> str:
        """The display name of a row: source, edit (edit 2 if there are several), with its sample."""
        prompt, sample = self.prompt(row), self.sample(row)
        name = "source" if not prompt else "edit" if self.prompts == 2 else f"edit {prompt}"
        return f"{name} of sample {sample + 1}" if sample else name

    @staticmethod
    def of(count: int, prompts: int) -> Rows:
        """The rows of a batch of `count`. Raises P2PError unless it consists of whole samples."""
        samples, rest = divmod(count, prompts)
        if rest or not samples:
            raise P2PError(
                f"a batch with {prompts} rows per sample",
                f"{count} rows",
                "Pass all rows of a paired batch.",
                topic="no whole samples",
            )
        return Rows(prompts, samples)


# Batches with several parts


@dataclass(frozen=True)
class PairedRow:
    """A batch row with a prompt of a sample. source: the batch row of its source.

    Sources that are not in the batch count as rows after it: those of its first paired part, then the next.
    """

    row: int
    source: int
    sample: int
    prompt: int


@dataclass(frozen=True)
class Batch:
    """The contents of a model's batch: equal parts, of which those in `paired` hold paired rows.

    sources: whether these parts have the source rows.
    """

    size: int
    paired: tuple[bool, ...]
    prompts: int
    sources: bool = True

    @cached_property
    def rows(self) -> tuple[PairedRow, ...]:
        """All rows of the paired parts, including sources. P2PError unless the parts hold whole samples."""
        if not any(self.paired):
            return ()
        part, rest = divmod(self.size, len(self.paired))
        per_sample = self.prompts if self.sources else self.prompts - 1
        if rest or part % per_sample:
            raise P2PError(
                f"{len(self.paired)} equal parts with {per_sample} rows per sample",
                f"a batch of {self.size}",
                "Pass complete parts of the batch.",
                topic="batch parts",
            )
        starts = [i * part for i, is_paired in enumerate(self.paired) if is_paired]
        if not self.sources:
            return self._edits(starts, part)
        rows = Rows(self.prompts, part // self.prompts)
        return tuple(
            PairedRow(a + r, a + rows.row(rows.sample(r), 0), rows.sample(r), rows.prompt(r))
            for a in starts
            for r in range(part)
        )

    def _edits(self, starts: Sequence[int], part: int) -> tuple[PairedRow, ...]:
        """The rows of paired parts that start there, without sources."""
        edits = self.prompts - 1
        samples = part // edits
        return tuple(
            PairedRow(start + r, self.size + n * samples + r // edits, r // edits, 1 + r % edits)
            for n, start in enumerate(starts)
            for r in range(part)
        )


# Tensors of rows


def per_row(samples: Tensor, prompts: int) -> Tensor:
    """[B, ...] → [P·B, ...], a copy: each row gets the value of its sample."""
    return samples.repeat_interleave(prompts, dim=0)


def sources(rows: Tensor, prompts: int) -> Tensor:
    """[P·B, ...] → the source rows [B, ...], a view."""
    return rows[::prompts]


def edits(rows: Tensor, prompts: int) -> Tensor:
    """[P·B, ...] → the edit rows [E·B, ...]."""
    return rearrange(by_sample(rows, prompts)[:, 1:], "b e ... -> (b e) ...")


def with_sources(rows: Tensor, others: Tensor, prompts: int) -> Tensor:
    """Rows [P·B, ...] with the source rows replaced by [B, ...]."""
    replaced = rows.clone()
    replaced[::prompts] = others.to(rows)
    return replaced


def with_edits(rows: Tensor, others: Tensor, prompts: int) -> Tensor:
    """Rows [P·B, ...] with the edit rows replaced by [E·B, ...]."""
    edited = rearrange(others.to(rows), "(b e) ... -> b e ...", e=prompts - 1)
    return rearrange(torch.cat([by_sample(rows, prompts)[:, :1], edited], 1), "b p ... -> (b p) ...")


def by_sample(rows: Tensor, prompts: int) -> Tensor:
    """[P·B, ...] → [B, P, ...]."""
    return rearrange(rows, "(b p) ... -> b p ...", p=prompts)


def equal_in_samples(rows: Tensor, prompts: int) -> bool:
    """Whether all rows of each sample are equal."""
    return torch.equal(rows, per_row(sources(rows, prompts), prompts))


def blended(rows: Tensor, mask: Tensor, prompts: int) -> Tensor:
    """x_e ← x_s + m·(x_e − x_s) (paper section 3.2). rows: [P·B, C, H, W] or [P·B, C, F, H, W].

    mask: [E·B, F·H, W], with the frames of a video one below the other. Where m is 0, the edit equals the
    source to the last bit; where m is 1, it is unchanged.
    """
    x = by_sample(rows, prompts)
    weight = rearrange(mask.to(rows), "(b e) (f h) w -> b e 1 f h w", e=prompts - 1, h=rows.shape[-2])
    weight = weight if rows.ndim == 5 else weight.squeeze(3)
    return rearrange(
        torch.cat([x[:, :1], torch.lerp(x[:, :1], x[:, 1:], weight)], dim=1), "b p ... -> (b p) ..."
    )


def joined_with_source(values: Tensor, prompts: int) -> Tensor:
    """The maximum of each edit's values and its source's (for masks, the union). [P·B, ...] → [E·B, ...]."""
    x = by_sample(values, prompts)
    return rearrange(torch.maximum(x[:, :1], x[:, 1:]), "b e ... -> (b e) ...")
