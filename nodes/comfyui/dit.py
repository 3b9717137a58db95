"""Attention of diffusion transformers: the host's calls, told apart and handed to the run.

One `optimized_attention_override` for one sampling, over the one that stands there. An APPLY_MODEL wrapper
puts a fresh ModelCall into the options of each call of the model: parts of a batch may run on threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor
from torch.nn import functional as F

from ...p2p_core.architecture.dit import Layout
from ...p2p_core.architecture.layers import Layer
from ...p2p_core.attention.calls import JointCall
from ...p2p_core.errors import P2PError
from ...p2p_core.rows import Batch
from ...p2p_core.step import Call
from ...p2p_core.words.prompts import PromptSet
from .advice import naming
from .attention_call import AttentionCall, Function, hiding
from .families import Family
from .keys import CALL
from .learned_padding import own_padding
from .merging import Merging
from .options import Options, with_wrapper
from .state import NODE, Sampling

OVERRIDE = "optimized_attention_override"

SAME = 0.02  # of the largest key: what rounding makes of equal keys is less, another word more

Kind = Literal["text", "self", "cross", "joint"]
Edit = Callable[["ModelCall", Kind, AttentionCall], Tensor]


@dataclass(frozen=True, eq=False)
class ModelCall:
    """One call of the model: where its tokens stand, and how many attention calls of each kind it made.

    texts: how many calls of text alone it starts with. hidden: [B, T], text columns that a row does not see.
    vector: [B, C], what the model adds to all tokens of a row, such as the pooled text; None without one.
    x: [B, ...], the latents.
    """

    family: Family
    layers: tuple[Layer, ...]
    layout: Layout
    texts: int = 0
    hidden: Tensor | None = None
    vector: Tensor | None = None
    x: Tensor | None = None
    made: Counter[Kind] = field(default_factory=Counter)

    def kind(self, call: AttentionCall) -> Kind | None:
        """What a call of attention is, None for one that is neither of the text alone nor of a block."""
        queries, keys, layout = call.q.shape[-2], call.k.shape[-2], self.layout
        if "block_index" not in call.options:
            if self.made["text"] < self.texts and queries == keys == layout.text.count:
                return "text"
            if self.family.named:
                return None
        if self.family.tokens.joint:
            if keys == layout.total == queries + layout.reference.count != queries:
                raise P2PError(
                    "reference tokens in every call of the model",
                    "calls without them",
                    "Remove Flux KV Cache.",
                )
            return "joint" if queries == keys == layout.total else None
        if queries != layout.image.count:
            return None
        fits = {"self": keys == layout.image.count, "cross": keys == layout.text.count}
        if all(fits.values()):  # as many text columns as image tokens: every block starts with self-attention
            return "self" if self.made["self"] == self.made["cross"] else "cross"
        return "self" if fits["self"] else "cross" if fits["cross"] else None

    def seen(self, call: AttentionCall) -> AttentionCall:
        """The call with its rows' padding hidden."""
        if self.hidden is None:
            return call
        keys, text = call.k.shape[-2], self.layout.text
        start = 0 if keys == text.count else text.start
        hidden = F.pad(self.hidden, (start, keys - start - self.hidden.shape[1]))
        return replace(call, mask=hiding(call.mask, hidden, call.q.dtype))

    def layer(self, kind: Kind, options: dict[str, Any]) -> Layer:
        """The layer of the next call of a kind, by the host's name, else by its place in the call."""
        place = self.made[kind] - 1
        if "block_index" in options:
            named = self.family.stage(options.get("block_type")), options["block_index"]
            return next(layer for layer in self.layers if (layer.stage, layer.number) == named)
        if place >= len(self.layers):
            raise P2PError(
                f"{len(self.layers)} {kind}-attention calls of {self.family.name}",
                "more",
                "Take out the nodes that change how this model attends.",
            )
        return self.layers[place]


def model_calls(family: Family, layers: tuple[Layer, ...], merging: Merging) -> Callable[..., Any]:
    """An APPLY_MODEL wrapper."""

    def wrapper(
        executor: Any, x: Tensor, t: Tensor, c_concat: Any = None, c_crossattn: Any = None,
        control: Any = None, transformer_options: Any = None, **kwargs: Any,
    ) -> Tensor:  # fmt: skip
        text = family.text_columns(c_crossattn, kwargs)
        transformer, options = executor.class_obj.diffusion_model, transformer_options or {}
        reference = _reference_tokens(family, transformer, kwargs)
        layout = family.tokens.layout(text, x.shape, reference, merging.lead(options))
        hidden = merging.hidden(options, len(x), x.device)
        call = ModelCall(family, layers, layout, family.text_calls(transformer), hidden, kwargs.get("y"), x)
        lengths = merging.lengths(options, len(x), text)
        with own_padding(transformer, family.tokens, lengths, text):
            return executor(x, t, c_concat, c_crossattn, control, {**options, CALL: call}, **kwargs)

    return wrapper


def _reference_tokens(family: Family, transformer: Any, given: Mapping[str, Any]) -> int:
    """The tokens of reference latents. Krea 2 uses them only if it has a method to place them."""
    if given.get("ref_latents_method", getattr(transformer, "default_ref_method", "index")) is None:
        return 0
    grids = [family.tokens.grid(latent.shape) for latent in given.get("ref_latents") or ()]
    return sum(frames * height * width for frames, height, width in grids)


def override(previous: Function | None, edit: Edit) -> Function:
    """The override over `previous`: calls of the blocks go to `edit`, all others as they come."""

    def attention(function: Function, *args: Any, **kwargs: Any) -> Tensor:
        def plain(*args: Any, **kwargs: Any) -> Tensor:
            return function(*args, **kwargs) if previous is None else previous(function, *args, **kwargs)

        model_call = kwargs["transformer_options"].get(CALL)
        if model_call is None:
            return plain(*args, **kwargs)
        call = AttentionCall.of(plain, args, kwargs)
        kind = model_call.kind(call)
        if kind is None:
            return plain(*args, **kwargs)
        model_call.made[kind] += 1
        return edit(model_call, kind, call)

    return attention


class LayoutCheck:
    """Whether the text stands where the table says, seen once in a run.

    Before the first block the rows of a sample differ in their text alone, so key columns that differ between
    source and edit have to be columns of prompts. A vector that differs moves all tokens and leaves no check;
    neither do latents that differ, in a second sampling.
    """

    def __init__(self) -> None:
        self.done = False

    def __call__(
        self, call: AttentionCall, model_call: ModelCall, paired: tuple[bool, ...], prompts: PromptSet
    ) -> None:
        if self.done or not prompts.edits or not any(paired):
            return
        self.done = True
        edits = [row for row in Batch(len(call.q), paired, prompts.count).rows if row.prompt]
        pairs = [row.source for row in edits], [row.row for row in edits]
        layout, keys = model_call.layout, call.k
        alike = (each for each in (model_call.vector, model_call.x) if each is not None)
        if not all(torch.equal(*(each[rows] for rows in pairs)) for each in alike):
            return
        source, edit = (keys[rows] for rows in pairs)
        apart = (source - edit).abs().float()
        apart = apart.amax(dim=(0, 1, 3) if apart.ndim == 4 else (0, 2)) > SAME * keys.abs().max()
        columns = apart.nonzero().flatten().tolist()
        spans = [layout.prompt(prompt.columns) for prompt in prompts.prompts]
        first, last = min(span.start for span in spans), max(span.stop for span in spans)
        last = layout.text.count if layout.tokens.multiple > 1 else last  # learned padding sees the prompt
        inside, reference = range(layout.text.start + first, layout.text.start + last), layout.reference
        columns = [column for column in columns if not reference.start <= column < reference.stop]
        if len(columns) < len(apart) and any(column not in inside for column in columns):
            raise P2PError(
                f"text in the columns {inside.start} to {inside.stop - 1} of {model_call.family.name}",
                f"text in the columns {columns[0]} to {columns[-1]}",
                "This version of the model lays out its tokens in another way; please report it.",
            )


def with_override(options: Options, sampling: Sampling, family: Family, merging: Merging) -> Options:
    """Copies of the options with the run's attention over the override that stands there."""
    transformer = options["transformer_options"]
    over = override(transformer.get(OVERRIDE), _edit(sampling))
    patched = {**options, "transformer_options": {**transformer, OVERRIDE: over}}
    calls = model_calls(family, sampling.run.scene.layers, merging)
    return with_wrapper(patched, WrappersMP.APPLY_MODEL, calls)


def _edit(sampling: Sampling) -> Edit:
    """What the run does in each call of the blocks."""
    check, run = LayoutCheck(), sampling.run

    def edit(model_call: ModelCall, kind: Kind, call: AttentionCall) -> Tensor:
        call = model_call.seen(call) if kind != "self" else call
        if kind == "text":
            return call.attend(call.q, call.k, call.v, call.mask)
        with naming(NODE):
            described = _call(sampling, model_call, kind, call)
            if not any(described.paired):
                return call.attend(call.q, call.k, call.v, call.mask)
            if kind == "joint":
                check(call, model_call, described.paired, run.plan.prompts)
                layout = model_call.layout
                joint = JointCall(call.q, call.k, call.v, call.mask, layout, layout.image)
                return run.joint(described, joint, call.attend)
            k, attend = call.of_rows()
            if kind == "self":
                return run.self_attention(described, call.q, k, call.v, attend)
            return run.cross(described, call.q, k, call.v, attend)

    return edit


def _call(sampling: Sampling, model_call: ModelCall, kind: Kind, call: AttentionCall) -> Call:
    frames, height, width = model_call.layout.grid
    if frames > 1 and sampling.run.observed:
        raise P2PError(
            "an image",
            f"a video of {frames} frames",
            "Remove Local Blend and Attention Store: they work on images.",
        )
    return Call(
        model_call.layer(kind, call.options),
        sampling.progress(call.options["sigmas"]),
        (frames * height, width),
        call.heads,
        sampling.paired(call.q.shape[0], call.options, kind != "self"),
        model_call.layout,
    )
