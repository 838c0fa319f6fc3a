"""Prepare the folder that a run works in; snapshot, diff and restore it."""
