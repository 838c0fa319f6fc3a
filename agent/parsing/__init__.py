"""From the text of a reply to checked tool calls: reading, repair, rescue, validation, feedback."""
