"""Task files: YAML to checked values, with the line of every mistake."""
