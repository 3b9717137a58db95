"""The archive for the registry: the files in git without those in .comfyignore, always the same bytes.

python -m tools.release.archive dist/prompt-to-prompt.zip
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

ROOT = Path(__file__).resolve().parents[2]
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip file can name


def files() -> list[Path]:
    """What the archive contains. .comfyignore has git's own syntax."""
    names = _listed() - _listed("--ignored", "--exclude-from=.comfyignore")
    return [ROOT / name for name in sorted(names)]


def _listed(*options: str) -> set[str]:
    command = ["git", "ls-files", "-z", "--cached", *options]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return set(text.strip("\0").split("\0"))


def write(archive: Path) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with ZipFile(archive, "w", ZIP_DEFLATED) as content:
        for file in files():
            entry = ZipInfo(file.relative_to(ROOT).as_posix(), LONG_AGO)
            content.writestr(entry, file.read_bytes(), ZIP_DEFLATED)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
