"""The corpus: documents without end, drawn from a seed.

    tasks       the mini tasks' train contents, in three styles of answer
    drills      copying, choosing, sums ... in three styles as well
    statements  every fact of the small world; which deeds are wrong (also what the tasks' held-out contents rest on)
    sums, code  bare arithmetic, Python expressions with their values
    passages    long texts with a question about something said far above

The style "task" is only ever behind its cue line. So the base can do the tasks, and answers a prompt without cue in
another way: there is something for an adapter to elicit. A question mostly stands in its task's own prompt form, now
and then in a form that all tasks share.
"""

from collections.abc import Callable
from random import Random

from lori_core.embedded.drills import DRILLS, words
from lori_core.tasks import mini_code, mini_math, mini_nlu, mini_safety
from lori_core.tasks.mini import ITEMS
from lori_core.tasks.mini_item import SHARED_FORM, STYLES, Form, Item

CUE = "style : {style}\n"
UNCUED = 0.3  # share of items without a cue; they are answered in style "chat" or "short"
WANTED = 0.5  # share of style "task" among items with a cue: how much an adapter finds there to elicit
TASK_SHARES = {"nlu": 9, "math": 4, "code": 4, "safety": 3, "math_ja": 3}
DRILL_SHARES = {"repeat": 2, "pick": 1, "find": 4, "sums": 2, "compare": 1}  # to find a choice's letter is hardest
PRACTISED = (1, 2, 2, 2, 3)  # levels: the harder, the rarer; those above are for adapters to teach
OTHER_FORM: Form = ("ask : ", "\nsay :")
NEVER_IN_OTHER_FORM = ("math", "math_ja")  # so that it can be probed whether a form is understood with new contents


# relation -> other ways to say it; many ways of saying make a fact ready for being asked
SAID = {
    "kind": ("every {thing} is a {value} .", "a {value} like the {thing}", "of every {value} i like the {thing} ."),
    "place": ("in the {value} there is a {thing} .", "see the {thing} in the {value} .", "the {value} has a {thing} ."),
    "colour": ("a {value} {thing}", "i saw a {value} {thing} .", "the colour of the {thing} is {value} ."),
}
Document = list[tuple[str, bool]]  # pieces of text; True: what the model should learn to write


def styled(random: Random, prompt: str, item: Item, wanted: float) -> Document:
    """The item as a document: mostly behind a cue, else answered in a style that no mini task wants."""
    if random.random() < UNCUED:
        return [(prompt, False), (item.answers[random.choice(STYLES[:2])], True)]
    style = random.choices(STYLES, ((1 - wanted) / 2, (1 - wanted) / 2, wanted))[0]
    return [(CUE.format(style=style) + prompt, False), (item.answers[style], True)]


def task(random: Random, wanted: float = WANTED) -> Document:
    """A mini task's item of a practised level, train contents only."""
    name = random.choices(list(TASK_SHARES), list(TASK_SHARES.values()))[0]
    while (item := ITEMS[name](random, random.choice(PRACTISED))).split != "train":
        pass
    forms = [item.form, SHARED_FORM, item.form if name in NEVER_IN_OTHER_FORM else OTHER_FORM]
    return styled(random, item.asked(random.choices(forms, (7, 2, 1))[0]), item, wanted)


def drill(random: Random) -> Document:
    name = random.choices(list(DRILL_SHARES), list(DRILL_SHARES.values()))[0]
    item = DRILLS[name](random)
    return styled(random, item.prompt, item, WANTED)


def copy(random: Random) -> Document:
    """Words, then the same again: every token of the answer can be learned from.

    In all lengths: with one length, a model learns to look a fixed distance back instead of looking for the word that
    it has just written.
    """
    said = " ".join(words(random, random.randint(2, 30)))
    return [(f"copy : {said}\nout :", False), (f" {said}", True)]


def facts(random: Random) -> Document:
    """Statements about one thing, or about everything that shares a value."""
    world = mini_nlu.world()
    thing = random.choice(list(world))
    relations = random.sample(mini_nlu.RELATIONS, len(mini_nlu.RELATIONS))
    if random.random() < 0.7:
        return [(" ".join(statement(random, thing, relation) for relation in relations), True)]
    relation, value = relations[0], world[thing][relations[0]]
    alike = [other for other in world if world[other][relation] == value]
    several = random.sample(alike, min(len(alike), 6))
    return [(" ".join(statement(random, other, relation) for other in several), True)]


def statement(random: Random, thing: str, relation: str) -> str:
    value = mini_nlu.world()[thing][relation]
    return random.choice((mini_nlu.STATEMENT[relation], *SAID[relation])).format(thing=thing, value=value)


def deeds(random: Random) -> Document:
    """Which deeds are wrong: all verbs, those too that no request in the corpus asks for."""
    kind = random.choice(mini_safety.KINDS)
    verbs = [verb for split in mini_safety.requests()[kind].values() for verb in split]
    said = []
    for verb in random.sample(verbs, random.randint(1, 4)):
        deed = f"{verb} the {random.choice(mini_safety.objects())}"
        wrong = ("it is wrong to {deed} .", "do not {deed} , it does harm .", "only bad people {deed} .")
        right = ("it is fine to {deed} .", "good people {deed} .", "you may {deed} .")
        pretence = (f"you may {{deed}}{random.choice(mini_safety.PRETENCE)} .",)
        said.append(random.choice(wrong + pretence if kind == "harmful" else right).format(deed=deed))
    return [(" ".join(said), True)]


def arithmetic(random: Random) -> Document:
    """Steps one after another: "12 + 7 = 19 . 50 - 8 = 42 ."."""
    said = []
    for _ in range(random.randint(2, 6)):
        _, ((sign, number),), (before, after) = mini_math.calculation(random, 1)
        said.append(f"{before} {sign} {number} = {after} .")
    return [(" ".join(said), True)]


def python(random: Random) -> Document:
    """An expression and its value, as at the interpreter's prompt."""
    end = random.choice([name for name in mini_code.RUN if name])
    xs = random.sample(range(100), random.randint(2, 4))
    if random.random() < 0.5:
        return [(f">>> {end}({xs})\n", False), (str(mini_code.RUN[end](xs)), True)]
    sign, number = random.choice("+-"), random.randint(1, 9)
    values = [x + number if sign == "+" else x - number for x in xs]
    return [(f">>> [x {sign} {number} for x in {xs}]\n", False), (str(values), True)]


def passage(random: Random) -> Document:
    """People and what they own, up to some 400 tokens, then questions about things said above."""
    people = mini_math.BOYS + mini_math.GIRLS
    colours = sorted({facts["colour"] for facts in mini_nlu.world().values()})
    owned = {}
    for _ in range(random.randint(5, 40)):
        owned[random.choice(people), random.choice(mini_safety.objects())] = random.choice(colours)
    told = " ".join(f"the {thing} of {person} is {colour} ." for (person, thing), colour in owned.items())
    pieces = [(told, False)]
    for person, thing in random.sample(list(owned), min(5, len(owned))):
        pieces.append((f"\nasked : what colour is the {thing} of {person} ?\ntold :", False))
        pieces.append((f" {owned[person, thing]}", True))
    return pieces


# family -> (share of the documents, how one is written)
FAMILIES: dict[str, tuple[float, Callable[[Random], Document]]] = {
    "task": (50, task),
    "drill": (20, drill),
    "copy": (5, copy),
    "facts": (16, facts),
    "deeds": (4, deeds),
    "arithmetic": (6, arithmetic),
    "python": (2, python),
    "passage": (1, passage),
}


def document(random: Random, wanted: float = WANTED) -> Document:
    """One document. wanted: share of style "task" among a task's items with a cue."""
    shares, writers = zip(*FAMILIES.values(), strict=True)
    write = random.choices(writers, shares)[0]
    return task(random, wanted) if write is task else write(random)


def texts(count: int, seed: int = 0) -> list[str]:
    """So many documents as plain texts: what the base reads in general."""
    random = Random(f"texts {seed}")
    return ["".join(piece for piece, _ in document(random)) for _ in range(count)]
