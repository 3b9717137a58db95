"""The host's syntax of weights, which the stand-in does not have: its texts are read as they are."""

from __future__ import annotations


def escape_important(text: str) -> str:
    return text


def unescape_important(text: str) -> str:
    return text


def token_weights(text: str, weight: float) -> list[tuple[str, float]]:
    return [(text, weight)]
