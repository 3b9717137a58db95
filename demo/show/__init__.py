"""Draws the pairs of `make demo` and the images of the README, on either host."""
