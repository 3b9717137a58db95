"""Parts of documents that a command writes: what stands between `<!-- name -->` and `<!-- /name -->`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from p2p_core.errors import P2PError


def fill(document: Path, parts: Mapping[str, str]) -> None:
    """Put each part between its marks. Raises P2PError without them."""
    text = document.read_text("utf-8")
    for name, part in parts.items():
        pattern = re.compile(f"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not pattern.search(text):
            raise P2PError(
                f"the marks <!-- {name} --> and <!-- /{name} -->", f"none in {document}", "Put them back."
            )
        text = pattern.sub(lambda m, part=part: f"{m[1]}\n{part.strip()}\n\n{m[2]}", text)
    document.write_text(text, "utf-8")
