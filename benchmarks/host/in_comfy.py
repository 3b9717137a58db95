"""The pack inside ComfyUI in this process. P2P_HOST is ComfyUI's folder."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def _host_first_on_the_path() -> None:
    """Put the pack's root last, because its `nodes` would hide ComfyUI's."""
    others = [entry for entry in sys.path if Path(entry).resolve() != ROOT]
    sys.path[:] = [os.environ["P2P_HOST"], *others, str(ROOT)]


def start(cpu: bool = True) -> Any:
    """The pack, as ComfyUI imports it. ComfyUI reads its options once, from the command line."""
    _host_first_on_the_path()
    own, sys.argv = sys.argv, [sys.argv[0], *["--cpu"] * cpu]
    import comfy.options

    comfy.options.enable_args_parsing()
    import comfy.cli_args

    sys.argv = own
    spec = importlib.util.spec_from_file_location(
        "p2p_pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec is not None and spec.loader is not None
    pack = importlib.util.module_from_spec(spec)
    sys.modules["p2p_pack"] = pack
    spec.loader.exec_module(pack)
    return pack


def graph() -> Any:
    """The graphs of the tests, on the demo model."""
    pack = start()
    sys.path.append(str(ROOT / "tests" / "harness"))
    from adapter_comfy import ComfyUI
    from graphs import Graph

    async def listed() -> list[Any]:
        return await (await pack.comfy_entrypoint()).get_node_list()

    nodes = {node.GET_SCHEMA().node_id: node for node in asyncio.run(listed())}
    return Graph(ComfyUI(nodes["P2PDemoModel"]), nodes)
