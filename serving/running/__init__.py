"""Start, supervise, find and stop an engine's process; contains nothing specific to one engine."""
