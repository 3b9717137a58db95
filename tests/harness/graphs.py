"""Text-to-image graphs as a user wires them, with the host's stock nodes and the pack's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from adapter import Conditioning, Host, Latent
from torch import Tensor

SOURCE = "a red circle and a blue star on grass"
EDIT = "a red house and a blue star on grass"
NEGATIVE = "snow"
SIZE = (64, 64)
CLOSED: dict[str, Any] = {"cross_start": 0.0, "cross_end": 0.0, "self_start": 0.0, "self_end": 0.0}
OPEN: dict[str, Any] = {"cross_start": 0.0, "cross_end": 1.0, "self_start": 0.0, "self_end": 1.0}


@dataclass(frozen=True)
class Graph:
    """options of its methods: those of the host's sampler."""

    host: Host
    node: dict[str, Any]
    _known: dict[tuple[str, int], Tensor] = field(default_factory=dict)

    def pair(self, source: str = SOURCE, edit: str = EDIT) -> tuple[Any, Conditioning]:
        """Prompt Pair: (prompts, paired CONDITIONING)."""
        return self.host.run(self.node["P2PPromptPair"], clip=self.host.clip(), source=source, edit=edit)

    def swapped(self, prompts: Any, model: Any = None, **widgets: Any) -> Any:
        """Word Swap: a patched MODEL."""
        return self.on("WordSwap", prompts, model, **widgets)[0]

    def on(self, name: str, prompts: Any, model: Any = None, **widgets: Any) -> tuple[Any, ...]:
        """A node of the pack on a MODEL, by its id without P2P: its outputs, the patched MODEL first."""
        model = model or self.host.model()
        return self.host.run(self.node[f"P2P{name}"], model=model, prompts=prompts, **widgets)

    def sample(self, model: Any, positive: Conditioning, **options: Any) -> Tensor:
        negative = options.pop("negative", None) or self.host.encode(NEGATIVE)
        return self.host.sample(model, positive, negative, **options)["samples"]

    def edited(
        self,
        source: str = SOURCE,
        edit: str = EDIT,
        windows: dict[str, Any] = OPEN,
        model: Any = None,
        **options: Any,
    ) -> Tensor:
        """A paired sampling, [P·B, ...]."""
        prompts, positive = self.pair(source, edit)
        return self.sample(self.swapped(prompts, model, **windows), positive, **options)

    def plain(self, text: str = SOURCE, rows: int = 2, model: Any = None, **options: Any) -> Tensor:
        """A stock sampling of one prompt without the pack, each sample `rows` times: [rows·B, ...].

        With as many rows as a paired sampling, because a CPU's kernels round differently for other batch
        sizes.
        """
        if options or model:
            return self._plain(text, rows, model or self.host.model(), **options)
        if (text, rows) not in self._known:
            self._known[text, rows] = self._plain(text, rows, self.host.model())
        return self._known[text, rows]

    def _plain(self, text: str, rows: int, model: Any, **options: Any) -> Tensor:
        latent = repeated(options.pop("latent", None) or self.host.empty_latent(*SIZE), rows)
        return self.sample(model, self.host.encode(text), latent=latent, **options)


def repeated(latent: Latent, rows: int) -> Latent:
    """The LATENT with each sample, its noise and its mask `rows` times."""
    index = latent.get("batch_index", list(range(len(latent["samples"]))))
    result = {**latent, "batch_index": [i for i in index for _ in range(rows)]}
    for key in {"samples", "noise_mask"} & latent.keys():
        result[key] = latent[key].repeat_interleave(rows, dim=0)
    return result


def close(a: Tensor, b: Tensor, tolerance: float = 1e-5) -> bool:
    """Equal within a share of the largest value."""
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance * max(1.0, float(b.abs().max())))


def differ(a: Tensor, b: Tensor) -> bool:
    """Different by much more than rounding."""
    return not close(a, b, 3e-4)


def drawn(host: Host, batch: int = 1) -> Latent:
    """A non-empty LATENT."""
    channels = host.sample(host.model(), host.encode(SOURCE), host.encode(NEGATIVE), steps=1)[
        "samples"
    ].shape[1]
    generator = torch.Generator().manual_seed(3)
    return {"samples": torch.randn(batch, channels, SIZE[1] // 8, SIZE[0] // 8, generator=generator)}


# Attention replacements, as put on a MODEL by another pack

Patch = Callable[[Tensor, Tensor, Tensor, dict[str, Any]], Tensor]


def own_attention(q: Tensor, k: Tensor, v: Tensor, extra_options: dict[str, Any]) -> Tensor:
    """The host's attention without a replacement."""
    from comfy.ldm.modules.attention import optimized_attention

    return optimized_attention(q, k, v, extra_options["n_heads"], transformer_options=extra_options)


def noting(calls: list[list[int]]) -> Patch:
    """Changes nothing, and records the parts of each call."""

    def patch(q: Tensor, k: Tensor, v: Tensor, extra_options: dict[str, Any]) -> Tensor:
        calls.append(list(extra_options["cond_or_uncond"]))
        return own_attention(q, k, v, extra_options)

    return patch


Seen = dict[tuple[int, int], list[bool]]


def comparing(seen: Seen) -> Patch:
    """Changes nothing; records by side (1 is negative) and number of queries whether two rows are equal."""

    def patch(q: Tensor, k: Tensor, v: Tensor, extra_options: dict[str, Any]) -> Tensor:
        sides = extra_options["cond_or_uncond"]
        for side, part in zip(sides, q.chunk(len(sides)), strict=True):
            seen.setdefault((side, q.shape[1]), []).append(torch.equal(part[0], part[1]))
        return own_attention(q, k, v, extra_options)

    return patch


def with_patch(model: Any, patch: Patch, *key: Any, name: str = "attn2") -> Any:
    """A clone of MODEL with an attention replacement, as from another pack."""
    clone = model.clone()
    clone.set_model_patch_replace(patch, name, *key)
    return clone


# State that a node or a sampling might change

_OF_A_CLONE = (
    *("model_options", "wrappers", "callbacks", "patches", "object_patches"),
    *("injections", "additional_models", "attachments"),
)


def state(model: Any) -> dict[str, Any]:
    """The own state of a MODEL's clone: dicts and lists by value, everything else by identity."""
    return {name: _leaves(getattr(model, name)) for name in _OF_A_CLONE if hasattr(model, name)}


def _leaves(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _leaves(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_leaves(inner) for inner in value]
    return id(value)
