"""Views of a run's events for people; they render and decide nothing."""
