"""The source of one run: given back where an earlier run recorded it, and recorded."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..errors import P2PError
from ..step import Step
from ..words.prompts import PromptSet
from .attention import KeptAttention, SourceRows
from .record import Sides, SourceCall, SourceMemory, SourceRecord

MIB = 1 << 20


@dataclass(frozen=True)
class Remember(Step):
    """What one node wants remembered.

    limit: MiB of all records; most: how many sources are kept; attention: MiB for the attention of all
    sources, 0 to keep none.
    """

    limit: int = 256
    most: int = 4
    attention: int = 0
    origin: object = field(default=None, compare=False, repr=False)

    @property
    def timed(self) -> bool:
        return False

    def check(self, prompts: PromptSet, before: Sequence[Step]) -> None:
        if any(isinstance(step, Remember) for step in before):
            raise P2PError("one node that remembers the source", "a second one", "Remove one of them.")


@dataclass
class Rows:
    """Rows that the model computed, and those of a run in full."""

    computed: int = 0
    whole: int = 0


class Remembering:
    """What one run recalls and records.

    A host calls `enter` before a model call, then `recalled` or `note` for each evaluation of the model in
    it, then `leave`; after the last one, `finish`.
    """

    def __init__(self, step: Remember, source: Hashable, memory: SourceMemory, recalls: bool = True) -> None:
        """source: identifies what is sampled. recalls: whether to give back what is recorded of it."""
        self.step, self.source, self.memory = step, source, memory
        record = memory.find(source) if recalls else None
        self._known = () if record is None else record.calls
        self.found = record is not None
        self.left: int | None = None  # the first call that was not as recorded
        self.full = False  # whether the run is larger than the limit
        self.rows = Rows()
        self._calls: list[SourceCall] = []
        self._number = 0  # of the next call
        self.bytes = self.attention_bytes = 0  # of what is new in this run
        self._attention_full = self._changed = False

    def enter(self, latent: Tensor, sigma: float) -> None:
        """A model call for source rows [B, C, ...] at this noise level."""
        number, self._number = self._number, self._number + 1
        known = self._known[number] if number < len(self._known) else None
        latent = latent.detach().to("cpu", copy=True)
        if known is not None and (known.sigma != sigma or not torch.equal(known.latent, latent)):
            known = None
        if known is None and self.found and self.left is None:
            self.left, self._known = number, ()
            self.bytes = sum(call.bytes for call in self._calls)
        self._current, self._latent, self._sigma = known, latent, sigma
        self._passes: list[Sides] = []
        self._attention: list[KeptAttention | None] = []
        self._pass = 0

    def recalled(self, given: Sequence[bool]) -> Sides | None:
        """The predictions of the next evaluation, None if they have to be computed. given: its sides."""
        if self._current is None or self._pass >= len(self._current.passes):
            return None
        sides = self._current.passes[self._pass]
        if [side is not None for side in sides] != list(given):
            return None
        self._pass += 1
        return sides

    @property
    def attention(self) -> KeptAttention | None:
        """What is kept of the attention of the evaluation that was recalled last, None to use none."""
        return self._kept if self.step.attention else None

    @property
    def _kept(self) -> KeptAttention | None:
        kept = self._current.attention if self._current is not None else ()
        return kept[self._pass - 1] if 0 < self._pass <= len(kept) else None

    def attending(self, columns: int) -> SourceRows | None:
        """Where the attention of the next evaluation may be noted, None for nowhere."""
        if not self.step.attention or self.full or self._attention_full:
            return None
        return SourceRows(columns, fits=self._fits)

    def _fits(self, size: int) -> bool:
        needed, limit = self.attention_bytes + size, self.step.attention * MIB
        self._attention_full = not self.memory.fits_attention(needed, limit, self.source)
        return not self._attention_full

    def note(self, sides: Sequence[Tensor | None]) -> None:
        """The source rows of a computed evaluation."""
        if self._current is None and not self.full:
            self._passes.append(tuple(None if side is None else _copied(side) for side in sides))

    def note_attention(self, noted: KeptAttention | None) -> None:
        """The attention of the evaluation that was noted or recalled last, None to leave it as it is."""
        self._attention.append(self._kept if noted is None else noted)
        if noted is not None:
            self.attention_bytes += noted.bytes
            self._changed = True

    def leave(self, clean: Tensor) -> Tensor:
        """The prediction of the source rows after guidance: as recorded, else as computed."""
        call = self._current
        if call is None:
            call = SourceCall(self._latent, self._sigma, tuple(self._passes), _copied(clean))
            self._take(call.bytes)
        call = replace(call, attention=tuple(self._attention))
        if not self.full:
            self._calls.append(call)
        return clean if self._current is None else call.clean.to(clean)

    def _take(self, size: int) -> None:
        """Room for more bytes of this run."""
        self.bytes += size
        limit = self.step.limit * MIB
        if self.bytes > limit:
            self.full = True
            self._calls.clear()
        else:
            self.memory.make_room(self.bytes, limit, self.step.most)

    def finish(self) -> None:
        """Keep the record of a run that computed something new."""
        if self.found and self.left is None and not self._changed:
            return
        if self._changed and torch.cuda.is_available():
            torch.cuda.synchronize()  # copies to pinned memory do not wait
        self.memory.drop(self.source)
        record = SourceRecord(self.source, tuple(self._calls))
        if not self.full and record.calls and record.finite:
            self.memory.keep(record, self.step.limit * MIB, self.step.most)

    @property
    def outcome(self) -> str:
        """What became of the source, for the user."""
        if self.left is not None:
            return f"source reused up to call {self.left}, where it changed; computed from there"
        if self.found:
            return f"source reused: {self.rows.computed / max(1, self.rows.whole):.2f} of a full run"
        if self.full:
            return f"source not kept: it takes more than the limit of {self.step.limit} MiB"
        attention = f", {self.attention_bytes / MIB:.0f} MiB of attention" if self.step.attention else ""
        return f"source recorded: {self.bytes / MIB:.1f} MiB{attention}"


def _copied(rows: Tensor) -> Tensor:
    return rows.detach().to("cpu", copy=True)
