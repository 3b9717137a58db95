"""A private ComfyUI server: started in a temporary folder, driven over HTTP, always stopped."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .find import ComfyInstall

PACK = Path(__file__).resolve().parents[2]
LINK = "prompt-to-prompt"  # the pack's folder in custom_nodes; part of the URLs of its files
FOLDERS = ("custom_nodes", "input", "models", "output", "temp", "user")
START_TIMEOUT = 240.0
RUN_TIMEOUT = 300.0
FOREIGN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "P2P_HOST")  # of the starting interpreter

Workflow = Mapping[str, Any]  # in the API format: {node id: {"class_type": ..., "inputs": {...}}}
_LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ServerError(RuntimeError):
    """The server did not start, rejected a workflow, failed while running one, or timed out."""


@dataclass(frozen=True)
class Server:
    """A running server. folder: contains its input, output, user and custom_nodes."""

    url: str
    folder: Path
    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text(encoding="utf-8", errors="replace")

    def get(self, path: str, **query: str) -> bytes:
        return self._open(urllib.request.Request(self._address(path, query)))

    def get_json(self, path: str, **query: str) -> Any:
        return json.loads(self.get(path, **query))

    def draw(self, workflow: Workflow, timeout: float = RUN_TIMEOUT) -> dict[str, list[bytes]]:
        """Run a workflow and return its image files by the id of the node that shows or saves them."""
        entry = self.run(workflow, timeout)
        if trouble := trouble_of(entry):
            raise ServerError(f"The workflow failed: {trouble}")
        shown = {name: output.get("images", []) for name, output in entry["outputs"].items()}
        return {name: [self.get("/view", **place) for place in places] for name, places in shown.items()}

    def run(self, workflow: Workflow, timeout: float = RUN_TIMEOUT) -> dict[str, Any]:
        """Queue a workflow and wait for its entry in the history, whether it succeeded or not."""
        return self.finished(self.queue(workflow), timeout)

    def queue(self, workflow: Workflow) -> str:
        """Queue a workflow and return its prompt id. ServerError if it is rejected."""
        reply = self._post("/prompt", {"prompt": workflow, "client_id": uuid.uuid4().hex})
        return str(json.loads(reply)["prompt_id"])

    def finished(self, name: str, timeout: float = RUN_TIMEOUT) -> dict[str, Any]:
        """Wait for the entry of a queued workflow in the history."""
        entry = self._until(lambda: self.get_json(f"/history/{name}").get(name), "finish", timeout)
        return dict(entry)

    def interrupt(self) -> None:
        """Stop the current run."""
        self._post("/interrupt", {})

    def wait_until_up(self, timeout: float = START_TIMEOUT) -> None:
        self._until(lambda: self.get("/system_stats"), "answer", timeout)

    def _until(self, answer: Callable[[], Any], what: str, timeout: float) -> Any:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise ServerError(f"ComfyUI exited with code {self.process.returncode}.{self._tail()}")
            with suppress(OSError):  # not started yet, or too busy to answer
                if result := answer():
                    return result
            time.sleep(0.2)
        raise ServerError(f"ComfyUI did not {what} within {timeout:.0f} s.{self._tail()}")

    def _tail(self, lines: int = 40) -> str:
        return "\nEnd of its log:\n" + "\n".join(self.log.splitlines()[-lines:])

    def _post(self, path: str, body: Mapping[str, Any]) -> bytes:
        headers = {"Content-Type": "application/json"}
        return self._open(urllib.request.Request(self._address(path, {}), json.dumps(body).encode(), headers))

    def _address(self, path: str, query: Mapping[str, str]) -> str:
        return self.url + path + ("?" + urllib.parse.urlencode(query) if query else "")

    def _open(self, request: urllib.request.Request) -> bytes:
        try:
            with _LOCAL.open(request, timeout=30) as reply:
                return reply.read()
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            raise ServerError(f"{request.selector}: {error.code} {error.reason}: {text}") from None


@contextmanager
def comfy_server(
    install: ComfyInstall, pack: Path | None = PACK, timeout: float = START_TIMEOUT
) -> Iterator[Server]:
    """A server of this ComfyUI with the pack linked into its custom_nodes, and no other pack.

    Its models, input, output, user data and database are in its own folder: no file of the user is written.
    With `pack` None, it starts without the pack.
    """
    with tempfile.TemporaryDirectory(prefix="p2p-comfyui-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for each in FOLDERS:
            (folder / each).mkdir()
        if pack is not None:
            (folder / "custom_nodes" / LINK).symlink_to(pack.resolve(), target_is_directory=True)
        port = _free_port()
        command = _command(install, folder, port, bare=pack is None)
        with (folder / "server.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            server = Server(f"http://127.0.0.1:{port}", folder, process)
            server.wait_until_up(timeout)
            yield server
        finally:
            _stop(process)


def trouble_of(entry: Mapping[str, Any]) -> str:
    """The error message of a failed run; empty for a successful one."""
    status: Mapping[str, Any] = entry.get("status") or {}
    if status.get("status_str") != "error":
        return ""
    errors = [body for kind, body in status.get("messages", []) if kind == "execution_error"]
    return str(errors[0]["exception_message"]).strip() if errors else "no reason given"


def _command(install: ComfyInstall, folder: Path, port: int, bare: bool) -> list[str]:
    database = f"sqlite:///{folder / 'user' / 'comfyui.db'}"
    command = [str(install.python), str(install.path / "main.py"), "--cpu"]
    command += ["--listen", "127.0.0.1", "--port", str(port), "--disable-auto-launch"]
    command += ["--base-directory", str(folder), "--database-url", database]
    command += ["--disable-api-nodes", "--disable-all-custom-nodes"]
    return command if bare else [*command, "--whitelist-custom-nodes", LINK]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in FOREIGN}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
