"""Try what a live endpoint can do, and say which of it works; changes nothing there."""
