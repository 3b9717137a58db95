"""Edits of attention and maps of it, in value space: pure algebra that knows no words (paper section 3)."""
