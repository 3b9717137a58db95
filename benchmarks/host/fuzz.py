"""Random prompt pairs through the nodes: each one works or raises a P2PError with a hint.

They are encoded, aligned and mixed with the demo model's real tokenizer and text encoder; some are sampled.
`make fuzz` finds ComfyUI and runs it.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import time
from collections import Counter

from .in_comfy import graph


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--every", type=int, default=50, help="sample one in this many")
    chosen = parser.parse_args()
    started, on = time.monotonic(), graph()
    logging.disable(logging.WARNING)

    import comfy.utils
    from fuzz_prompts import outcome

    comfy.utils.set_progress_bar_enabled(False)
    error = importlib.import_module("p2p_pack.p2p_core.errors").P2PError
    outcomes: Counter[str] = Counter()
    for seed in range(chosen.first, chosen.first + chosen.count):
        try:
            outcomes[outcome(on, error, seed, sampled=seed % chosen.every == 0)] += 1
        except AssertionError as trouble:
            outcomes["trouble"] += 1
            print(trouble, flush=True)
    told = ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items()))
    minutes = (time.monotonic() - started) / 60
    print(f"{chosen.count} prompt pairs on {on.host.name}: {told}; {minutes:.0f} minutes")
    return int(outcomes["trouble"] > 0)


if __name__ == "__main__":
    raise SystemExit(main())
