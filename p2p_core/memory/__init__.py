"""The source of earlier runs, remembered for later edits."""
