"""Events, the file a run keeps of them, and the runs on this machine."""
