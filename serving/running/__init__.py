"""An engine's process: started, watched over, found again, ended; knows no engine."""
