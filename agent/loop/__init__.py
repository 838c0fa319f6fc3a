"""Drives one run from its first request to its outcome."""
