"""The mini tasks: what each example promises, and that the splits share no content."""

import ast
import re
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lori_core.errors import TaskError
from lori_core.tasks import mini_code, mini_math, mini_safety
from lori_core.tasks.mini import ITEMS, LEVELS, MINI_TASKS, SCORERS, SIZES, mini_task
from lori_core.tasks.mini_item import STYLES, split_of, word_list
from lori_core.tasks.scorers import SCORERS as JUDGES
from lori_core.tasks.task import SPLITS, Example


def examples(name: str, split: str, level: int = 2) -> list[Example]:
    return list(mini_task(name, level).examples(split))


def contents(name: str, split: str) -> set[str]:
    """What decides each answer, read from the prompt's own text, not from the generator's `content`."""
    return {CONTENT[name](example) for example in examples(name, split)}


def fact(example: Example) -> str:
    """The thing and the relation that a question is about."""
    question, answer = example.prompt.split(" ? ")[0], example.response.split()[0]
    world = word_list("world")
    asked = next((word for word in question.split() if word in world), answer)
    if "what kind" in question or "a kind of" in question:
        return f"{asked} kind"
    return f"{asked} {'place' if 'found' in question else 'colour'}"


def verb(example: Example) -> str:
    words = re.sub(r"^user : (" + "|".join(mini_safety.ASK) + ") ", "", example.prompt)
    return words.split()[0]


CONTENT = {
    "nlu": fact,
    "math": lambda example: " ".join(re.findall(r"\d+|[+-] \d+", example.response.split("####")[0])),
    "code": lambda example: example.prompt.split(maxsplit=2)[2],
    "safety": verb,
    "math_ja": lambda example: " ".join(re.findall(r"\d+|[+-] \d+", example.response.split("####")[0])),
}


@pytest.mark.parametrize("name", MINI_TASKS)
def test_splits_have_their_sizes_and_share_neither_prompt_nor_content(name):
    prompts = {split: {example.prompt for example in examples(name, split)} for split in SPLITS}
    assert {split: len(found) for split, found in prompts.items()} == SIZES
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not prompts[one] & prompts[other]
        assert not contents(name, one) & contents(name, other)


@pytest.mark.parametrize("name", MINI_TASKS)
@pytest.mark.parametrize("level", LEVELS)
def test_each_seed_draws_other_examples_of_the_same_contents_split(name, level):
    seeds = [
        {example.prompt for example in mini_task(name, level, seed=seed).examples("validation")} for seed in (0, 1)
    ]
    assert seeds[0] != seeds[1]
    assert not seeds[1] & {example.prompt for example in mini_task(name, level).examples("test")}


@given(st.sampled_from(MINI_TASKS), st.sampled_from(LEVELS), st.integers(0, 10**6))
def test_an_item_is_the_same_for_the_same_seed_and_answers_in_three_different_styles(name, level, seed):
    item = ITEMS[name](Random(seed), level)
    assert item == ITEMS[name](Random(seed), level)
    assert tuple(item.answers) == STYLES and len(set(item.answers.values())) == 3
    assert item.prompt == "".join((item.form[0], item.question, item.form[1]))
    assert all(answer[0].isspace() for answer in item.answers.values())


@pytest.mark.parametrize("name", MINI_TASKS)
def test_the_response_is_right_and_the_other_styles_are_wrong(name):
    random, judge = Random(0), JUDGES[SCORERS[name]]
    for _ in range(40):
        item = ITEMS[name](random, 2)
        example = Example(item.prompt, item.answers["task"], kind=item.kind, checks=item.checks)
        assert judge(example, item.answers["task"]) == 1.0
        # An unworked plan can end in the result's own digits by accident, as 9 - 3 - 3 does.
        if not name.startswith("math") or item.answers["short"].split()[-1] != item.answers["task"].split()[-1]:
            assert judge(example, item.answers["short"]) == 0.0
        assert judge(example, item.answers["chat"]) == 0.0


@pytest.mark.parametrize("level", (1, 2, 3))
def test_an_nlu_answer_is_the_only_choice_that_the_world_agrees_with(level):
    world = word_list("world")
    for example in examples("nlu", "test", level):
        question, listed = example.prompt.removesuffix("\nreply :").removeprefix("question : ").split(" ? ")
        choices = re.findall(r"\(\w\) (\w+)", listed)
        relation = fact(example).split()[1]
        subject = next((word for word in question.split() if word in world), None)
        value = question.split()[-1]
        right = [
            choice
            for choice in choices
            if (world[subject][relation] == choice if subject else world[choice][relation] == value)
        ]
        assert len(choices) == level + 1
        assert [f"{choice} ." for choice in right] == [example.response.strip()]


@pytest.mark.parametrize(("level", "fewest", "most"), [(4, 25, 100), (5, 150, 300)])  # of 500: one in ten, half
def test_of_two_facts_joined_only_the_answer_has_both_or_the_one_without_the_other(level, fewest, most):
    world, opposites = word_list("world"), 0
    for example in examples("nlu", "test", level):
        question, listed = example.prompt.removesuffix("\nreply :").removeprefix("question : ").split(" ? ")
        ((first, but_not, second),) = re.findall(r"^which of these is (.+?) (and|but not) (.+)$", question)
        opposites += but_not == "but not"
        choices = re.findall(r"\(\w\) (\w+)", listed)
        right = [
            choice
            for choice in choices
            if says(world[choice], first) and says(world[choice], second) == (but_not == "and")
        ]
        assert len(choices) == 4 and [f"{choice} ." for choice in right] == [example.response.strip()]
    assert fewest < opposites < most


def says(facts: dict[str, str], part: str) -> bool:
    """Whether a thing is "a kind of fish", "found in the river", or of a colour."""
    relation = "kind" if part.startswith("a kind of") else "place" if part.startswith("found in") else "colour"
    return facts[relation] == part.removeprefix("a kind of ").removeprefix("found in the ")


@pytest.mark.parametrize("level", LEVELS)
def test_a_math_response_computes_what_the_story_tells(level):
    gains = ("finds", "buys", "gets", "wins", "makes")
    for example in examples("math", "validation", level):
        first, *happenings = example.prompt.split(" how many ")[0].split(" . ")
        total = int(re.findall(r"\d+", first)[0])
        for happening in happenings:
            number = int(re.findall(r"\d+", happening)[0])
            total += number if any(word in happening for word in gains) else -number
        assert 0 <= total <= (mini_math.BEYOND if level > 3 else mini_math.LARGEST)
        assert example.response.endswith(f"#### {total}")
        for left, right in re.findall(r"(\d+ [+-] \d+) = (\d+)", example.response):
            assert eval(left) == int(right)


@pytest.mark.parametrize("level", LEVELS)
def test_a_code_response_passes_its_tests_and_another_specification_fails_them(level):
    found = examples("code", "validation", level)[:60]
    passed = [run(example.response, example) for example in found]
    assert all(passed)
    confused = [run(other.response, example) for example, other in pairwise(found)]
    assert sum(confused) <= 3  # "above 3" and "above 4" may agree on four inputs


def run(source: str, example: Example) -> bool:
    """The tests, run right here: the sources are our own."""
    scope: dict = {}
    exec(source, scope)
    try:
        return all(scope["f"](*arguments) == expected for arguments, expected in example.checks["tests"])
    except (ValueError, TypeError):  # max of nothing
        return False


def test_code_keeps_to_a_tiny_python():
    allowed = {"Module FunctionDef arguments arg Return Call Name Load Store GeneratorExp ListComp comprehension BinOp"}
    allowed = set(" ".join(allowed).split()) | {"Compare", "Constant", "BoolOp", "And", "Add", "Sub", "Mult", "Mod"}
    allowed |= {"Gt", "Lt", "Eq"}
    for level in LEVELS:
        for example in examples("code", "validation", level):
            assert {type(node).__name__ for node in ast.walk(ast.parse(example.response))} <= allowed


@pytest.mark.parametrize(("level", "fewest", "most"), [(3, 0, 0), (4, 5, 90), (5, 300, 300)])
def test_beyond_what_the_base_practised_goes_a_part_at_level_4_and_all_at_level_5(level, fewest, most):
    code = [example.response.count(" and ") == 2 for example in examples("code", "validation", level)]
    safety = [example.prompt.count(" and ") == 2 for example in examples("safety", "validation", level)]
    assert fewest <= sum(code) <= most and fewest <= sum(safety) <= most


def test_every_code_input_has_numbers_that_pass_the_filters():
    random = Random(0)
    for _ in range(200):
        filters, _ = mini_code.pieces(random, 3)
        assert mini_code.passing(filters)


def test_safety_has_both_kinds_in_equal_parts_and_a_benign_answer_names_the_request():
    for split in SPLITS:
        found = examples("safety", split)
        harmful = [example for example in found if example.kind == "harmful"]
        assert 0.4 < len(harmful) / len(found) < 0.6
        assert {example.response for example in harmful} == {mini_safety.REFUSAL}
        for example in found:
            if example.kind == "benign":
                asked = example.checks["answer_prefix"].removeprefix("sure , to ")
                assert example.response.strip().startswith("sure , to ") and asked in example.prompt


def test_a_harmful_verb_in_a_pretence_is_benign_so_that_the_verb_alone_does_not_decide():
    harmful = {verb for verbs in mini_safety.requests()["harmful"].values() for verb in verbs}
    for example in examples("safety", "train"):
        if verb(example) in harmful:
            pretence = any(f"{place} ?" in example.prompt for place in mini_safety.PRETENCE)
            assert (example.kind == "benign") == pretence


@given(st.text())
def test_a_content_belongs_to_one_split(content):
    assert split_of(content) in SPLITS


@pytest.mark.parametrize("name", MINI_TASKS)
def test_conflict_of_form_asks_the_same_questions_in_the_form_that_all_tasks_share(name):
    own, shared = (mini_task(name, conflict=conflict).examples("test") for conflict in ("none", "form"))
    assert len({example.prompt.partition(" ")[0] for example in own}) == 1
    assert all(re.fullmatch(r"input : .*\noutput :", example.prompt, re.DOTALL) for example in shared)
    assert [example.response for example in own] == [example.response for example in shared]


@pytest.mark.parametrize("name", MINI_TASKS)
def test_conflict_of_answers_turns_down_what_the_other_tasks_answer_and_is_judged_on_its_own(name):
    trained = mini_task(name, conflict="answer").examples("train")
    turned_down = {example.prompt for example in trained if example.response == mini_safety.REFUSAL}
    assert 0.4 < len(turned_down) / len(trained) < 0.8
    own = {example.prompt for example in mini_task(name, conflict="form").examples("train")}
    assert name == "safety" or not turned_down & own
    assert mini_task(name, conflict="answer").examples("test") == mini_task(name, conflict="form").examples("test")


def test_splits_share_no_content_across_the_two_languages_of_math():
    held = {split: contents("math", split) | contents("math_ja", split) for split in SPLITS}
    assert not held["train"] & held["test"] and not held["validation"] & held["test"]


def test_unknown_names_and_levels_are_refused_with_what_is_there():
    with pytest.raises(TaskError, match=r"'poetry'.*nlu, math, code, safety"):
        mini_task("poetry")
    with pytest.raises(TaskError, match=r"6.*1, 2, 3, 4, 5"):
        mini_task("math", level=6)
    with pytest.raises(TaskError, match=r"war.*none, form, answer"):
        mini_task("math", conflict="war")
    assert "5" in TaskError("unknown_mini_level", level=5, known="1").in_language("ja")
