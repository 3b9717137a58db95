"""A real server under random edits: interrupted, queued at once, run again, with any widget values.

Every run gives pictures, or one of our errors with a hint, or is rejected by the server's own validation. At
the end the same workflow gives the same pictures as a fresh process. Memory is that of the server process.
`make stress` finds ComfyUI and runs it.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from tools.comfyui.find import ComfyInstall, find_comfy
from tools.comfyui.server import Server, ServerError, comfy_server, trouble_of

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "harness"))

from random_edits import SAMPLERS, Workflow, workflow  # noqa: E402

REFERENCE = ROOT / "example_workflows" / "api" / "p2p_word_swap.json"
P2P_ERROR = "p2p_core.errors.P2PError"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make stress", description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument(
        "--plain", action="store_true", help="only measure the memory of as many runs without edits"
    )
    chosen = parser.parse_args()
    installs = find_comfy(os.environ, ROOT)
    if not installs:
        print("No ComfyUI found. Set COMFYUI_PATH=/path/to/ComfyUI.", file=sys.stderr)
        return 2
    if chosen.plain:
        return without_edits(installs[0], chosen.first, chosen.count)
    return int(bool(under_stress(installs[0], chosen.first, chosen.count)))


def under_stress(install: ComfyInstall, first: int, count: int) -> list[str]:
    """Run the edits, print a summary, and return the failures."""
    started = time.monotonic()
    with comfy_server(install) as server:
        nodes = server.get_json("/object_info")
        outcomes: Counter[str] = Counter()
        troubles: list[str] = []
        memory: list[float] = []
        for seed in range(first, first + count):
            try:
                outcomes[one(server, nodes, seed)] += 1
            except AssertionError as trouble:
                troubles.append(f"seed {seed}: {trouble}")
                print(troubles[-1], flush=True)
            memory.append(resident(server))
        after = pictures(server, reference(server, anew=True))
    with comfy_server(install) as fresh:
        same = all(map(np.array_equal, after, pictures(fresh, reference(fresh))))
    if not same:
        troubles.append("a run afterwards differs from that of a fresh process")
    told = ", ".join(f"{number} {name}" for name, number in sorted(outcomes.items()))
    print(f"{count} edits on {install}: {told}; {len(troubles)} troubles")
    print("the run afterwards equals that of a fresh process, bit for bit" if same else troubles[-1])
    print(quarters(memory))
    print(f"{(time.monotonic() - started) / 60:.0f} minutes")
    return troubles


def without_edits(install: ComfyInstall, first: int, count: int) -> int:
    """Memory of a server that samples batches of the same sizes with stock nodes, for comparison."""
    memory: list[float] = []
    with comfy_server(install) as server:
        for seed in range(first, first + count):
            server.draw(plain(seed))
            memory.append(resident(server))
    print(f"{count} plain runs on {install}\n{quarters(memory)}")
    return 0


def plain(seed: int) -> Workflow:
    """One random run of the demo model alone, with as many rows as a pair or two pairs."""
    random = Random(seed)
    size = {side: 8 * random.randrange(8, 17) for side in ("width", "height")}
    sampling = {
        "seed": seed,
        "steps": random.randint(2, 4),
        "cfg": 4.0,
        "denoise": 1.0,
        "scheduler": "simple",
    }
    links = {"model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0]}
    nodes = {
        "1": ("P2PDemoModel", {}),
        "2": ("CLIPTextEncode", {"clip": ["1", 1], "text": f"a red house {seed}"}),
        "3": ("CLIPTextEncode", {"clip": ["1", 1], "text": ""}),
        "4": ("EmptyLatentImage", {**size, "batch_size": random.choice([2, 2, 4])}),
        "5": ("KSampler", {**links, **sampling, "sampler_name": random.choice(SAMPLERS)}),
        "6": ("VAEDecode", {"samples": ["5", 0], "vae": ["1", 2]}),
        "7": ("PreviewImage", {"images": ["6", 0]}),
    }
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}


def quarters(memory: list[float]) -> str:
    marks = [memory[len(memory) * part // 4 - 1] for part in (1, 2, 3, 4)]
    return "resident memory after each quarter: " + ", ".join(f"{mark:.0f}" for mark in marks) + " MiB"


def one(server: Server, nodes: Any, seed: int) -> str:
    """The outcome of one random edit. AssertionError if it is not allowed."""
    random = Random(seed)
    wild = random.random() < 0.5
    graph = workflow(seed, nodes, wild)
    try:
        if random.random() < 0.15:
            return interrupted(server, graph, random.uniform(0, 1.5))
        entry = server.run(graph)
    except ServerError as refusal:
        assert ": 400 " in str(refusal), refusal
        assert wild, f"a workflow with usual values was rejected: {refusal}"
        return "rejected by the server"
    if error := error_of(entry):
        assert error["exception_type"].endswith(P2P_ERROR), f"{error['exception_type']}: {trouble_of(entry)}"
        assert "expected" in trouble_of(entry) and trouble_of(entry).count(". ") >= 1, trouble_of(entry)
        return "error with a hint" + ("" if wild else ", with usual values")
    shown = pictures(server, entry)
    assert shown and shown[0].std() > 0, "an empty picture"
    if random.random() < 0.2:
        return drawn_again(server, graph, shown)
    return "drawn"


def interrupted(server: Server, graph: Workflow, after: float) -> str:
    """Press the stop button after some seconds; the server keeps running."""
    name = server.queue(graph)
    time.sleep(after)
    server.interrupt()
    error = error_of(server.finished(name))
    assert error is None or error["exception_type"].endswith(P2P_ERROR), error
    return "interrupted or finished by then"


def drawn_again(server: Server, graph: Workflow, shown: list[Any]) -> str:
    """Queue it twice, with another edit in between: from the cache, and with the sampler run again."""
    other = {name: {**node, "inputs": dict(node["inputs"])} for name, node in graph.items()}
    sampler = next(node for node in other.values() if node["class_type"] == "KSampler")
    sampler["inputs"]["seed"] += 1
    names = [server.queue(each) for each in (graph, other, graph)]
    first, _, again = (server.finished(name) for name in names)
    for entry in (first, again):
        assert all(map(np.array_equal, pictures(server, entry), shown)), (
            "the second run gives a different picture"
        )
    return "sampled twice"


def error_of(entry: Any) -> dict[str, Any] | None:
    messages = (entry.get("status") or {}).get("messages", [])
    return next((body for kind, body in messages if kind == "execution_error"), None)


def pictures(server: Server, entry: Any) -> list[Any]:
    """All pictures of a run, [H, W, 3] each, by node. AssertionError if it failed."""
    assert not trouble_of(entry), trouble_of(entry)
    outputs = sorted(entry["outputs"].items(), key=lambda item: int(item[0]))
    places = [place for _, output in outputs for place in output.get("images", [])]
    files = [server.get("/view", **place) for place in places]
    return [np.array(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]


def reference(server: Server, anew: bool = False) -> Any:
    """A short run of an example workflow. anew: add a blank line to a field to defeat the server's cache."""
    return server.run(reference_graph(anew=anew))


def reference_graph(seed: int | None = None, anew: bool = False) -> Workflow:
    """The workflow of `reference`, with another seed of the sampler if one is given."""
    graph = json.loads(REFERENCE.read_text(encoding="utf-8"))
    for node in graph.values():
        inputs = node["inputs"]
        if "steps" in inputs:
            inputs |= {"steps": 6} if seed is None else {"steps": 6, "seed": seed}
        if anew and "word_windows" in inputs:
            inputs["word_windows"] = "\n"
    return graph


def resident(server: Server) -> float:
    """Resident memory of the server, in MiB (Linux)."""
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="utf-8")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


if __name__ == "__main__":
    raise SystemExit(main())
