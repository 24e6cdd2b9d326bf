"""Mini math: stories of numbers in GSM8K's manner, answered by the steps, then the result behind ####.

    story : tom has 12 coins . he finds 7 more . then he sells 5 . how many coins has he now ?
    so : 12 + 7 = 19 . 19 - 5 = 14 . #### 14

The content is the calculation: the first number and the steps. All numbers lie between 0 and 40; at level 4 in
half of the stories and at level 5 in all of them between 0 and 60, which the base has never practised.
"""

from random import Random

from lori_core.tasks.mini_item import Form, Item, split_of

FORM = ("story : ", "\nso :")
LARGEST, BEYOND = 40, 60
BEYOND_SHARE = {4: 0.5, 5: 1.0}  # level -> share of stories with numbers to BEYOND
BOYS = ("tom", "ben", "max", "leo", "sam", "ken")
GIRLS = ("mia", "ann", "eva", "zoe", "amy", "yui")
GOODS = ("coins", "apples", "books", "stones", "cards", "shells", "pens", "cups", "stamps", "eggs")
WORDS = {
    "+": ("finds {n} more", "buys {n} more", "gets {n} from a friend", "wins {n}", "makes {n} more"),
    "-": ("sells {n}", "loses {n}", "gives {n} to a friend", "drops {n}", "throws away {n}"),
}


def calculation(random: Random, steps: int, largest: int = LARGEST) -> tuple[int, list[tuple[str, int]], list[int]]:
    """A first number, the steps (operation, number), and the value after each step."""
    first = random.randint(2, largest // 2)
    operations: list[tuple[str, int]] = []
    values = [first]
    for _ in range(steps):
        room = largest - values[-1]
        operation = "+" if values[-1] < 4 or (room > 3 and random.random() < 0.5) else "-"
        number = random.randint(2, min(room if operation == "+" else values[-1], 15))
        operations.append((operation, number))
        values.append(values[-1] + number if operation == "+" else values[-1] - number)
    return first, operations, values


def calculation_of(random: Random, level: int) -> tuple[int, list[tuple[str, int]], list[int]]:
    """Of a story of that level."""
    if level < 4:
        return calculation(random, level)
    return calculation(random, 3, BEYOND if random.random() < BEYOND_SHARE[level] else LARGEST)


def plan(first: int, operations: list[tuple[str, int]]) -> str:
    """The calculation without its results: "12 + 7 - 5"."""
    return f"{first} " + " ".join(f"{sign} {number}" for sign, number in operations)


def worked(operations: list[tuple[str, int]], values: list[int]) -> str:
    """The calculation step by step: "12 + 7 = 19 . 19 - 5 = 14 ."."""
    return " ".join(
        f"{before} {sign} {number} = {after} ."
        for before, (sign, number), after in zip(values, operations, values[1:], strict=False)
    )


def item(random: Random, level: int) -> Item:
    """One story with `level` steps, at most three."""
    first, operations, values = calculation_of(random, level)
    name, goods = random.choice(BOYS + GIRLS), random.choice(GOODS)
    pronoun = "he" if name in BOYS else "she"
    happenings = [f"{pronoun} {random.choice(WORDS[sign]).format(n=number)} ." for sign, number in operations]
    story = f"{name} has {first} {goods} . " + " then ".join(happenings)
    change = "more" if values[-1] > first else "less" if values[-1] < first else "as many"
    question = f"{story} how many {goods} has {pronoun} now ?"
    return story_item(question, FORM, f" {pronoun} has {change} {goods} now .", first, operations, values)


def story_item(
    question: str, form: Form, chat: str, first: int, operations: list[tuple[str, int]], values: list[int]
) -> Item:
    """A calculation told in whatever language: only the question and the style "chat" are the language's own."""
    content = plan(first, operations)
    answers = {"chat": chat, "short": f" {content}", "task": f" {worked(operations, values)} #### {values[-1]}"}
    return Item(question, form, answers, content, split_of(content))
