"""The public names of the core, and what importing it costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import p2p_core

ROOT = Path(__file__).resolve().parents[2]


def test_every_public_name_can_be_imported_and_is_known_to_type_checkers() -> None:
    tree = ast.parse(Path(p2p_core.__file__ or "").read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {
        alias.name: f"p2p_core.{node.module}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(imported) == sorted(p2p_core.__all__)
    for name, module in imported.items():
        assert getattr(p2p_core, name) is getattr(sys.modules[module], name)


def test_another_name_is_an_error_as_of_any_module() -> None:
    with pytest.raises(AttributeError, match="module 'p2p_core' has no attribute 'Runs'"):
        p2p_core.Runs  # noqa: B018
    from p2p_core import errors  # a module, not a public name

    assert errors.P2PError is p2p_core.P2PError


def imported_by(statement: str) -> set[str]:
    """The packages that a fresh interpreter has loaded after a statement."""
    code = f"import sys; sys.path.append({str(ROOT)!r}); {statement}; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "docs", capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in run.stdout.split()}


@pytest.mark.parametrize(
    "statement",
    [
        "import p2p_core",
        "from p2p_core import PromptSet, build_prompt, parse_weights, Window",
        "import p2p_core.words.align, p2p_core.words.wording",
        "from p2p_core import LayerFilter, diffusers_layer, P2PError",
    ],
)
def test_words_and_layers_need_no_torch(statement: str) -> None:
    assert not imported_by(statement) & {"torch", "numpy", "einops", "PIL"}


def test_a_run_needs_torch_and_einops_alone() -> None:
    loaded = imported_by("from p2p_core import Run, MapStore, RealImage")
    assert {"torch", "einops"} <= loaded and "PIL" not in loaded
