"""The helper that starts ComfyUI servers, tested on other programs: waits end, and everything stops."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tools.comfyui.find import ComfyInstall
from tools.comfyui.server import LINK, Server, ServerError, comfy_server, trouble_of

ANSWERS = """
import http.server, json, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        packs = os.listdir("custom_nodes")
        told = {"arguments": sys.argv[1:], "environment": dict(os.environ), "packs": packs}
        self.wfile.write(json.dumps(told).encode())
    def do_POST(self):
        self.send_response(400); self.end_headers()
        self.wfile.write(b"no such node")
print("serving", flush=True)
port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def install(folder: Path, program: str) -> ComfyInstall:
    (folder / "main.py").write_text(program)
    return ComfyInstall(folder, Path(sys.executable), "0")


def test_it_serves_from_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/of/another/interpreter")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with comfy_server(install(tmp_path, ANSWERS), timeout=30) as server:
        told = server.get_json("/system_stats")
        folder = server.folder
    assert told["packs"] == [LINK] and LINK in told["arguments"]
    assert "PYTHONPATH" not in told["environment"]
    assert all(str(folder) in " ".join(told["arguments"]) for folder in (folder, folder / "user"))
    assert server.process.returncode is not None and not folder.exists()


def test_a_bare_server_has_no_pack(tmp_path: Path) -> None:
    with comfy_server(install(tmp_path, ANSWERS), pack=None, timeout=30) as server:
        told = server.get_json("/system_stats")
    assert told["packs"] == [] and "--disable-all-custom-nodes" in told["arguments"]


def test_it_is_stopped_when_its_user_fails(tmp_path: Path) -> None:
    seen: list[Server] = []
    with pytest.raises(KeyError), comfy_server(install(tmp_path, ANSWERS), timeout=30) as server:
        seen.append(server)
        raise KeyError("of the user")
    assert seen[0].process.returncode is not None


def test_a_refused_workflow_is_told_in_the_words_of_the_server(tmp_path: Path) -> None:
    refused = pytest.raises(ServerError, match=r"/prompt: 400 .*no such node")
    with comfy_server(install(tmp_path, ANSWERS), timeout=30) as server, refused:
        server.run({})


def test_a_program_that_ends_is_told_with_its_log(tmp_path: Path) -> None:
    broken = install(tmp_path, "raise SystemExit('a package is missing')")
    told = pytest.raises(ServerError, match=r"(?s)exited with code 1.*a package is missing")
    with told, comfy_server(broken, timeout=30):
        pytest.fail("it is not up")


def test_a_program_that_never_answers_is_given_up(tmp_path: Path) -> None:
    asleep = install(tmp_path, "import time; print('thinking', flush=True); time.sleep(600)")
    told = pytest.raises(ServerError, match=r"(?s)did not answer within 3 s.*thinking")
    with told, comfy_server(asleep, timeout=3):
        pytest.fail("it is not up")


def test_trouble_is_found_in_the_history() -> None:
    failed = {
        "status": {"status_str": "error", "messages": [["execution_error", {"exception_message": "no\n"}]]}
    }
    assert trouble_of(failed) == "no"
    assert trouble_of({"status": {"status_str": "success", "messages": []}}) == ""
