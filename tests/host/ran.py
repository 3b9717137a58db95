"""Records the test results per host, for the table in docs/compatibility.md.

A session writes out/ran/<host>.json: the outcomes of each test file that it ran completely.
`python tests/host/ran.py` writes the table from these files; a missing test file was not run.
"""

from __future__ import annotations

import ast
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER, PAGE = ROOT / "out" / "ran", ROOT / "docs" / "compatibility.md"
OUTCOMES: dict[str, Counter[str]] = {}


def pytest_runtest_logreport(report: Any) -> None:
    if report.when == "call" or report.outcome != "passed":
        file = Path(report.nodeid.partition("::")[0]).name
        OUTCOMES.setdefault(file, Counter())[report.outcome] += 1


def pytest_sessionfinish(session: Any) -> None:
    asked = session.config.option
    if asked.keyword or asked.markexpr or asked.maxfail or any("::" in each for each in session.config.args):
        return  # parts of files
    FOLDER.mkdir(parents=True, exist_ok=True)
    note = FOLDER / f"{host()}.json"
    known = json.loads(note.read_text("utf-8")) if note.is_file() else {}
    note.write_text(json.dumps({**known, **OUTCOMES}, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def host() -> str:
    if not os.environ.get("P2P_HOST"):
        return "stand-in"
    import comfyui_version

    return f"ComfyUI {comfyui_version.__version__}"


def table() -> str:
    hosts = {file.stem: json.loads(file.read_text("utf-8")) for file in sorted(FOLDER.glob("*.json"))}
    names = sorted({name for ran in hosts.values() for name in ran if (ROOT / "tests/host" / name).is_file()})
    rows = [
        f"| {subject(name)} | {' | '.join(cell(ran.get(name)) for ran in hosts.values())} |" for name in names
    ]
    return "\n".join([f"| tests | {' | '.join(hosts)} |", "|---" * (len(hosts) + 1) + "|", *rows])


def subject(name: str) -> str:
    """The name of the file and the first line of its docstring."""
    told = ast.get_docstring(ast.parse((ROOT / "tests/host" / name).read_text("utf-8"))) or ""
    return f"{name.removesuffix('.py')}: {told.splitlines()[0].rstrip('.')}"


def cell(outcomes: dict[str, int] | None) -> str:
    if not outcomes:
        return "not run"
    return ", ".join(
        f"{outcomes[each]} {each}" for each in ("passed", "failed", "skipped") if outcomes.get(each)
    )


if __name__ == "__main__":
    sys.path.append(str(ROOT))
    from benchmarks.shared.page import fill

    fill(PAGE, {"versions": table()})
