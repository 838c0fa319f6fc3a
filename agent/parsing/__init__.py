"""Turn a reply's text into checked tool calls: reading, repair, rescue, validation, feedback."""
