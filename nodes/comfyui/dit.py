"""Attention of diffusion transformers: the host's calls, told apart and handed to the run.

One `optimized_attention_override` for one sampling, over the one that stands there. An APPLY_MODEL wrapper
puts a fresh ModelCall into the options of each call of the model: parts of a batch may run on threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...p2p_core.attention.calls import JointCall
from ...p2p_core.step import Call
from .advice import naming
from .attention_call import AttentionCall, Function
from .checks import FirstKeys, LayoutCheck, require_calls
from .keys import CALL
from .merging import Merging
from .model_call import Kind, ModelCall
from .options import Options, with_wrapper
from .reached_attention import running
from .state import NODE, Sampling
from .unequal_rows import each_as_alone

OVERRIDE = "optimized_attention_override"

Edit = Callable[[ModelCall, Kind, AttentionCall], Tensor]


def with_override(options: Options, sampling: Sampling, merging: Merging) -> Options:
    """Copies of the options with the run's attention over the override that stands there."""
    transformer = options["transformer_options"]
    over = override(transformer.get(OVERRIDE), _edit(sampling))
    patched = {**options, "transformer_options": {**transformer, OVERRIDE: over}}
    return with_wrapper(patched, WrappersMP.APPLY_MODEL, ModelCalls(sampling, merging))


class ModelCalls:
    """An APPLY_MODEL wrapper: describes each model call, and checks the first one with paired rows."""

    def __init__(self, sampling: Sampling, merging: Merging) -> None:
        self.family, self.sampling, self.merging = merging.family, sampling, merging
        self._unchecked = True

    def __call__(
        self, executor: Any, x: Tensor, t: Tensor, c_concat: Any = None, c_crossattn: Any = None,
        control: Any = None, transformer_options: Any = None, **kwargs: Any,
    ) -> Tensor:  # fmt: skip
        transformer, options = executor.class_obj.diffusion_model, transformer_options or {}
        paired = self.sampling.named(options)
        is_first, self._unchecked = self._unchecked and any(paired), self._unchecked and not any(paired)
        call = self._described(transformer, options, x, c_crossattn, kwargs)
        if is_first and call.family.tokens.joint and self.sampling.run.prompts > 1:
            check = LayoutCheck(self.sampling.run.plan.prompts, paired, len(x))
            texts = call.family.texts
            others = {name: v if name in texts else check.alike(v) for name, v in kwargs.items()}
            inputs = check.alike(x), check.alike(t), check.alike(c_concat), c_crossattn, control
            with naming(NODE):
                check(lambda own: _run(executor, inputs, _ending_early(options, own), others), call)
        text = 0 if c_crossattn is None else c_crossattn.shape[1]
        lengths = self.merging.lengths(options, len(x), text)
        with each_as_alone(transformer, call.family, lengths, text):
            inputs = x, t, c_concat, c_crossattn, control
            out = _run(executor, inputs, {**options, CALL: call}, kwargs)
        if any(paired):
            with naming(NODE):
                require_calls(call, is_first)
        return out

    def _described(self, transformer: Any, options: Options, x: Tensor, text: Any, others: Any) -> ModelCall:
        family = self.family
        layout = family.layout(text, x.shape, others, self.merging.pictures(options))
        hidden = self.merging.hidden(options, len(x), x.device)
        layers, texts = self.sampling.run.scene.layers, family.text_calls(transformer)
        return ModelCall(family, layers, layout, texts, hidden, family.turns(others))


def _run(executor: Any, inputs: Sequence[Any], options: Options, others: Mapping[str, Any]) -> Any:
    with running(options):
        return executor(*inputs, options, **others)


def _ending_early(options: Options, call: ModelCall) -> Options:
    """For a model call that ends at its first joint attention, without what might keep a part of it."""
    wrappers = {**options.get("wrappers", {}), WrappersMP.DIFFUSION_MODEL: {}}
    without = {"wrappers": wrappers, "patches": {}, "patches_replace": {}}
    return {**options, **without, OVERRIDE: override(None, _end_at_joint), CALL: call}


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
            if "block_index" in call.options:
                model_call.others.append((call.q.shape[-2], call.k.shape[-2]))
            return plain(*args, **kwargs)
        model_call.made[kind] += 1
        return edit(model_call, kind, call)

    return attention


def _edit(sampling: Sampling) -> Edit:
    """What the run does in each call of the blocks."""
    run = sampling.run

    def edit(model_call: ModelCall, kind: Kind, call: AttentionCall) -> Tensor:
        call = model_call.seen(call) if kind != "self" else call
        if kind == "text":
            return call.attend(call.q, call.k, call.v, call.mask)
        with naming(NODE):
            described = _call(sampling, model_call, kind, call)
            if not any(described.paired):
                return call.attend(call.q, call.k, call.v, call.mask)
            if kind == "joint":
                layout = model_call.layout
                joint = JointCall(call.q, call.k, call.v, call.mask, layout, layout.image)
                return run.joint(described, joint, call.attend)
            k, attend = call.of_rows()
            if kind == "self":
                return run.self_attention(described, call.q, k, call.v, attend)
            return run.cross(described, call.q, k, call.v, attend)

    return edit


def _end_at_joint(model_call: ModelCall, kind: Kind, call: AttentionCall) -> Tensor:
    """The edit of a check: no attention is needed beyond its keys."""
    if kind == "joint":
        raise FirstKeys(call.k)
    return call.attend(call.q, call.k, call.v, call.mask)


def _call(sampling: Sampling, model_call: ModelCall, kind: Kind, call: AttentionCall) -> Call:
    frames, height, width = model_call.layout.grid
    return Call(
        model_call.layer(kind, call.options),
        sampling.progress(call.options["sigmas"]),
        (frames * height, width),
        call.heads,
        sampling.paired(call.q.shape[0], call.options, kind != "self"),
        model_call.layout,
        sampling.with_sources(call.options),
        sampling.others(call.options),
    )
