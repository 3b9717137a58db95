"""The cost of edits: a pair with each kind of edit, compared with a plain batch of the same prompts.

Uses ComfyUI's own models in the shapes of real ones, with random weights. All cases alternate within one run,
so that ratios are reliable on a noisy machine. `make bench` finds ComfyUI and runs it; DEVICE=cuda runs it on
the GPU.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import logging
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from .cases import CASES
from .devices import DEVICES, Device
from .in_comfy import start
from .models import Bench, Callback, bench
from .results import PLAIN, Cost, Results, ShapeResult, compared, fill_page, text, write
from .shapes import SHAPES

Sample = Callable[[Callback], Any]


def main() -> None:
    chosen = options()
    device, pack = DEVICES[chosen.device], start(cpu=chosen.device == "cpu")
    logging.disable(logging.INFO)
    shapes = [
        measured_shape(
            device, pack, name, chosen.steps or device.steps, chosen.rounds or device.rounds, chosen.cases
        )
        for name in chosen.shapes or device.shapes
    ]
    results = described(device, shapes)
    print(text(results))
    if chosen.docs:
        write(results)
        fill_page()


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--device", choices=DEVICES, default="cpu")
    parser.add_argument(
        "--shapes", nargs="*", choices=SHAPES, help="which models; the default depends on the device"
    )
    parser.add_argument("--rounds", type=int, help="measured rounds after one warm-up round")
    parser.add_argument(
        "--steps", type=int, help="model calls per sampling, 2 or more; the first one is not timed"
    )
    parser.add_argument("--cases", nargs="*", choices=CASES, default=CASES, help="the default is all")
    parser.add_argument(
        "--docs", action="store_true", help="keep the results, with their tables in docs/performance.md"
    )
    return parser.parse_args()


def measured_shape(
    device: Device, pack: Any, name: str, steps: int, rounds: int, chosen: Collection[str] = CASES
) -> ShapeResult:
    import comfy.model_management
    import torch

    shape = SHAPES[name]
    made = bench(pack, shape, getattr(torch, device.dtype), steps)
    every = samplings(made, shape.left_out)
    samples = {name: sample for name, sample in every.items() if name in (PLAIN, *chosen)}
    costs = alternated(device, samples, rounds)
    host = Path(os.environ["P2P_HOST"])
    cases = [
        compared(case, costs[case], costs[PLAIN], device.waits(partial(sample, ignored), host))
        for case, sample in samples.items()
    ]
    comfy.model_management.unload_all_models()
    return ShapeResult(name, shape.title, steps, rounds, made.rows, cases)


def samplings(made: Bench, left_out: Sequence[str] = ()) -> dict[str, Sample]:
    """The plain batch, then each case."""
    pairs = {name: partial(made.pair, patch(made)) for name, patch in CASES.items() if name not in left_out}
    return {PLAIN: made.plain, **pairs}


def alternated(device: Device, samples: Mapping[str, Sample], rounds: int) -> dict[str, list[Cost]]:
    """Costs of all rounds after a first one that warms up. Every second round runs backwards."""
    costs: dict[str, list[Cost]] = {name: [] for name in samples}
    for turn in range(rounds + 1):
        for name in list(samples)[:: -1 if turn % 2 else 1]:
            cost = measured(device, samples[name])
            note = "" if turn else "  (warm-up)"
            print(f"{name:30} {median(cost.steps):10.2f} ms per step {cost.peak:8.0f} MiB{note}", flush=True)
            if turn:
                costs[name].append(cost)
    return costs


def measured(device: Device, sample: Sample) -> Cost:
    gc.collect()
    device.reset_peak()
    marks = [device.mark()]
    sample(lambda *_: marks.append(device.mark()))
    marks.append(device.mark())
    times = device.milliseconds(marks)
    return Cost(tuple(times[1:-1]), sum(times), device.peak())


def ignored(*_: Any) -> None: ...


def described(device: Device, shapes: Sequence[ShapeResult]) -> Results:
    import comfy.ldm.modules.attention
    import comfyui_version
    import torch

    return Results(
        device=device.name,
        machine=device.machine(),
        dtype=device.dtype,
        clock=device.clock,
        attention=comfy.ldm.modules.attention.optimized_attention.__name__,
        torch=str(torch.__version__),
        comfyui=comfyui_version.__version__,
        date=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        shapes=shapes,
    )


if __name__ == "__main__":
    main()
