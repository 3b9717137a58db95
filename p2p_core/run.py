"""One run of a plan: what each attention layer and each model call of a sampling has to do, for any host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from threading import Lock

from torch import Tensor

from .architecture.layers import Layer
from .attention.editing import Attend, PairedRow, RowEdit, edit_cross, edit_self
from .errors import P2PError
from .maps.blending import blended, final_mask, user_mask, word_mask
from .maps.store import Record, Recorder
from .plan import EditPlan, mixing_of
from .real.pinning import proximal

Size = tuple[int, int]


class Run:
    """State of one sampling: the plan, the means of its maps, the masks of its local blends.

    samples: B; latent: height and width of the latent. Layers and progress come with each call, as the host
    knows them. Stores are emptied at the start and filled by `finish`.
    """

    def __init__(self, plan: EditPlan, samples: int, latent: Size, layers: Sequence[Layer]) -> None:
        self.plan, self.samples, self.latent = plan, samples, latent
        blends = [(blend, blend.record(plan.prompts, layers, latent)) for blend in plan.blends]
        self._blends = [(blend, self._recorder(record)) for blend, record in blends]
        self._records = [self._recorder(record) for record in plan.records]
        for record in plan.records:
            record.require_self(layers)
        self._mixing = cache(mixing_of)  # for this run alone: of long prompts they are large
        self._observing = Lock()  # hosts with several GPUs call the parts of a batch on threads
        self._masks: dict[int, Tensor] = {}
        self._kept: Tensor | None = None
        self._to_the_end = True
        for blend in plan.blends:
            if blend.mask is not None:
                user_mask(blend.mask, self.prompts - 1, samples, latent)  # or its number is refused now
        for recorder in self._recorders:
            recorder.record.store.clear()

    def _recorder(self, record: Record) -> Recorder:
        return Recorder(record, self.plan.prompts, self.samples, self.latent)

    @property
    def prompts(self) -> int:
        """P, the rows of a sample."""
        return len(self.plan.prompts.prompts)

    @property
    def _recorders(self) -> list[Recorder]:
        return [*(recorder for _, recorder in self._blends), *self._records]

    def cross(
        self, layer: Layer, progress: float, size: Size, q: Tensor, k: Tensor, v: Tensor, heads: int,
        rows: Sequence[PairedRow], attend: Attend, attend_own: Attend | None = None,
    ) -> Tensor:  # fmt: skip
        """`edit_cross` of one call, its maps recorded. size: height and width of the layer, N = h·w."""
        mixing = partial(self.plan.mixing, layer=layer, progress=progress, make=self._mixing)
        rows = [replace(row, mixing=mixing(row.prompt)) if row.prompt else row for row in rows]
        with self._observing:
            for recorder in self._recorders:
                recorder.observe(layer, progress, size, q, k, heads, rows)
        edits = [RowEdit(row.row, row.source, row.mixing) for row in rows if row.prompt]
        return edit_cross(q, k, v, edits, attend, attend_own)

    def own(
        self, layer: Layer, progress: float, size: Size, q: Tensor, k: Tensor, v: Tensor, heads: int,
        rows: Sequence[PairedRow], attend: Attend,
    ) -> Tensor:  # fmt: skip
        """`edit_self` of one call, its maps recorded."""
        from_source = self.injects(layer, progress, q.shape[1])
        with self._observing:
            for recorder in self._recorders:
                recorder.observe_self(layer, progress, size, q, k, heads, rows, from_source)
        edits = [RowEdit(row.row, row.source) for row in rows if row.prompt and from_source]
        return edit_self(q, k, v, edits, attend)

    def injects(self, layer: Layer, progress: float, tokens: int) -> bool:
        """Whether edit rows use the source's self-attention in this call."""
        return self.plan.self_attention(layer, progress, tokens)

    def keeps_self(self, layer: Layer) -> bool:
        """Whether a store wants the self-attention of this layer."""
        return any(recorder.record.keeps_self(layer) for recorder in self._recorders)

    # A real picture as the source

    def start(self, sigmas: Tensor) -> Tensor | None:
        """The rows that a sampling down these sigmas starts from, None where noise is the start."""
        real = self.plan.real
        if real is None:
            return None
        first, self._to_the_end = real.trajectory.start(sigmas), float(sigmas[-1]) == 0
        return real.start(first, self.prompts)

    def pin(self, rows: Tensor, sigma: float) -> Tensor:
        """Rows that go into the model, the source's those of its picture."""
        return rows if self.plan.real is None else self.plan.real.pinned(rows, sigma, self.prompts)

    def guide(self, with_text: Tensor, without: Tensor) -> Tensor:
        """The prediction with text to guide by, under proximal guidance."""
        real = self.plan.real
        if real is None or not real.quantile:
            return with_text
        guided, self._kept = proximal(with_text, without, real.quantile)
        return guided

    def restore(self, clean: Tensor, progress: float) -> Tensor:
        """The prediction with the picture where proximal guidance left nothing to guide by."""
        kept, self._kept = self._kept, None
        if kept is None or self.plan.real is None:
            return clean
        return self.plan.real.restored(clean, kept, progress, self.prompts)

    # Local blend

    def blend(self, rows: Tensor, progress: float) -> Tensor:
        """Latents or predictions, rows [P·B, C, H, W], each edit blended into its source (section 3.2)."""
        for i, (blend, recorder) in enumerate(self._blends):
            if progress <= blend.start:
                continue
            maps: Mapping[Layer, Tensor] = recorder.mean() if blend.by_words else {}
            if blend.by_words and not maps:
                continue  # the first call has no maps yet
            words = word_mask(blend, maps, self.prompts, self.latent) if maps else None
            mask = final_mask(blend, words, self.prompts - 1, self.samples, self.latent)
            self._masks[i] = mask.to(rows.device)
            rows = blended(rows, self._masks[i], self.prompts)
        return rows

    def finish(self, rows: Tensor) -> Tensor:
        """Put the pictures in, blend the final latents once more, fill the stores.

        Raises P2PError where a blend never acted, and for NaN in the maps; then no store is filled.
        """
        if self.plan.real is not None and self._to_the_end:
            rows = self.plan.real.finished(rows, self.prompts)
        for i, (blend, _) in enumerate(self._blends):
            if i not in self._masks:
                raise P2PError(
                    "a local blend that starts before the sampling ends",
                    f"a start of {blend.start:g}",
                    "Lower the start of Local Blend, or sample to the end.",
                )
            rows = blended(rows, self._masks[i].to(rows.device), self.prompts)
        left = [recorder.recorded(self._masks.get(i)) for i, recorder in enumerate(self._recorders)]
        for recorder, recorded in zip(self._recorders, left, strict=True):
            recorder.record.store.fill(recorded)
        return rows
