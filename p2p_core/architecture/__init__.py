"""How model families name their layers."""
