"""Decisions without I/O: the ladder, limits, permissions, verification settings."""
