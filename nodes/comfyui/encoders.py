"""The text encoders of a CLIP of the host, by the names under which it gives their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...p2p_core.errors import P2PError

Token = tuple[Any, ...]  # token or embedding vector, weight, and where it has one its word id, 0 for none
Chunks = list[list[Token]]
PAD: Token = (0, 1.0, 0)


def tokenizer_of(clip: Any, name: str) -> Any:
    return _named(getattr(clip, "tokenizer", clip), name)


def encoder_of(clip: Any, name: str) -> Any:
    """The encoder of these tokens, or None if it is not loaded."""
    return _named(getattr(clip, "cond_stage_model", None), name)


def _named(owner: Any, name: str) -> Any:
    return next((own for n in (f"clip_{name}", name) if (own := getattr(owner, n, None)) is not None), None)


def as_read(chunks: Chunks, encoder: Any) -> Chunks:
    """The tokens as the encoder reads them: it drops vectors of another width, and later tokens move
    forward."""
    width = encoder and encoder.transformer.get_input_embeddings().weight.shape[-1]
    kept = [[t for t in chunk if width is None or not _is_foreign(t[0], width)] for chunk in chunks]
    return [[*some, *[PAD] * (len(chunk) - len(some))] for some, chunk in zip(kept, chunks, strict=True)]


def _is_foreign(token: Any, width: int) -> bool:
    return hasattr(token, "shape") and bool(token.shape) and token.shape[-1] != width


def word_id(token: Token) -> int:
    """0 for start, end and padding; tokens without an id are of the text."""
    return token[2] if len(token) > 2 else 1


def require_same_words(text: str, each: Sequence[Chunks]) -> None:
    """Raises P2PError if encoders whose outputs are joined per column read the words in different columns."""
    ids = [[word_id(token) for chunk in chunks for token in chunk] for chunks in each]
    if any(other != ids[0] for other in ids[1:]):
        raise P2PError(
            "a textual inversion with equally many vectors for both text encoders",
            f"{text!r}, which has an embedding that they read differently",
            "Use an embedding made for SDXL, or remove it from the prompt.",
        )


def unknown_clip(clip: Any) -> P2PError:
    """The error for what has no text encoders of the kinds that are known."""
    parts = [getattr(clip, name) for name in ("tokenizer", "cond_stage_model") if hasattr(clip, name)]
    return P2PError(
        "a CLIP whose tokens can be located in its conditioning",
        " with ".join(type(part).__name__ for part in parts or [clip]),
        "Use the text encoder that belongs to the model.",
        topic="unknown text encoder",
    )
