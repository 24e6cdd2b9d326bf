"""Training: from a base and a task to an adapter. Recipes, the loop, calibration, sequences, memory estimates."""
