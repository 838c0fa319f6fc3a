"""Task files: read YAML into checked values, with the line of every mistake."""
