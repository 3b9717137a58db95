"""Shared by the node files: socket types, inputs of token edits, data for the front end."""
