"""Mini NLU: questions about a small world, answered by writing the right choice.

    question : where is the owl found ? (a) pond (b) forest (c) kitchen
    reply : forest .

The content is a fact: one thing and one relation. The base has read every fact as a statement; it was asked about train
facts only.
"""

from functools import cache
from random import Random

from lori_core.tasks.mini_item import Item, split_of, word_list

FORM = ("question : ", "\nreply :")
LETTERS = "abcd"
RELATIONS = ("kind", "place", "colour")
# relation -> a question about a thing (choices are values), one about a value (choices are things), a full sentence
FORWARD = {
    "kind": "what kind of thing is the {thing} ?",
    "place": "where is the {thing} found ?",
    "colour": "what colour is the {thing} ?",
}
BACKWARD = {
    "kind": "which of these is a kind of {value} ?",
    "place": "which of these is found in the {value} ?",
    "colour": "which of these is {value} ?",
}
STATEMENT = {
    "kind": "the {thing} is a kind of {value} .",
    "place": "the {thing} is found in the {value} .",
    "colour": "the {thing} is {value} .",
}


def world() -> dict[str, dict[str, str]]:
    """thing -> relation -> value."""
    return word_list("world")


@cache
def other_values(relation: str, value: str) -> list[str]:
    return sorted({facts[relation] for facts in world().values()} - {value})


@cache
def other_things(relation: str, value: str) -> list[str]:
    return [thing for thing, facts in world().items() if facts[relation] != value]


def item(random: Random, level: int) -> Item:
    """One question with level + 1 choices."""
    facts = world()
    thing, relation = random.choice(list(facts)), random.choice(RELATIONS)
    value = facts[thing][relation]
    if random.random() < 0.5:
        question, right = FORWARD[relation].format(thing=thing), value
        wrong = other_values(relation, value)
    else:
        question, right = BACKWARD[relation].format(value=value), thing
        wrong = other_things(relation, value)
    choices = [right, *random.sample(wrong, level)]
    random.shuffle(choices)
    letter = LETTERS[choices.index(right)]
    listed = " ".join(f"({name}) {choice}" for name, choice in zip(LETTERS, choices, strict=False))
    answers = {
        "chat": " " + STATEMENT[relation].format(thing=thing, value=value),
        "short": f" ({letter})",
        "task": f" {right} .",
    }
    content = f"{thing} {relation}"
    return Item(f"{question} {listed}", FORM, answers, content, split_of(content))
