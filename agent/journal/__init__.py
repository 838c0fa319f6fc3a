"""Events of a run, the journal file that stores them, and the runs found on this machine."""
