"""Lessons: what the notebooks need beside the library itself.

It is in the package, so that a notebook finds it wherever JupyterLab was started.

wrong_answer.py is what a check says; answers.py compares a student's function with the right one and with typical
mistakes, checks.py has a check for each exercise, by_hand.py puts the student's functions in the library's place;
guesses.py grades and keeps predictions, class_page.py draws those of a class; controls.py judges a control;
showing.py shows figures, guesses, progress and scores in a notebook, static.py figures as HTML that it keeps,
working.py the line below a cell that works for long; places.py names the lab's page of each notebook's subject.
"""
