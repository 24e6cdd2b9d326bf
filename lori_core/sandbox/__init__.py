"""Programs that a model wrote, run and judged in containment."""
