"""Draws the pairs of `make demo` and the pictures of README, on either host."""
