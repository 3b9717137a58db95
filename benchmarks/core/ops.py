"""Ops on the device beyond those of a plain run, by kind of edit: `make bench-ops`.

Of a cross-attention call, a self-attention call, and around the attention of a model call, after the first of
each. Copies from the host come on top; none is expected, and a wait for the device is an error.
"""

from __future__ import annotations

import torch

from ..shared.dispatch import DEVICE, Counts, counted
from ..shared.table import markdown
from .kinds import (
    CHANNELS,
    FIRST,
    KINDS,
    LATENT,
    PROGRESS,
    SECOND,
    SIGMAS,
    Attention,
    Kind,
    cross,
    self_attention,
)

HEAD = ("kind", "cross-attention", "host's calls", "self-attention", "model call", "copies")


def main() -> None:
    print(markdown(HEAD, [_row(name, kind) for name, kind in KINDS.items()]))


def _row(name: str, kind: Kind) -> tuple[str, ...]:
    (crossed, calls), (injected, _) = in_attention(kind, cross), in_attention(kind, self_attention)
    around = around_model(kind)
    copies = sum(counts.copies.total() for counts in (crossed, injected, around))
    ops = (crossed.ops.total(), calls, injected.ops.total(), around.ops.total())
    return name, *map(str, ops), str(copies)


def in_attention(kind: Kind, attention: Attention, first: bool = False) -> tuple[Counts, int]:
    """An attention call at another progress than the one before, and how often it calls the host's attention.

    first: whether its layer is asked for the first time.
    """
    run = kind.run()
    attention(run, SECOND if not first else FIRST, PROGRESS[0])
    with counted() as counts:
        calls = attention(run, SECOND, PROGRESS[1])
    return counts, calls


def around_model(kind: Kind) -> Counts:
    """The second model call of a sampling, without its attention."""
    run = kind.run()
    rows = torch.empty(run.scene.rows.count, CHANNELS, *LATENT, device=DEVICE)
    run.start(SIGMAS, PROGRESS)
    for sigma, progress in zip(SIGMAS.tolist(), PROGRESS[:2], strict=False):
        with counted() as before:
            run.before_model(rows, sigma, progress)
        for layer in (FIRST, SECOND):
            cross(run, layer, progress)
        with counted() as after:
            with_text, _ = run.guided(rows, [rows], progress)
            run.after_model(with_text, progress)
    return Counts(before.ops + after.ops, before.copies + after.copies)


if __name__ == "__main__":
    main()
