"""ControlNets of transformers on prompts of unequal lengths: they attend to text, and cannot hide padding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...p2p_core.architecture.dit import Span

Spans = Callable[[Mapping[str, Any], int], Sequence[Span] | None]


def with_own_text(control: Any, spans: Spans, made: dict[int, Any]) -> Any:
    """A chain of ControlNets that read each row's own text columns.

    spans: from the options of a model call and its number of rows, the columns of each row; None if all rows
    have text in all columns. made: the copies so far, by the id of the original. The host batches sides only
    if they share one object.
    """
    if control is None:
        return None
    if id(control) not in made:
        made[id(control)] = _copy(control, spans, made)
    return made[id(control)]


def _copy(control: Any, spans: Spans, made: dict[int, Any]) -> Any:
    copy = control.copy()
    copy.set_previous_controlnet(with_own_text(control.previous_controlnet, spans, made))
    model, original = getattr(copy, "control_model", None), copy.get_control
    if model is None:
        return copy

    def get_control(x: Tensor, t: Tensor, cond: Any, parts: int, options: Mapping[str, Any]) -> Any:
        own = spans(options, len(x))
        copy.control_model = model if own is None else OwnText(model, own)
        try:
            return original(x, t, cond, parts, options)
        finally:
            copy.control_model = model

    copy.get_control = get_control
    return copy


class OwnText:
    """A ControlNet's model, called once for the rows of each span of text."""

    def __init__(self, model: Any, spans: Sequence[Span]) -> None:
        self._model, self._spans = model, spans

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, context: Tensor, **inputs: Any) -> dict[str, list[Tensor | None]]:
        """The host's call: text [B, T, C], other tensors for all rows or for each."""
        rows = {
            span: torch.tensor([n for n, own in enumerate(self._spans) if own == span], device=context.device)
            for span in dict.fromkeys(self._spans)
        }
        outs = [
            self._model(context=span.of(context[at]), **{k: self._of(at, v) for k, v in inputs.items()})
            for span, at in rows.items()
        ]
        order = torch.cat(list(rows.values())).argsort()
        known: dict[tuple[int, ...], Tensor] = {}  # the host scales a tensor that it gets twice only once
        return {
            key: [_joined(each, order, known) for each in zip(*(out[key] for out in outs), strict=True)]
            for key in outs[0]
        }

    def _of(self, rows: Tensor, value: Any) -> Any:
        per_row = isinstance(value, Tensor) and value.ndim > 0 and len(value) == len(self._spans)
        return value[rows] if per_row else value


def _joined(
    parts: tuple[Tensor | None, ...], order: Tensor, known: dict[tuple[int, ...], Tensor]
) -> Tensor | None:
    tensors = [part for part in parts if part is not None]
    if not tensors:
        return None
    return known.setdefault(tuple(map(id, tensors)), torch.cat(tensors)[order])
