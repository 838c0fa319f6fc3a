"""Views of a run's events for people; they only render."""
