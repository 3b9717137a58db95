"""Runs the host suite on the stand-in and on every ComfyUI it finds, each under its own interpreter.

    python -m tools.comfyui.run_hosts [pytest options]              the suite
    python -m tools.comfyui.run_hosts --module NAME [arguments]     a module under the first ComfyUI

The tests read P2P_HOST: the folder of the ComfyUI to run on, unset for the stand-in. Nothing is installed
into ComfyUI's environment; other packages that the suite needs are in .venv/host-tools.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import IO

from p2p_core.errors import P2PError

from .find import ComfyInstall, find_comfy

ROOT = Path(__file__).resolve().parents[2]
SUITE = ROOT / "tests" / "host"
TOOLS = ROOT / ".venv" / "host-tools"
OLDEST = (0, 3, 64)
PREPARING = Lock()  # hosts with the same interpreter share their tools

PROBE = """
import importlib.util, sys
missing = [name for name in sys.argv[1:] if importlib.util.find_spec(name) is None]
print(*sys.version_info[:2], *missing)
"""
NEEDED = ("torch", "torchsde", "einops", "transformers", "aiohttp")  # a sample of the host's


@dataclass(frozen=True)
class Outcome:
    """The result of one host. trouble: empty if it passed. ran: False if the suite could not start."""

    host: str
    trouble: str = ""
    ran: bool = True


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    try:
        installs = find_comfy(environ, ROOT)
    except P2PError as error:
        print(error, file=sys.stderr)
        return 2
    if arguments[:1] == ["--module"]:
        return run_module(installs, arguments[1:], environ)
    outcomes = [suite("stand-in", Path(sys.executable), arguments, without_host(environ))]
    outcomes += on_every_comfy(installs, arguments, environ)
    print(closing_line(outcomes))
    asked_for = bool(environ.get("COMFYUI_PATH") or environ.get("COMFYUI_PATH_NEW"))
    return int(any(outcome.trouble and (outcome.ran or asked_for) for outcome in outcomes))


def on_every_comfy(
    installs: Sequence[ComfyInstall], arguments: Sequence[str], environ: Mapping[str, str]
) -> list[Outcome]:
    """All at the same time: the output of the first one live, that of the others when they are done.

    They share the CPU cores: with more threads than cores, they would wait for each other.
    """
    threads = max(1, (os.cpu_count() or 1) // max(1, len(installs)))
    environ = {"OMP_NUM_THREADS": str(threads), **environ}
    with ThreadPoolExecutor(max(1, len(installs))) as pool, ExitStack() as stack:
        kept = [stack.enter_context(TemporaryFile("w+")) for _ in installs[1:]]
        runs = [
            pool.submit(on_comfy, install, arguments, environ, out)
            for install, out in zip(installs, [None, *kept], strict=True)
        ]
        outcomes = [run.result() for run in runs]
        for out in kept:
            out.seek(0)
            shutil.copyfileobj(out, sys.stdout)
    return outcomes


def on_comfy(
    install: ComfyInstall, arguments: Sequence[str], environ: Mapping[str, str], out: IO[str] | None
) -> Outcome:
    try:
        with PREPARING:
            tools = host_tools(install.python, usable(install))
    except P2PError as error:
        return Outcome(str(install), str(error), ran=False)
    return suite(str(install), install.python, arguments, with_host(environ, install, tools), out)


def suite(
    name: str,
    python: Path,
    arguments: Sequence[str],
    environ: Mapping[str, str],
    out: IO[str] | None = None,
) -> Outcome:
    """Runs in the suite's folder: the working directory comes first on the path, and the root has nodes/."""
    print(f"\n=== host suite on {name}", file=out, flush=True)
    command = [python, "-m", "pytest", *arguments]
    run = subprocess.run(command, cwd=SUITE, env=dict(environ), check=False, stdout=out, stderr=out)
    return Outcome(name, "failed" if run.returncode else "")


def run_module(installs: Sequence[ComfyInstall], command: Sequence[str], environ: Mapping[str, str]) -> int:
    if not installs:
        print("No ComfyUI found. Set COMFYUI_PATH=/path/to/ComfyUI.", file=sys.stderr)
        return 2
    install = installs[0]
    print(f"=== {command[0]} on {install}", flush=True)
    return subprocess.run(
        [install.python, "-m", *command], cwd=ROOT, env=with_host(environ, install), check=False
    ).returncode


def without_host(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name != "P2P_HOST"}


def with_host(environ: Mapping[str, str], install: ComfyInstall, tools: Path | None = None) -> dict[str, str]:
    """The environment for ComfyUI's interpreter, without variables that belong to another interpreter."""
    other = ("VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH")
    theirs = {name: value for name, value in environ.items() if name not in other}
    theirs["P2P_HOST"] = str(install.path)
    if tools:
        theirs["PYTHONPATH"] = str(tools)
    return theirs


def usable(install: ComfyInstall) -> str:
    """The version of the interpreter, such as "3.11". P2PError if ComfyUI cannot run the suite."""
    number = tuple(int(part) for part in install.version.split(".") if part.isdigit())
    if number and number < OLDEST:
        raise P2PError("ComfyUI 0.3.64 or newer", install.version, "Update it.")
    hint = "Set COMFYUI_PYTHON=/path/to/python to the interpreter that ComfyUI runs under."
    command = [install.python, "-c", PROBE, *NEEDED]
    probe = subprocess.run(command, capture_output=True, text=True, check=False)
    if probe.returncode:
        raise P2PError("an interpreter that starts", f"{install.python}: {probe.stderr.strip()}", hint)
    major, minor, *missing = probe.stdout.split()
    if missing:
        raise P2PError("ComfyUI's packages", f"{install.python} without {', '.join(missing)}", hint)
    return f"{major}.{minor}"


def host_tools(python: Path, tag: str) -> Path:
    """A folder with pytest and hypothesis for that interpreter, created on first use by our pip.

    The versions of requirements-dev.txt, or the newest older ones that the interpreter supports.
    """
    lines = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8").split()
    pins = [line for line in lines if line.startswith(("pytest==", "hypothesis=="))]
    folder = TOOLS / "-".join(["python" + tag, *(pin.replace("==", "") for pin in pins)])
    if folder.is_dir():
        return folder
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    wanted = [pin.replace("==", "<=") for pin in pins]
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    made = subprocess.run([*pip, "install", "--quiet", "--target", str(part), *wanted], check=False)
    if made.returncode:
        raise P2PError(
            "pytest and hypothesis",
            "a failed installation (above)",
            "Fix the problem that pip reports and run again.",
        )
    return part.rename(folder)


def closing_line(outcomes: Sequence[Outcome]) -> str:
    if len(outcomes) == 1 and not outcomes[0].trouble:
        hint = "set COMFYUI_PATH=/path/to/ComfyUI to run it on the real one"
        return f"host suite ran on the stand-in only; {hint}"
    ran = [f"{outcome.host} {outcome.trouble.upper()}".rstrip() for outcome in outcomes if outcome.ran]
    left_out = [f"not run on {o.host}: {o.trouble.rstrip('.')}" for o in outcomes if not o.ran]
    return "; ".join(["host suite: " + ", ".join(ran), *left_out])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
