"""Lessons: checks of the notebooks' exercises that say what is wrong, and how a result is shown.

answers.py compares an answer with the right one and with typical mistakes; checks.py has a check for each exercise;
showing.py shows figures, guesses and scores in a notebook. It is in the package, so that a notebook finds it wherever
JupyterLab was started.
"""
