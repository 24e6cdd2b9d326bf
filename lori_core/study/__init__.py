"""Runs on disk, the jobs that fill them, and the proof of concept."""
