"""JSON Schema: dialects, references, patterns, validation, and what an engine's grammar can compile."""
