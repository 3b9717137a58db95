"""Thumbnails, cards and help pictures."""
