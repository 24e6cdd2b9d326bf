"""From a base and a task to an adapter: recipes, the training loop, calibration, sequences, memory estimates."""
