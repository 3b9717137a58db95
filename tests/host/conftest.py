"""The host of the suite: the ComfyUI in folder P2P_HOST, or the stand-in if it is unset.

ComfyUI runs on the CPU; with P2P_DEVICE=cuda it runs on the GPU, for the tests marked `gpu` only.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ran import pytest_runtest_logreport, pytest_sessionfinish  # noqa: F401  hooks

ROOT = Path(__file__).resolve().parents[2]
COMFYUI = os.environ.get("P2P_HOST")
ON_GPU = os.environ.get("P2P_DEVICE") == "cuda"


def _host_first_on_the_path() -> None:
    """ComfyUI reads its options from the command line once, at import: here, the device."""
    sys.path.insert(0, COMFYUI or str(ROOT / "tests" / "standin"))
    if COMFYUI:
        own, sys.argv = sys.argv, ["x", *["--cpu"] * (not ON_GPU)]
        import comfy.options

        comfy.options.enable_args_parsing()
        import comfy.cli_args

        sys.argv = own


_host_first_on_the_path()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    without = pytest.mark.skip(reason="needs ComfyUI itself; set COMFYUI_PATH=/path/to/ComfyUI")
    on_cpu = pytest.mark.skip(reason="needs a GPU; see docs/performance.md for the command")
    for item in items:
        if not COMFYUI and item.get_closest_marker("real_host"):
            item.add_marker(without)
        if not ON_GPU and item.get_closest_marker("gpu"):
            item.add_marker(on_cpu)


@pytest.fixture(scope="module", autouse=True)
def one_thread_on_the_stand_in() -> Iterator[None]:
    """Its models are so small that more threads would mostly wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(threads if COMFYUI else 1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", autouse=True)
def freed_models(request: pytest.FixtureRequest) -> Iterator[None]:
    """The tiny transformers of a file are freed after it: each load of the host looks at all models left."""
    yield
    folder = request.path.parent
    if not COMFYUI or folder.name != "dit":
        return
    import comfy.model_management

    ours = [m for m in sys.modules.values() if Path(getattr(m, "__file__", None) or "").parent == folder]
    for value in (value for module in ours for value in vars(module).values()):
        if callable(clear := getattr(value, "cache_clear", None)):
            clear()
    comfy.model_management.unload_all_models()
    gc.collect()


@pytest.fixture(scope="session")
def pack() -> ModuleType:
    """The pack as ComfyUI imports it: by path, under a name that is not on the path."""
    place = [str(ROOT)]
    spec = importlib.util.spec_from_file_location(
        "custom_nodes_prompt_to_prompt", ROOT / "__init__.py", submodule_search_locations=place
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def node(pack: ModuleType) -> dict[str, Any]:
    """The pack's node classes by id."""

    async def listed() -> list[Any]:
        return await (await pack.comfy_entrypoint()).get_node_list()

    return {node.GET_SCHEMA().node_id: node for node in asyncio.run(listed())}


@pytest.fixture(scope="session")
def demo(node: dict[str, Any]) -> Any:
    """Graphs of the demo model, or of the stand-in's."""
    from graphs import Graph

    if COMFYUI:
        from adapter_comfy import ComfyUI

        return Graph(ComfyUI(node["P2PDemoModel"]), node)
    from adapter_standin import StandIn

    return Graph(StandIn(), node)


@pytest.fixture(scope="session")
def graph(demo: Any) -> Any:
    """A file may override it with graphs of another model."""
    return demo


@pytest.fixture(scope="session")
def host(demo: Any) -> Any:
    return demo.host


@pytest.fixture(scope="session")
def error(pack: ModuleType) -> type[Exception]:
    """The pack's P2PError."""
    return importlib.import_module(f"{pack.__name__}.p2p_core.errors").P2PError


@pytest.fixture
def refused(graph: Any, host: Any, error: type[Exception]) -> Iterator[Callable[..., Any]]:
    """Calls something that must raise a P2PError whose message has these parts in order."""
    import torch
    from graphs import SOURCE, state

    model, picture = host.model(), graph.plain(SOURCE)
    before = state(model)

    def check(
        node: str, value: str, hint: str, function: Callable[..., Any], *args: Any, **options: Any
    ) -> None:
        with pytest.raises(error) as caught:
            function(*args, **options)
        parts = re.escape(node) + r": expected .+, got .*" + re.escape(value) + r".*\. .*" + re.escape(hint)
        assert re.search(parts, str(caught.value), re.DOTALL), str(caught.value)

    yield check
    assert state(model) == before
    assert torch.equal(graph.plain(SOURCE, model=model), picture)


@pytest.fixture(scope="module")
def gallery(graph: Any) -> Any:
    """Real images and their inversions."""
    from pictures import Gallery

    return Gallery(graph)
