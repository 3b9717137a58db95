"""Results of `make bench`: results/<device>.json, and the tables of docs/performance.md made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from ..shared.page import fill
from ..shared.table import markdown

ROOT = Path(__file__).resolve().parents[2]
FOLDER, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "performance.md"
PLAIN = "plain batch"


@dataclass(frozen=True)
class Cost:
    """One sampling: milliseconds of each step but the first, and of all of it; peak memory in MiB."""

    steps: tuple[float, ...]
    sampling: float
    peak: float


@dataclass(frozen=True)
class CaseResult:
    """Medians over rounds, and the lowest and highest round. Overheads are shares of the plain batch's time.

    waits: by line of our code, how often it made the CPU wait for the device in one sampling; None on a CPU.
    """

    case: str
    step_ms: float
    step_overhead: float
    lowest: float
    highest: float
    sampling_overhead: float
    peak_mib: float
    extra_mib: float
    waits: Mapping[str, int] | None


@dataclass(frozen=True)
class ShapeResult:
    shape: str
    title: str
    steps: int
    rounds: int
    rows: int
    cases: Sequence[CaseResult]


@dataclass(frozen=True)
class Results:
    """All of one run of the command on one machine."""

    device: str
    machine: str
    dtype: str
    clock: str
    attention: str
    torch: str
    comfyui: str
    date: str
    shapes: Sequence[ShapeResult]


def compared(
    name: str, costs: Sequence[Cost], plain: Sequence[Cost], waits: Mapping[str, int] | None
) -> CaseResult:
    """A case against the plain batch of the same round."""
    rounds = list(zip(costs, plain, strict=True))
    overheads = [median(a / b for a, b in zip(c.steps, p.steps, strict=True)) - 1 for c, p in rounds]
    peak, plain_peak = (median(cost.peak for cost in some) for some in (costs, plain))
    return CaseResult(
        case=name,
        step_ms=round(median(step for cost in costs for step in cost.steps), 3),
        step_overhead=round(median(overheads), 4),
        lowest=round(min(overheads), 4),
        highest=round(max(overheads), 4),
        sampling_overhead=round(median(c.sampling / p.sampling for c, p in rounds) - 1, 4),
        peak_mib=round(peak, 1),
        extra_mib=round(peak - plain_peak, 1),
        waits=waits,
    )


# Files


def write(results: Results, folder: Path = FOLDER) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / f"{results.device}.json"
    file.write_text(json.dumps(asdict(results), indent=1) + "\n", "utf-8")
    return file


def read(file: Path) -> Results:
    """TypeError for a file with other fields."""
    held = json.loads(file.read_text("utf-8"))
    shapes = [
        {**each, "cases": tuple(CaseResult(**case) for case in each["cases"])} for each in held["shapes"]
    ]
    return Results(**{**held, "shapes": tuple(ShapeResult(**each) for each in shapes)})


def fill_page(page: Path = PAGE, folder: Path = FOLDER) -> None:
    """Write the tables of all results into the page."""
    fill(page, {file.stem: text(read(file)) for file in folder.glob("*.json")})


# Tables


def text(results: Results) -> str:
    tables = [f"**{shape.title}**\n\n{table(shape)}\n\n{_settings(shape)}" for shape in results.shapes]
    return "\n\n".join([_heading(results), *tables])


def _heading(results: Results) -> str:
    return (
        f"{results.machine}, {results.dtype}, ComfyUI {results.comfyui} with {results.attention}, "
        f"torch {results.torch}, {results.date}. Times are {results.clock}."
    )


def _settings(shape: ShapeResult) -> str:
    return f"{shape.rows} rows per model call, {shape.steps} steps, {shape.rounds} rounds."


def table(shape: ShapeResult) -> str:
    head = [
        "case",
        "ms per step",
        "overhead per step",
        "rounds from … to",
        "whole sampling",
        "peak MiB",
        "beyond plain",
    ]
    with_waits = any(case.waits is not None for case in shape.cases)
    return markdown([*head, *["waits"] * with_waits], [_row(case, with_waits) for case in shape.cases])


def _row(case: CaseResult, with_waits: bool) -> list[str]:
    waits = [f"{sum((case.waits or {}).values())}"] * with_waits
    if case.case == PLAIN:
        return [case.case, f"{case.step_ms:,.1f}", "–", "–", "–", f"{case.peak_mib:,.0f}", "–", *waits]
    return [
        case.case,
        f"{case.step_ms:,.1f}",
        f"{case.step_overhead:+.1%}",
        f"{case.lowest:+.1%} … {case.highest:+.1%}",
        f"{case.sampling_overhead:+.1%}",
        f"{case.peak_mib:,.0f}",
        f"{case.extra_mib:+,.0f}",
        *waits,
    ]


if __name__ == "__main__":
    fill_page()
