"""The files that people and the front end read: workflows, thumbnails, help pages, scripts, README."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from demo.show.pairs import PAIRS
from p2p_core.edits.presets import PRESETS, TABLE, Preset
from p2p_core.edits.steps import EditMethod, Reweight, TokenEdit
from p2p_core.plan import EditPlan
from p2p_core.words.pieces import Piece, build_prompt
from p2p_core.words.prompts import Prompt, PromptSet
from p2p_core.words.weights import parse_weights
from tools.workflows.stock import SEEDS, STOCK
from tools.workflows.transformer_list import TRANSFORMER_WORKFLOWS

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = ROOT / "example_workflows"
NAMES = sorted(file.stem for file in WORKFLOWS.glob("*.json"))
SCHEMAS = json.loads((ROOT / "tools" / "workflows" / "schemas.json").read_text("utf-8"))
IDS = sorted(SCHEMAS)
NOTES = {"MarkdownNote", "Note"}
FILES = {"ckpt_name", "unet_name", "clip_name", "clip_name1", "clip_name2", "vae_name"}  # of a loader
PAGES = {file.stem: file.read_text("utf-8") for file in ROOT.glob("web/docs/*.md")}
SCRIPTS = sorted(ROOT.glob("web/js/**/*.js"))
README = (ROOT / "README.md").read_text("utf-8")
METHODS: dict[str, EditMethod] = {
    "P2PPromptEdit": "edit",
    "P2PRefine": "refine",
    "P2PReweight": "edit",
    "P2PWordSwap": "swap",
}


def read(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A workflow in the UI format and in the API format."""
    files = WORKFLOWS / f"{name}.json", WORKFLOWS / "api" / f"{name}.json"
    ui, api = (json.loads(file.read_text("utf-8")) for file in files)
    return ui, api


def to_api(ui: dict[str, Any]) -> dict[str, Any]:
    """The API format that the front end would send for a workflow."""
    sources = {link: [str(node), slot] for link, node, slot, *_ in ui["links"]}
    nodes = [node for node in ui["nodes"] if node["type"] not in NOTES]
    return {str(node["id"]): (node["type"], inputs_of(node, sources)) for node in nodes}


def inputs_of(node: dict[str, Any], sources: dict[int, list[Any]]) -> dict[str, Any]:
    values = list(node["widgets_values"])
    inputs: dict[str, Any] = {}
    for each in node["inputs"]:
        if "widget" in each:
            inputs[each["name"]] = values.pop(0)
            if each["name"] in SEEDS:
                assert values.pop(0) == "fixed"  # the seed's "control after generate" widget
        if each["link"] is not None:
            inputs[each["name"]] = sources[each["link"]]
    assert not values, f"{node['type']}: {values} left over"
    return inputs


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_and_its_api_twin_agree(name: str) -> None:
    ui, api = read(name)
    assert to_api(ui) == {i: (node["class_type"], node["inputs"]) for i, node in api.items()}


@pytest.mark.parametrize("name", NAMES)
def test_both_ends_of_every_link_agree(name: str) -> None:
    ui, _ = read(name)
    nodes = {node["id"]: node for node in ui["nodes"]}
    for link, source, output, target, slot, kind in ui["links"]:
        start, end = nodes[source]["outputs"][output], nodes[target]["inputs"][slot]
        assert link in start["links"] and end["link"] == link
        assert start["type"] == end["type"] == kind
    ends = [each["link"] for node in ui["nodes"] for each in node["inputs"] if each["link"] is not None]
    assert sorted(ends) == sorted(link[0] for link in ui["links"])


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_needs_no_other_pack(name: str) -> None:
    ui, api = read(name)
    assert {node["type"] for node in ui["nodes"]} <= {*IDS, *STOCK, *NOTES}
    assert any(node["type"] in NOTES for node in ui["nodes"])
    assert all(node["_meta"]["title"] for node in api.values())


@pytest.mark.parametrize("name", [workflow.name for workflow in TRANSFORMER_WORKFLOWS])
def test_the_front_end_can_offer_the_files_of_a_transformer(name: str) -> None:
    ui, api = read(name)
    offered = [file for node in ui["nodes"] for file in node["properties"].get("models", [])]
    wanted = [value for node in api.values() for key, value in node["inputs"].items() if key in FILES]
    assert sorted(file["name"] for file in offered) == sorted(wanted) != []
    for file in offered:
        assert re.fullmatch(r"https://huggingface\.co/[\w.-]+/[\w.-]+/resolve/main/[\w./-]+", file["url"])
        assert file["url"].endswith(f"/{file['name']}") and file["directory"]


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_has_a_small_thumbnail(name: str) -> None:
    file = WORKFLOWS / f"{name}.jpg"
    assert file.stat().st_size <= 200_000
    with Image.open(file) as picture:
        assert picture.format == "JPEG" and picture.width / picture.height == pytest.approx(16 / 9, rel=0.02)


def test_every_workflow_has_an_api_twin() -> None:
    assert NAMES and sorted(file.stem for file in WORKFLOWS.glob("api/*.json")) == NAMES


# Folders of a custom node in which ComfyUI looks for templates (app/custom_node_manager.py)
SCANNED = ("example_workflows", "example", "examples", "workflow", "workflows")


@pytest.mark.parametrize("links", ["true", "false"])
def test_comfyui_finds_the_workflows_in_a_checkout(tmp_path: Path, links: str) -> None:
    """Also where git writes a link as a text file with its target, as on Windows by default."""
    git, names = ["git", "-c", f"core.symlinks={links}"], ["example_workflows", "examples_workflows"]
    tracked = subprocess.run([*git, "ls-files", "-z", *names], cwd=ROOT, check=True, capture_output=True)
    write = [*git, "checkout-index", "-z", "--stdin", f"--prefix={tmp_path}/"]
    subprocess.run(write, cwd=ROOT, check=True, input=tracked.stdout)
    found = [file.stem for name in SCANNED for file in tmp_path.glob(f"{name}/*.json")]
    assert sorted(found) == NAMES
    assert (tmp_path / "examples_workflows").is_symlink() == (links == "true")
    assert {file.stem for file in (ROOT / "examples_workflows").glob("*.jpg")} == set(NAMES)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_readme_has_the_windows_of_a_preset(preset: Preset) -> None:
    rows = [line.strip("| ").split(" | ") for line in README.splitlines() if line.startswith(f"| {preset} |")]
    cells = [
        f"{table[preset].cross:g} / {table[preset].self_attention:g}" if preset in table else "as balanced"
        for table in TABLE.values()
    ]
    assert [row[2:] for row in rows] == [cells]


def test_every_node_has_a_help_page_and_every_help_page_a_node() -> None:
    sources = "".join(file.read_text("utf-8") for file in ROOT.glob("nodes/**/*.py"))
    assert sorted(re.findall(r"(?m)^class (P2P\w+)", sources)) == IDS == sorted(PAGES)


@pytest.mark.parametrize("node", IDS)
def test_a_help_page_names_all_inputs_and_outputs(node: str) -> None:
    page, schema = PAGES[node], SCHEMAS[node]
    names = [each[0] for each in schema["inputs"] + schema["outputs"]]
    assert page.startswith("# P2P ")
    assert [name for name in names if not re.search(rf"\b{name}\b", page)] == []


@pytest.mark.parametrize("node", IDS)
def test_a_help_page_gives_the_defaults(node: str) -> None:
    """After the name, `**cross_end** (0.8)`; example prompts of text fields are not repeated."""
    defaults = {name: written(rest[0]) for name, _, _, *rest in SCHEMAS[node]["inputs"] if rest}
    wrong = [
        f"{name} ({default})"
        for name, default in defaults.items()
        if " " not in default and not re.search(rf"\*\*{name}\*\*\s\({re.escape(default)}[;)]", PAGES[node])
    ]
    assert wrong == []


@pytest.mark.parametrize("node", IDS)
def test_a_help_page_shows_the_node_after_a_run(node: str) -> None:
    (said, name) = re.findall(r"!\[([^\]]+)\]\((pictures/\w+\.png)\)", PAGES[node])[0]
    file = ROOT / "web" / "docs" / name
    assert len(said) > 15 and file.stat().st_size < 200_000
    with Image.open(file) as picture:
        assert 300 <= picture.width <= 1200


def written(default: Any) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    return f"{default:g}" if isinstance(default, int | float) else default or "empty"


EXAMPLE = r" +source +(.+)\n +edit +(.+)\n(?: +weights +(.+)\n)? +shown +(.+)\n"
EXAMPLES = [(node, *found) for node in METHODS for found in re.findall(EXAMPLE, PAGES[node])]


@pytest.mark.parametrize(("node", "source", "edit", "weights", "shown"), EXAMPLES)
def test_an_example_of_a_help_page_is_what_the_node_says(
    node: str, source: str, edit: str, weights: str, shown: str
) -> None:
    prompts = PromptSet(prompt_of(source), (prompt_of(edit),))
    plan = EditPlan(prompts).then(prompts, TokenEdit(METHODS[node]))
    if weights:
        plan = plan.then(prompts, Reweight(parse_weights(weights)))
    assert plan.describe() == shown


def test_every_edit_node_has_an_example() -> None:
    assert {node for node, *_ in EXAMPLES} == set(METHODS)


def prompt_of(text: str) -> Prompt:
    """A prompt with one token per word."""
    special, words = Piece("", "special"), [Piece(word) for word in text.split()]
    return build_prompt(text, [special, *words, *[special] * (76 - len(words))])


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda file: file.name)
def test_a_script_parses(script: Path, tmp_path: Path) -> None:
    module = tmp_path / f"{script.stem}.mjs"  # node reports no errors in a module named .js
    module.write_bytes(script.read_bytes())
    checked = subprocess.run(["node", "--check", module], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda file: file.name)
def test_a_script_makes_neither_markup_nor_code_of_text(script: Path) -> None:
    text = script.read_text("utf-8")
    assert (
        re.findall(r"\b(?:innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|Function)\b", text)
        == []
    )


def test_scripts_name_nodes_of_the_pack() -> None:
    named = {name for file in SCRIPTS for name in re.findall(r'"(P2P\w+)"', file.read_text("utf-8"))}
    assert named and named <= set(IDS)


def test_what_the_readme_points_at_is_there() -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)", README)
    assert links and [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("name", ["all", *(pair.name for pair in PAIRS), "attention_maps"])
def test_the_readme_shows_a_picture_and_says_in_words_what_is_on_it(name: str) -> None:
    assert re.search(rf"!\[\w[^\]]{{15,}}\]\(docs/pictures/{name}\.png\)", README)


def test_the_readme_names_the_workflows_that_there_are() -> None:
    named = set(re.findall(r"\bp2p_[a-z\d_]*[a-z\d]\b", README)) - {"p2p_core"}
    assert named == set(NAMES)


@pytest.mark.parametrize("node", IDS)
def test_the_readme_names_every_node(node: str) -> None:
    title = PAGES[node].splitlines()[0].removeprefix("# ")
    assert f"**{title}**" in README
