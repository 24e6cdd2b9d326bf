"""The app's questions about adapters and models, answered by one process."""
