"""The nodes of the pack: each file declares a schema and a few lines."""
