"""One run of a plan: the hooks that a host calls in attention layers and around model calls.

A host calls, in this order:

    run = Run(plan, scene)              once per sampling; raises if the plan does not fit this model
    rows = run.start(sigmas, progress)  once; rows to start from, or None for the host's own noise
                                        from here on `run.plan` has the windows of this sampling
    for each model call:
        x = run.before_model(x, sigma, progress)
        run.cross(...), run.self_attention(...)      in each attention layer, or
        run.joint(...)                               where text and image share one softmax
        with_text, others = run.guided(...)          before the host combines them for guidance
        clean = run.after_model(clean, progress)
    rows = run.finish(rows)             once; fills the stores, or raises and fills none
    run.held()                          how many model calls each window held
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from math import prod
from threading import Lock
from typing import TypeVar

import torch
from torch import Tensor

from .architecture.dit import Layout
from .architecture.layers import Layer
from .attention.calls import Attend as JointAttend
from .attention.calls import JointCall
from .attention.editing import (
    Attend,
    EditedBatch,
    Mixing,
    RowEdit,
    edit_cross,
    edit_self,
    prepare_cross,
    prepare_self,
)
from .attention.joint import edit_joint
from .attention.placing import placed, prepare_joint
from .edits.columns import MixingKey, mixing_of
from .edits.holding import held
from .errors import P2PError
from .memory.attention import Place, SourceRows
from .plan import EditPlan
from .rows import Batch
from .step import Call, Hooks, Kind, Observer, Scene
from .words.windows import Schedule

T = TypeVar("T")


class Run:
    """State of one sampling: the hooks of the plan's steps, and cached tensors for its calls.

    Raises P2PError if a step cannot act on the layers or the latent of the scene.
    """

    def __init__(self, plan: EditPlan, scene: Scene) -> None:
        self.plan, self.scene = plan, scene
        for step in plan.steps:
            step.require_layers(scene.layers)
        begun = (step.begin(scene) for step in plan.steps)
        self._hooks: list[Hooks] = [hooks for hooks in begun if hooks is not None]
        self._observers: list[Observer] = [
            hooks.observer for hooks in self._hooks if hooks.observer is not None
        ]
        self._observing = Lock()  # with several GPUs, hosts call the parts of a batch from threads
        self.source_rows: SourceRows | None = None  # of the current evaluation of the model, if kept
        self._schedule, self._calls = Schedule(()), list[float]()
        self._made: dict[Hashable, object] = {}  # dropped with the run: matrices of long prompts are large

    @property
    def prompts(self) -> int:
        """P, the rows per sample."""
        return self.scene.rows.prompts

    @property
    def observed(self) -> bool:
        """Whether attention maps are recorded."""
        return bool(self._observers)

    # Attention

    def cross(
        self, call: Call, q: Tensor, k: Tensor, v: Tensor, attend: Attend, attend_again: Attend | None = None
    ) -> Tensor:  # fmt: skip
        """One cross-attention call, edited and observed. Tensors as in `edit_cross`."""
        keys = self._keys(call)
        observers = [each for each in self._observers if each.observes(call.layer, call.progress)]
        if not observers and not any(keys):
            return attend(q, k, v)
        batch = self._cross_batch(len(q), call, keys)
        with self._observing:
            for observer in observers:
                observer.observe(call, q, k, batch)
        columns = k.shape[-2]
        made = (batch, columns, v.device, v.dtype)
        rows = len(q)
        edit = self._once(made, lambda: prepare_cross(batch.edits, columns, v, rows))
        if edit is not None and edit.origins is not None:
            q, k = self._with_sources(call, "cross", q, k)
        return edit_cross(q, k, v, edit, attend, attend_again)

    def joint(self, call: Call, joint: JointCall, attend: JointAttend) -> Tensor:
        """One joint attention call, edited and observed, as in `edit_joint`."""
        keys, injects = self._keys(call), self.plan.injects(call.layer, call.progress, joint.image.count)
        observers = [each for each in self._observers if each.observes(call.layer, call.progress)]
        if not observers and not injects and not any(keys):
            return joint.run(attend)
        batch, v = self._cross_batch(len(joint.q), call, keys), joint.v
        made = ("joint", batch, injects, v.device, v.dtype)
        edits = self._once(made, lambda: prepare_joint(batch.edits, injects, v))
        with self._observing:
            for observer in observers:
                observer.observe_joint(call, joint, edits, batch)
        if not any(edit.inject or edit.from_source is not None for edit in edits):
            return edit_joint(joint, edits, attend)
        return edit_joint(joint, edits, attend, sources=self._joint_sources(call, joint))

    def self_attention(self, call: Call, q: Tensor, k: Tensor, v: Tensor, attend: Attend) -> Tensor:
        """One self-attention call, edited and observed. Tensors as in `edit_self`."""
        injects = self.plan.injects(call.layer, call.progress, q.shape[-2])
        observers = [each for each in self._observers if each.observes_self(call.layer, call.progress)]
        if not observers and not injects:
            return attend(q, k, v)
        rows, batch = len(q), self._self_batch(len(q), call, injects)
        with self._observing:
            for observer in observers:
                observer.observe_self(call, q, k, batch)
        if not batch.edits:
            return attend(q, k, v)
        origins = self._once(("origins", batch, q.device), lambda: prepare_self(batch.edits, q, rows))
        q, k = self._with_sources(call, "self", q, k)
        return edit_self(q, k, v, origins, attend)

    def acts_on_self(self, layer: Layer, progress: float, tokens: int) -> bool:
        """Whether a self-attention call with N = `tokens` image tokens is edited or observed."""
        if self.plan.injects(layer, progress, tokens):
            return True
        return any(observer.observes_self(layer, progress) for observer in self._observers)

    def observes(self, progress: float) -> bool:
        """Whether attention calls at this progress are observed."""
        return any(
            each.observes(layer, progress) or each.observes_self(layer, progress)
            for each, layer in itertools.product(self._observers, self.scene.layers)
        )

    def reads(self, progress: float) -> frozenset[Place]:
        """Where edit rows use the queries and keys of their source at this progress."""

        def make() -> frozenset[Place]:
            sized = ((layer, prod(self.scene.size(layer))) for layer in self.scene.layers)
            return frozenset(
                Place(layer, kind) for layer, n in sized for kind in self.plan.reads(layer, progress, n)
            )

        return self._once(("reads", progress), make)

    def _with_sources(self, call: Call, kind: Kind, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """q and k with the source rows: those of the call, or kept ones after it. Notes those of the call."""
        rows, place = self.source_rows, Place(call.layer, kind)
        if not call.sources:
            assert rows is not None
            source_q, source_k = rows.taken(place, q, k.shape[-2])
            return torch.cat([q, source_q]), torch.cat([k, source_k])
        if rows is not None:
            chosen = self._source_slice(len(q) - call.others, call.paired)
            rows.note(place, q[chosen], k[chosen])
        return q, k

    def _joint_sources(self, call: Call, joint: JointCall) -> JointCall | None:
        """The source rows of a call that has none; their values are not read. Else None."""
        by_row = joint.mask is not None and joint.mask.shape[0] > 1
        if call.sources and by_row:
            return None  # their masks would have to be kept too
        q, k = self._with_sources(call, "joint", joint.q, joint.k)
        own = len(joint.q)
        return None if call.sources else replace(joint, q=q[own:], k=k[own:], v=joint.v[: len(q) - own])

    def _source_slice(self, size: int, paired: tuple[bool, ...]) -> slice:
        """The source rows of a batch with one paired part."""
        rows = [row.row for row in Batch(size, paired, self.prompts).rows if not row.prompt]
        return slice(rows[0], rows[-1] + 1, self.prompts)

    def _keys(self, call: Call) -> tuple[MixingKey | None, ...]:
        """The key of each edit's column mixing; the same object for calls with the same edits."""

        def make() -> tuple[MixingKey | None, ...]:
            keys = self.plan.mixing_keys(call.layer, call.progress)
            return self._once(keys, lambda: keys)

        return self._once(("keys", call.layer, call.progress), make)

    def _cross_batch(self, size: int, call: Call, keys: Sequence[MixingKey | None]) -> EditedBatch:
        paired, layout = call.paired, call.layout

        def make() -> EditedBatch:
            rows = Batch(size - call.others, paired, self.prompts, call.sources).rows
            mixings = [None if key is None else self._mixing(key, layout) for key in keys]
            edits = (RowEdit(r.row, r.source, mixings[r.prompt - 1]) for r in rows if r.prompt)
            return EditedBatch(rows, tuple(edits))

        return self._once(("cross", size, paired, call.sources, call.others, layout, id(keys)), make)

    def _mixing(self, key: MixingKey, layout: Layout | None) -> Mixing | None:
        """The mixing of the prompts' columns, placed on the text columns of the layout if there is one."""

        def make() -> Mixing | None:
            mixing, prompts = mixing_of(self.plan.prompts, key), self.plan.prompts
            if mixing is None or layout is None:
                return mixing
            source, edit = (layout.prompt(p.columns) for p in (prompts.source, prompts.prompts[key.row]))
            return placed(mixing, source, edit, layout.text.count)

        return self._once((key, layout), make)

    def _self_batch(self, size: int, call: Call, injects: bool) -> EditedBatch:
        paired, sources, others = call.paired, call.sources, call.others

        def make() -> EditedBatch:
            rows = Batch(size - others, paired, self.prompts, sources).rows
            edits = (RowEdit(r.row, r.source) for r in rows if r.prompt and injects)
            return EditedBatch(rows, tuple(edits))

        return self._once(("self", size, paired, sources, others, injects), make)

    def _once(self, key: Hashable, make: Callable[[], T]) -> T:
        """The result of `make`, cached by key for this run."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]  # type: ignore[return-value]

    # Model calls

    def start(self, sigmas: Tensor, progress: Sequence[float], end: float = 1.0) -> Tensor | None:
        """The rows [P·B, C, h, w] to start a sampling with these sigmas from, None for the host's noise.

        progress: of the model calls at sigmas[:-1]; end: at the last of the sigmas. Raises P2PError if a step
        cannot act in them.
        """
        self._schedule = Schedule(tuple(progress), end)
        if progress:
            self.plan = self.plan.resolved(self._schedule, self.scene.architecture)
        started = [hooks.start(sigmas, progress) for hooks in self._hooks]
        return next((rows for rows in started if rows is not None), None)

    def before_model(self, rows: Tensor, sigma: float, progress: float) -> Tensor:
        """The rows that go into the model; `rows` itself if nothing changes them."""
        self._calls.append(progress)
        for hooks in self._hooks:
            rows = hooks.before_model(rows, sigma, progress)
        return rows

    def guided(self, with_text: Tensor, others: list[Tensor], progress: float) -> tuple[Tensor, list[Tensor]]:
        """The predictions that guidance works on: with the prompts, and those it guides away from."""
        for hooks in self._hooks:
            with_text, others = hooks.guided(with_text, others, progress)
        return with_text, others

    def after_model(self, clean: Tensor, progress: float) -> Tensor:
        """The prediction of the clean rows after guidance, with the edits blended into their sources."""
        for hooks in self._hooks:
            clean = hooks.after_model(clean, progress)
        return clean

    def held(self) -> list[tuple[object, str]]:
        """For each step with windows, its origin and how many of the model calls so far each window held."""
        steps = (step for step in self.plan.steps if step.windows)
        return [(step.origin, held(step, self._schedule, self._calls)) for step in steps]

    def finish(self, rows: Tensor, *others: Tensor) -> Tensor:
        """The finished rows; fills the stores.

        others: other latents that the host returns, which also identify the run in a store. Raises P2PError
        for NaN in the rows or in the maps, and for a blend that never acted; then no store is filled.
        """
        for hooks in self._hooks:
            rows = hooks.finish(rows)
        for hooks in self._hooks:
            hooks.collect((rows, *others))
        self._require_finite(rows)
        for hooks in self._hooks:
            hooks.publish()
        return rows

    def _require_finite(self, rows: Tensor) -> None:
        finite = torch.isfinite(rows).flatten(1).all(1).cpu()
        broken = [self.scene.rows.name(row) for row in range(len(rows)) if not bool(finite[row])]
        if broken:
            raise P2PError(
                "a finished latent with finite values",
                f"NaN or infinity in {', '.join(broken)}",
                "Use smaller weights. If the source has them too, run the model in a higher precision.",
                topic="broken latent",
            )
