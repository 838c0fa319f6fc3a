"""Render files by which other programs run engines; runs nothing itself."""
