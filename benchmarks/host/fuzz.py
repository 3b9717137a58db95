"""Hostile input of every kind, five minutes in all: each is accepted, or refused with a hint, or is a fault.

Prompts are encoded, aligned and mixed with the demo model's tokenizer and text encoder; some are sampled. The
last kinds run on a real server. `make fuzz` finds ComfyUI and runs it; `--docs` writes the table.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from ..shared.page import fill
from ..shared.table import markdown
from .fuzz_server import clients_and_interrupts
from .in_comfy import ROOT, graph

Attempt = Callable[[int], str]  # the outcome of a seed
ACCEPTED = ("accepted", "built", "drawn")
FAULT = "fault"
# of the time; others have 1
SHARES = {
    "prompt pairs": 3.0,
    "tensors": 3.0,
    "kills": 2.0,
    "interrupts": 4.0,
    "two clients": 4.0,
}  # others: 1
SERVER = 50.0  # seconds to start a server


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=280, help="for all kinds together")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/compatibility.md")
    chosen = parser.parse_args()
    started, on = time.monotonic(), graph()
    logging.disable(logging.WARNING)
    here = in_process(on)
    names = [*here, "interrupts", "two clients"]
    stop = started + chosen.seconds
    found: dict[str, Counter[str]] = {}
    for name in here:
        found[name] = tried(here[name], chosen.first, share(names, len(found), stop - SERVER))
    with clients_and_interrupts(Path(os.environ["P2P_HOST"])) as there:
        for name, attempt in there.items():
            found[name] = tried(attempt, chosen.first, share(names, len(found), stop))
    minutes = (time.monotonic() - started) / 60
    text = (
        f"{table(found)}\n\nOn {on.host.name}, from seed {chosen.first}, in {minutes:.1f} minutes on the CPU."
    )
    print(text)
    if chosen.docs:
        fill(ROOT / "docs" / "compatibility.md", {"fuzz": text})
    return int(any(outcomes[FAULT] for outcomes in found.values()))


def in_process(on: Any) -> dict[str, Attempt]:
    """The kinds that need no server."""
    import comfy.utils
    import fuzz_files
    import fuzz_inputs
    import fuzz_texts
    from fuzz_prompts import outcome

    comfy.utils.set_progress_bar_enabled(False)
    error = importlib.import_module("p2p_pack.p2p_core.errors").P2PError
    kinds = {
        "names": fuzz_files.names,
        "headers": fuzz_files.headers,
        "dtypes, shapes and places": fuzz_files.dtypes,
        "truncation": fuzz_files.truncation,
        "kills": fuzz_files.kills,
        "text growth": fuzz_texts.growth,
        "numbers": fuzz_texts.numbers,
        "tensors": fuzz_inputs.tensors,
    }
    attempts: dict[str, Attempt] = {
        name: lambda seed, kind=kind: kind(on, error, Random(seed)) for name, kind in kinds.items()
    }
    return {"prompt pairs": lambda seed: outcome(on, error, seed, sampled=seed % 50 == 0), **attempts}


def share(names: Sequence[str], done: int, stop: float) -> float:
    """The seconds for the next kind, of those that are left until `stop`."""
    left = [SHARES.get(name, 1.0) for name in names[done:]]
    return (stop - time.monotonic()) * left[0] / sum(left)


def tried(attempt: Attempt, first: int, seconds: float) -> Counter[str]:
    """The outcomes of seeds from the first one on, as many as there is time for, at least one."""
    outcomes: Counter[str] = Counter()
    stop, seed = time.monotonic() + seconds, first
    while not outcomes or time.monotonic() < stop:
        try:
            outcomes[attempt(seed)] += 1
        except Exception as trouble:  # the command counts what a test would fail for
            outcomes[FAULT] += 1
            print(f"seed {seed}: {type(trouble).__name__}: {trouble}", flush=True)
        seed += 1
    return outcomes


def table(found: Mapping[str, Counter[str]]) -> str:
    head = ["kind", "inputs", "accepted", "refused with a hint", "raised by ComfyUI itself", "faults"]
    rows = [[name, *(f"{count:,}" for count in _counts(seen))] for name, seen in found.items()]
    return markdown(head, rows)


def _counts(seen: Counter[str]) -> tuple[int, ...]:
    accepted = sum(seen[name] for name in ACCEPTED)
    return seen.total(), accepted, seen["refused"], seen["host"], seen[FAULT]


if __name__ == "__main__":
    raise SystemExit(main())
