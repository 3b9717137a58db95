"""How far weights of lower precision move source and edit of tiny models: `make precision`, into docs/."""

from __future__ import annotations

from ..shared.page import fill
from ..shared.table import markdown
from .in_comfy import ROOT, graph


def main() -> None:
    node = graph().node
    from precisions import FAMILIES, PRECISIONS, rounding

    rows = [
        [
            precision,
            *("{:.2g}, {:.2g}".format(*rounding(node, family, precision)) for family in FAMILIES),
            f"{limit:g}",
        ]
        for precision, (*_, limit) in PRECISIONS.items()
    ]
    text = markdown(
        ["weights", *(f"{family}: source, edit" for family in FAMILIES), "limit in the tests"], rows
    )
    print(text)
    fill(ROOT / "docs" / "compatibility.md", {"precision": text})


if __name__ == "__main__":
    main()
