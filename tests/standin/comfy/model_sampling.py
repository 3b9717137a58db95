"""What noise levels mean."""


class CONST:
    """Flow models: x = (1 − σ)·x0 + σ·n."""
