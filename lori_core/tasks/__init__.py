"""One file a task family."""
