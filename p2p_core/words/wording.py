"""Describes an edit as text. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable

from .align import Change, Span, edit_changes, swap_changes
from .prompts import Prompt


def in_words(method: str, source: Prompt, edit: Prompt) -> str:
    """One line, such as `swap: cat → fluffy dog · added: at night · kept: 6 words`."""
    if method == "swap":
        changes = swap_changes(source, edit)
        swapped = [c for c in changes if not c.kept]
        return _line([f"swap: {_pairs(swapped, source, edit) or 'nothing'}"], changes)
    changes = edit_changes(source, edit)
    both = [c for c in changes if not (c.kept or c.one_sided)]
    if method == "refine":  # here a replacement counts as an added word
        parts = {
            "added": (edit, [c.edit for c in changes if not (c.kept or c.removed)]),
            "removed": (source, [c.source for c in changes if not (c.kept or c.added)]),
        }
    else:
        parts = {
            "added": (edit, [c.edit for c in changes if c.added]),
            "removed": (source, [c.source for c in changes if c.removed]),
        }
    told = [f"swap: {_pairs(both, source, edit)}"] if both and method == "edit" else []
    told += [f"{name}: {_spans(prompt, spans)}" for name, (prompt, spans) in parts.items() if spans]
    return _line(told or ["nothing to change"], changes)


def _line(parts: list[str], changes: Iterable[Change]) -> str:
    kept = sum(c.edit[1] - c.edit[0] for c in changes if c.kept)
    return " · ".join([*parts, f"kept: {kept} word{'s' * (kept != 1)}"])


def _pairs(changes: Iterable[Change], source: Prompt, edit: Prompt) -> str:
    return ", ".join(f"{_words(source, c.source)} → {_words(edit, c.edit)}" for c in changes)


def _spans(prompt: Prompt, spans: Iterable[Span]) -> str:
    return ", ".join(_words(prompt, span) for span in spans)


def _words(prompt: Prompt, span: Span) -> str:
    return " ".join(word.text for word in prompt.words[slice(*span)])
