"""The folder a run works in: prepare, snapshot, diff, restore."""
