"""Every sampler with every scheduler, and with every stock sampling node, on the demo model.

For each: the source is, bit for bit, that of a plain run, even if the sampler draws noise; with a mask for
Local Blend, the edit equals the source outside it to the last bit. `make matrix` finds ComfyUI and runs it.
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from collections.abc import Callable
from typing import Any

from ..shared.page import fill
from .in_comfy import ROOT, graph

Trouble = Callable[[str, str, str], str]
Outcomes = dict[tuple[str, str, str], str]  # failure by sampling node, sampler and scheduler


def main() -> None:
    parser = argparse.ArgumentParser(prog="make matrix", description=__doc__)
    parser.add_argument("--samplers", nargs="*", help="only these")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/compatibility.md")
    chosen = parser.parse_args()
    started, on = time.monotonic(), graph()
    logging.disable(logging.WARNING)  # the host warns about samplers with few steps
    warnings.filterwarnings("ignore")

    import comfy.samplers
    import comfy.utils
    from sampler_ways import BY_THE_BATCH, WAYS, trouble

    comfy.utils.set_progress_bar_enabled(False)
    samplers = chosen.samplers or comfy.samplers.SAMPLER_NAMES
    first, *others = WAYS
    jobs = [
        (first, sampler, scheduler) for sampler in samplers for scheduler in comfy.samplers.SCHEDULER_NAMES
    ]
    jobs += [(way, sampler, "karras") for sampler in samplers for way in others]
    outcomes: Outcomes = {}
    for job in jobs:
        outcomes[job] = trouble(on, *job)
        if outcomes[job]:
            print(*job, outcomes[job], sep=": ", flush=True)
    minutes = (time.monotonic() - started) / 60
    text = table(outcomes, list(samplers), list(WAYS), BY_THE_BATCH)
    passed = sum(not bad for bad in outcomes.values())
    text += f"\n\n{passed} of {len(jobs)} runs passed on {on.host.name}, in {minutes:.0f} minutes on the CPU."
    print(text)
    if chosen.docs:
        fill(ROOT / "docs" / "compatibility.md", {"samplers": text})


def table(outcomes: Outcomes, samplers: list[str], ways: list[str], by_the_batch: dict[str, str]) -> str:
    """One row per sampler, one column per sampling node; failures and notes below."""
    lines = [f"| sampler | {' | '.join(ways)} |", "|---" * (len(ways) + 1) + "|"]
    for sampler in samplers:
        cells = [
            _cell([bad for (w, s, _), bad in outcomes.items() if (w, s) == (way, sampler)]) for way in ways
        ]
        lines.append(f"| {sampler} | {' | '.join(cells)} |")
    notes = [f"- {', '.join(job)}: {bad}." for job, bad in outcomes.items() if bad]
    notes += [
        f"- {name}: the host computes {what} over all rows, so this run uses a pair of equal prompts."
        for name, what in by_the_batch.items()
    ]
    return "\n".join([*lines, "", *notes])


def _cell(troubles: list[Any]) -> str:
    """How many of the runs passed, if there are several."""
    well = troubles.count("")
    return ("yes" if well else "no") if len(troubles) == 1 else f"{well} of {len(troubles)}"


if __name__ == "__main__":
    main()
