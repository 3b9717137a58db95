"""The meaning of noise levels."""


class CONST:
    """Flow models: x = (1 − σ)·x0 + σ·n."""
