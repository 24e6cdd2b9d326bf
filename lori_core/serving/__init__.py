"""Proof of life: what a served model has to answer if its adapter is active, and what is wrong where it does not."""
