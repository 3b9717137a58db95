"""Reads the imports of a repository's files and compares them with a table of allowed imports."""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """The wings and the packages that a wing may import."""

    wings: frozenset[str]
    packages: frozenset[str]


def read_table(text: str, groups: Mapping[str, Collection[str]]) -> dict[str, Row]:
    """The rows by wing, with short names expanded. groups: names for several packages."""
    cells = [[cell.strip() for cell in line.split("|")] for line in text.splitlines() if "|" in line][1:]
    names = [wing for wing, *_ in cells]
    rows: dict[str, Row] = {}
    for wing, packages, ours in cells:
        wings = {full for name in ours.split() for full in _written_out(name, wing, names)}
        single = {package for name in packages.split() for package in groups.get(name, [name])}
        rows[wing] = Row(frozenset(wings), frozenset(single))
    return rows


def _written_out(name: str, wing: str, names: Sequence[str]) -> list[str]:
    """The wings that a name in a row stands for: `words` beside it, `p2p_core/*` for all rows above."""
    if name.endswith("/*"):
        return [other for other in names[: names.index(wing)] if other.startswith(name[:-1])]
    near = f"{wing.partition('/')[0]}/{name}"
    return [near if near in names else name]


def arrows_up(rows: Mapping[str, Row]) -> list[str]:
    """The wings that a row names although they are not above it."""
    wings = list(rows)
    return [
        f"{wing} → {other}"
        for n, (wing, row) in enumerate(rows.items())
        for other in sorted(row.wings - set(wings[:n]))
    ]


@dataclass(frozen=True)
class Import:
    """An import as written, and the file of the repository that it names, if any."""

    line: int
    name: str
    target: Path | None

    @property
    def relative(self) -> bool:
        return self.name.startswith(".")

    @property
    def package(self) -> str:
        return self.name.partition(".")[0]


@dataclass(frozen=True)
class Repository:
    """root: its folder. foreign: names whose absolute imports mean other packages, even if a folder has them.

    by_name: folders whose modules are imported by bare name in tests/ and benchmarks/.
    """

    root: Path
    foreign: frozenset[str] = frozenset()
    by_name: tuple[str, ...] = ()

    @cached_property
    def files(self) -> frozenset[Path]:
        """Its Python files, relative to the root, without those in hidden folders."""
        files = (file.relative_to(self.root) for file in self.root.rglob("*.py"))
        return frozenset(file for file in files if not any(part.startswith(".") for part in file.parts))

    @cached_property
    def imports(self) -> dict[Path, list[Import]]:
        return {file: list(self._imports(file)) for file in sorted(self.files)}

    def _imports(self, file: Path) -> Iterator[Import]:
        """All imports of a file, including those in functions and under TYPE_CHECKING."""
        for node in ast.walk(ast.parse((self.root / file).read_text("utf-8"))):
            if isinstance(node, ast.Import):
                for name in (alias.name for alias in node.names):
                    yield Import(node.lineno, name, self._absolute(file, [name]))
            elif isinstance(node, ast.ImportFrom) and node.level:
                for alias in node.names:
                    modules = [".".join(filter(None, (node.module, alias.name))), node.module or ""]
                    written = "." * node.level + (node.module or alias.name)
                    yield Import(node.lineno, written, self._relative(file, node.level, modules))
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    modules = [f"{node.module}.{alias.name}", node.module]
                    yield Import(node.lineno, node.module, self._absolute(file, modules))

    def _relative(self, file: Path, level: int, modules: Sequence[str]) -> Path | None:
        return self._first(file.parents[level - 1], modules) if level <= len(file.parents) else None

    def _absolute(self, file: Path, modules: Sequence[str]) -> Path | None:
        if modules[0].partition(".")[0] in self.foreign:
            return None
        folders = [Path()]
        if file.parts[0] in ("tests", "benchmarks"):
            folders += [file.parent, *map(Path, self.by_name)]
        return next((found for folder in folders if (found := self._first(folder, modules))), None)

    def _first(self, folder: Path, modules: Sequence[str]) -> Path | None:
        """The file of the first of these modules that exists; "" is the folder itself."""
        places = [folder.joinpath(*module.split(".")) for module in modules]
        files = [f for p in places for f in (p.parent / f"{p.name}.py", p / "__init__.py")]
        return next((file for file in files if file in self.files), None)

    def circles(self) -> list[str]:
        """A circle of files that import each other, if there is one."""
        graph = {
            file: {i.target for i in imports if i.target} - {file} for file, imports in self.imports.items()
        }
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            return [" → ".join(file.as_posix() for file in error.args[1])]
        return []

    def violations(self, rows: Mapping[str, Row], relative_only: Collection[str]) -> list[str]:
        """The imports that the table does not allow, each as `file:line import, why`.

        relative_only: wings, or top folders of wings, that may not name the repository's files absolutely.
        """
        found: dict[str, None] = {}  # each once, in order
        for file, imports in self.imports.items():
            wing = wing_of(file, rows)
            relative = any(_within(file, place) for place in relative_only)
            for each in imports:
                why = _trouble(each, wing, rows, relative)
                if why:
                    found[f"{file.as_posix()}:{each.line} {each.name}, {why}"] = None
        return list(found)


def wing_of(file: Path, rows: Collection[str]) -> str | None:
    """The most specific row for a file."""
    return max((wing for wing in rows if _within(file, wing)), key=len, default=None)


def _within(file: Path, place: str) -> bool:
    return f"{file.with_suffix('').as_posix()}/".startswith(f"{place}/")


def _trouble(each: Import, wing: str | None, rows: Mapping[str, Row], relative: bool) -> str:
    """Why an import is not allowed, "" if it is."""
    if wing is None:
        return "from a file that has no row"
    if each.target is None:
        if each.relative:
            return "which is no file of the repository"
        allowed = each.package in rows[wing].packages | sys.stdlib_module_names
        return "" if allowed else "a package that its row does not name"
    if relative and not each.relative:
        return "not relative"
    other = wing_of(each.target, rows)
    if other == wing or other in rows[wing].wings:
        return ""
    return f"{other or 'a file that has no row'} is not in its row"
