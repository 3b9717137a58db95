"""Edits of attention: what a plan's token edits and weights make of columns (paper section 3.2)."""
