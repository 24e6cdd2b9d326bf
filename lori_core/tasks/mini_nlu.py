"""Mini NLU: questions about a small world, answered by writing the right choice.

    question : where is the owl found ? (a) pond (b) forest (c) kitchen
    reply : forest .

The content is a fact: one thing and one relation. The base has read every fact as a statement; it was asked about train
facts only. From level 4 on two facts are joined, or one and the opposite of another, which the base never practised:

    question : which of these is green but not a kind of fruit ? (a) leek (b) lime (c) frog (d) owl
    reply : leek .
"""

from functools import cache
from random import Random

from lori_core.tasks.mini_item import Item, split_of, word_list

FORM = ("question : ", "\nreply :")
LETTERS = "abcde"
BUT_NOT = {4: 0.1, 5: 0.5}  # level -> share of such questions; with more, adapters teach rather than elicit
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
JOINED = {"kind": "a kind of {value}", "place": "found in the {value}", "colour": "{value}"}
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
    """One question with level + 1 choices, at most four."""
    return two_facts(random, BUT_NOT[level]) if level > 3 else one_fact(random, level)


def one_fact(random: Random, level: int) -> Item:
    facts = world()
    thing, relation = random.choice(list(facts)), random.choice(RELATIONS)
    value = facts[thing][relation]
    if random.random() < 0.5:
        question, right = FORWARD[relation].format(thing=thing), value
        wrong = other_values(relation, value)
    else:
        question, right = BACKWARD[relation].format(value=value), thing
        wrong = other_things(relation, value)
    answers = {"chat": " " + STATEMENT[relation].format(thing=thing, value=value)}
    return choice(random, question, right, random.sample(wrong, level), f"{thing} {relation}", answers)


def two_facts(random: Random, but_not: float) -> Item:
    """A question for a thing with two values, or one but not another. Two wrong choices fail by the second only."""
    facts = world()
    first, second = random.sample(RELATIONS, 2)
    thing = random.choice(list(facts))
    value, other = facts[thing][first], facts[thing][second]
    alike = [each for each in facts if facts[each][first] == value and facts[each][second] != other]
    if random.random() < but_not and alike:
        without = facts[random.choice(alike)][second]
        said = f"{JOINED[first].format(value=value)} but not {JOINED[second].format(value=without)}"
        wrong = [each for each in alike if facts[each][second] == without]
    else:
        said = f"{JOINED[first].format(value=value)} and {JOINED[second].format(value=other)}"
        wrong = alike
    wrong = random.sample(wrong, min(2, len(wrong)))
    wrong += random.sample(other_things(first, value), 3 - len(wrong))
    content, answers = f"{thing} {' '.join(sorted((first, second)))}", {"chat": f" the {thing} is {said} ."}
    return choice(random, f"which of these is {said} ?", thing, wrong, content, answers)


def choice(random: Random, question: str, right: str, wrong: list[str], content: str, answers: dict[str, str]) -> Item:
    """The question with its choices in any order. answers: those of the styles that do not choose."""
    choices = random.sample([right, *wrong], len(wrong) + 1)
    letter = LETTERS[choices.index(right)]
    listed = " ".join(f"({name}) {choice}" for name, choice in zip(LETTERS, choices, strict=False))
    answers = answers | {"short": f" ({letter})", "task": f" {right} ."}
    return Item(f"{question} {listed}", FORM, answers, content, split_of(content))
