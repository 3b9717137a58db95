"""Attention maps of a run, and the masks of local blend (paper section 3.2)."""
