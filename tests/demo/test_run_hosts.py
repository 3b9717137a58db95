"""The runner of the host suite: which ComfyUI it rejects and why, and its last line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from p2p_core.errors import P2PError
from tools.comfyui import run_hosts
from tools.comfyui.find import ComfyInstall
from tools.comfyui.run_hosts import Outcome


def install(version: str = "0.33.0", python: str = sys.executable) -> ComfyInstall:
    return ComfyInstall(Path("/comfy"), Path(python), version)


def test_an_older_comfy_is_refused() -> None:
    with pytest.raises(P2PError, match=r"0\.3\.64 or newer, got 0\.3\.9"):
        run_hosts.usable(install("0.3.9"))


def test_an_interpreter_without_comfys_packages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_hosts, "NEEDED", ("json", "no_such_package"))
    with pytest.raises(P2PError, match=r"without no_such_package.*COMFYUI_PYTHON"):
        run_hosts.usable(install())
    monkeypatch.setattr(run_hosts, "NEEDED", ("json",))
    assert run_hosts.usable(install()) == f"{sys.version_info[0]}.{sys.version_info[1]}"


def test_the_last_line_names_every_host() -> None:
    outcomes = [Outcome("stand-in"), Outcome("ComfyUI 0.3.64 (/a)"), Outcome("ComfyUI 0.33.0 (/b)")]
    line = "host suite: stand-in, ComfyUI 0.3.64 (/a), ComfyUI 0.33.0 (/b)"
    assert run_hosts.closing_line(outcomes) == line


def test_the_last_line_says_how_to_give_a_comfy() -> None:
    line = run_hosts.closing_line([Outcome("stand-in")])
    assert "stand-in only" in line and "COMFYUI_PATH=/path/to/ComfyUI" in line


def test_the_last_line_says_what_failed_and_what_was_left_out() -> None:
    outcomes = [Outcome("stand-in", "failed"), Outcome("ComfyUI 0.3.64 (/a)", "no torch.", ran=False)]
    line = "host suite: stand-in FAILED; not run on ComfyUI 0.3.64 (/a): no torch"
    assert run_hosts.closing_line(outcomes) == line


def test_a_process_of_comfy_gets_its_own_environment() -> None:
    ours = {"HOME": "/h", "VIRTUAL_ENV": "/v", "PYTHONPATH": "/p", "P2P_HOST": "/old"}
    theirs = run_hosts.with_host(ours, install(), Path("/tools"))
    assert theirs == {"HOME": "/h", "PYTHONPATH": "/tools", "P2P_HOST": "/comfy"}
    assert "PYTHONPATH" not in run_hosts.with_host(ours, install())
    assert "P2P_HOST" not in run_hosts.without_host(ours)


def test_every_comfy_is_run_and_tells_its_own(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Here pytest only prints its version, or an error about its options."""
    monkeypatch.setattr(run_hosts, "NEEDED", ("json",))
    monkeypatch.setattr(run_hosts, "host_tools", lambda python, tag: None)
    installs = [install("0.3.64"), install("0.33.0")]
    outcomes = run_hosts.on_every_comfy(installs, ["--version"], {})
    assert [(outcome.host, outcome.trouble) for outcome in outcomes] == [(str(i), "") for i in installs]
    told = capfd.readouterr()
    assert told.out.count("=== host suite on") == 2 and (told.out + told.err).count("pytest 9") == 2
    assert told.out.index("0.3.64") < told.out.index("0.33.0")
    failed = run_hosts.on_every_comfy(installs, ["--no-such-option"], {})
    assert [outcome.trouble for outcome in failed] == ["failed", "failed"]
