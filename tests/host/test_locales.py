"""What the front end shows of the nodes in each language; English is copied from the schemas.

With P2P_WRITE_LOCALES=1 in the environment, the English file is regenerated. The other languages are written
by hand; missing texts are shown in English.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.host

FOLDER = Path(__file__).resolve().parents[2] / "locales"
OTHERS = ("zh", "ja", "de")
SYNTAX = set("{}|@")  # have a special meaning in the front end's messages


def read(language: str, file: str = "nodeDefs") -> dict[str, Any]:
    return json.loads((FOLDER / language / f"{file}.json").read_text("utf-8"))


def english(node: dict[str, Any]) -> dict[str, Any]:
    return {name: _described(each.GET_SCHEMA()) for name, each in sorted(node.items())}


def _described(schema: Any) -> dict[str, Any]:
    inputs = {socket.id: {"name": socket.id, "tooltip": socket.tooltip} for socket in schema.inputs}
    outputs = {
        str(i): {"name": socket.display_name, "tooltip": socket.tooltip}
        for i, socket in enumerate(schema.outputs)
    }
    named = {"display_name": schema.display_name, "description": schema.description}
    return {**named, **({"inputs": inputs} if inputs else {}), "outputs": outputs}


def texts(value: Any) -> list[str]:
    return [text for each in value.values() for text in texts(each)] if isinstance(value, dict) else [value]


def test_english_is_what_the_schemas_say(node: dict[str, Any]):
    found = english(node)
    if os.environ.get("P2P_WRITE_LOCALES"):
        text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
        (FOLDER / "en" / "nodeDefs.json").write_text(text, encoding="utf-8")
    assert read("en") == found, "regenerate it with P2P_WRITE_LOCALES=1, then update the other languages"


@pytest.mark.parametrize("language", OTHERS)
def test_every_node_input_and_output_has_a_name_in_the_language(language: str):
    other = read(language)
    assert sorted(other) == sorted(read("en"))
    for name, node in read("en").items():
        for sockets in ("inputs", "outputs"):
            assert list(other[name].get(sockets, {})) == list(node.get(sockets, {})), name
        assert other[name]["display_name"].startswith("P2P ")
        assert other[name]["display_name"] != node["display_name"], name
        assert other[name]["description"] != node["description"], name


@pytest.mark.parametrize("language", OTHERS)
def test_nodes_are_told_apart_by_their_titles(language: str):
    titles = [node["display_name"] for node in read(language).values()]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("language", ["en", *OTHERS])
def test_no_text_has_the_syntax_of_messages(language: str):
    for file in ("nodeDefs", "main"):
        bad = [text for text in texts(read(language, file)) if not text or SYNTAX & set(text)]
        assert bad == []


@pytest.mark.parametrize("language", ["en", *OTHERS])
def test_every_type_of_socket_has_a_name(language: str, node: dict[str, Any]):
    schemas = [each.GET_SCHEMA() for each in node.values()]
    types = {str(s.io_type) for schema in schemas for s in (*schema.inputs, *schema.outputs)}
    assert {kind for kind in types if kind.startswith("P2P_")} <= set(read(language, "main")["dataTypes"])
