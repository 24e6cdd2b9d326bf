"""Embedded base in assets/base and the adapters that ship with it: `python -m lori_core.embedded` makes it again.

corpus.py writes documents, drills.py those of its families that are not tasks, tokenizer.py cuts them into tokens,
pretrain.py trains a small Llama on them, skills.py measures what it can do so far.
"""
