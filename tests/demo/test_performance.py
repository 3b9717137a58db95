"""Results of `make bench`: what is computed from measured times, the kept files, the page, and who waits."""

from __future__ import annotations

import json
import re
import warnings
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from benchmarks.host.cases import CASES
from benchmarks.host.devices import DEVICES, ROOT, WAIT, noted_waits
from benchmarks.host.results import (
    FOLDER,
    PAGE,
    PLAIN,
    CaseResult,
    Cost,
    Results,
    ShapeResult,
    compared,
    fill_page,
    read,
    table,
    text,
    write,
)
from benchmarks.host.shapes import SHAPES

KEPT = sorted(FOLDER.glob("*.json"))
PLAIN_COSTS = Cost((100.0, 110.0), 400.0, 1000.0), Cost((200.0, 220.0), 800.0, 1000.0)
COSTS = Cost((110.0, 121.0), 480.0, 1010.0), Cost((240.0, 264.0), 880.0, 1030.0)


def part(page: str, name: str) -> str:
    match = re.search(f"<!-- {name} -->\n(.*?)<!-- /{name} -->", page, re.DOTALL)
    assert match is not None
    return match[1].strip()


def results() -> Results:
    cases = compared(PLAIN, PLAIN_COSTS, PLAIN_COSTS, {}), compared("swap", COSTS, PLAIN_COSTS, {"a.py:1": 3})
    shapes = (ShapeResult("tiny", "a tiny model", 3, 2, 4, cases),)
    return Results("cuda", "a GPU", "float16", "CUDA events", "sdpa", "2", "0.33.0", "2026-01-01", shapes)


def test_a_case_is_compared_with_the_plain_batch_of_its_round() -> None:
    case = compared("swap", COSTS, PLAIN_COSTS, None)
    assert (case.lowest, case.step_overhead, case.highest) == (0.1, 0.15, 0.2)
    assert (case.step_ms, case.sampling_overhead) == (180.5, 0.15)
    assert (case.peak_mib, case.extra_mib) == (1020.0, 20.0)


def test_results_survive_their_file(tmp_path: Path) -> None:
    assert read(write(results(), tmp_path)) == results()


@pytest.mark.parametrize("field", ["machine", "shapes"])
def test_a_file_with_other_fields_is_rejected(tmp_path: Path, field: str) -> None:
    file = write(results(), tmp_path)
    held = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**held, f"{field}_": held.pop(field)}), "utf-8")
    with pytest.raises((TypeError, KeyError)):
        read(file)


def test_waits_are_shown_where_a_device_has_them() -> None:
    (shape,) = results().shapes
    head, _, plain, swap = (line.strip("| ").split(" | ") for line in table(shape).splitlines())
    assert head[-1] == "waits" and plain[-1] == "0" and swap[-1] == "3"
    assert swap[:4] == ["swap", "180.5", "+15.0%", "+10.0% … +20.0%"]
    without = replace(shape, cases=[replace(case, waits=None) for case in shape.cases])
    assert "waits" not in table(without)


def test_the_page_gets_the_tables_of_its_device(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- cpu -->\nnothing\n<!-- /cpu -->\n<!-- cuda -->\n<!-- /cuda -->\n", "utf-8")
    write(results(), tmp_path)
    fill_page(page, tmp_path)
    filled = page.read_text("utf-8")
    assert part(filled, "cpu") == "nothing" and part(filled, "cuda") == text(results())


# What the repository keeps


def test_the_page_has_a_part_for_each_device() -> None:
    page = PAGE.read_text("utf-8")
    for name in DEVICES:
        kept = any(file.stem == name for file in KEPT)
        assert kept or part(page, name).startswith("Not measured yet"), name


@pytest.mark.parametrize("file", KEPT, ids=lambda file: file.stem)
def test_kept_results_are_on_the_page(file: Path) -> None:
    """Cases that came later may be missing until the next measurement."""
    kept = read(file)
    assert kept.device == file.stem and part(PAGE.read_text("utf-8"), file.stem) == text(kept)
    for shape in kept.shapes:
        assert shape.title == SHAPES[shape.shape].title
        measured = [case.case for case in shape.cases]
        assert measured == [case for case in (PLAIN, *CASES) if case in measured] and PLAIN in measured


def test_numbers_of_kept_results_are_numbers() -> None:
    types = {"case": str, "waits": (dict, type(None))}
    for file in KEPT:
        for case in (case for shape in read(file).shapes for case in shape.cases):
            assert isinstance(case, CaseResult)
            for name, value in asdict(case).items():
                assert isinstance(value, types.get(name, (int, float))), name


# Who makes the CPU wait

HOST = Path("/somewhere/ComfyUI")


def waiting(file: Path, inner: str = "") -> Counter[str]:
    """The noted waits of code in a file; inner: a file that it calls, which waits in its place."""
    spaces = [{"warnings": warnings, "WAIT": WAIT}, {}]
    wait = "def wait(): warnings.warn(WAIT)"
    exec(compile(wait, inner or file, "exec"), spaces[0])  # noqa: S102
    exec(compile("\n\ndef call(): wait()", file, "exec"), {**spaces[0]}, spaces[1])  # noqa: S102
    with noted_waits(HOST) as places:
        spaces[1]["call"]()
    return places


def test_a_wait_of_our_code_is_noted_with_its_line() -> None:
    assert waiting(ROOT / "p2p_core" / "a.py") == {"p2p_core/a.py:1": 1}


def test_a_library_waits_for_whoever_called_it() -> None:
    library = "/python/site-packages/torch/functional.py"
    assert waiting(ROOT / "nodes" / "a.py", library) == {"nodes/a.py:3": 1}
    assert waiting(HOST / "comfy" / "a.py", library) == {}


def test_a_wait_of_the_host_is_not_ours_though_we_called_it() -> None:
    assert waiting(ROOT / "nodes" / "a.py", f"{HOST}/comfy/a.py") == {}


def test_other_warnings_are_not_waits() -> None:
    with noted_waits(HOST) as places:
        warnings.warn("something else", stacklevel=1)
    assert not places
