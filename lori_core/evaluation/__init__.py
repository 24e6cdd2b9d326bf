"""Evaluation of a base with an adapter: answers, scores with intervals, interference in function, merges on trial."""
