"""Memory is asked for before it is taken: the limits of what a call may make, and the error for more."""

from __future__ import annotations

from .errors import P2PError

PICTURES = 12 * 64 * 1024**2  # bytes of all pictures of one result: 64 megapixels as float32 RGB
MAPS = 2 << 30  # of the attention maps of one sampling
TRAJECTORY = 4 << 30  # of one trajectory, also as a file
MATRIX = 256 << 20  # of the mixing of two prompts
LATENTS = 2 << 30  # of the latents of one paired batch


def require_memory(what: str, values: int, most: int, hint: str) -> None:
    """Raises P2PError if float32 `values` take more than `most` bytes. what: names them, with sizes."""
    if 4 * values > most:
        raise P2PError(f"at most {in_words(most)} at once", f"{what}: {in_words(4 * values)}", hint)


def in_words(count: int) -> str:
    """A number of bytes, such as `1.4 GB`."""
    unit, size = ("GB", 1e9) if count >= 1e9 else ("MB", 1e6)
    return f"{count / size:,.1f} {unit}"
