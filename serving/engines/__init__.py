"""One module for each engine: the only places that know an engine's flags, log lines and endpoints."""
