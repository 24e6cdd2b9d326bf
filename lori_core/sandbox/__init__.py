"""Programs that a model wrote, run and judged in containment.

run.py is the lab's side. The other modules run where nothing but Python's own and this folder can be imported, so they
name each other relatively.
"""
