"""Check what an engine needs before it starts: GPUs, disk, weights, versions, an interpreter; starts no engine."""
