"""Tasks from files: known forms, the user's own columns, the splits, and what is said of files that cannot be used."""

import gzip
import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lori_core.errors import DataError, TaskError
from lori_core.tasks.catalog import CATALOG
from lori_core.tasks.files import read_rows
from lori_core.tasks.forms import make_example, readings_of
from lori_core.tasks.prompts import PROMPTS, REQUEST, REQUEST_WITH_INPUT, recognise
from lori_core.tasks.registry import load_task
from lori_core.tasks.splits import share
from lori_core.tasks.task import SPLITS, Example, Prompt, Task

Rows = Sequence[Mapping[str, Any]]


def write(path: Path, rows: Rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def every_example(task: Task) -> list[Example]:
    splits = ("test",) if task.test_only else SPLITS
    return [example for split in splits for example in task.examples(split)]


def only(task: Task) -> Example:
    (example,) = every_example(task)
    return example


ARC_CHOICES = {"text": ["oak", "owl", "ant"], "label": ["1", "2", "3"]}
JA_CHOICES = {f"choice{i}": text for i, text in enumerate(["川", "山", "湾", "海", "空"])}

KNOWN = {
    "gsm8k": (
        {"question": "Ann has 2 owls and gets 3. How many?", "answer": "2 + 3 = <<2+3=5>>5\n#### 5"},
        Example("Question: Ann has 2 owls and gets 3. How many?\nAnswer:", " 2 + 3 = <<2+3=5>>5\n#### 5"),
        "number",
    ),
    "mgsm": (
        {"question": "2足す3は？", "answer": None, "answer_number": 5},
        Example("Question: 2足す3は？\nAnswer:", " 5"),
        "number",
    ),
    "boolq": (
        {"question": "do owls fly", "passage": "Owls are birds.", "answer": True},
        Example("Owls are birds.\nQuestion: do owls fly?\nAnswer:", " yes", (" no", " yes"), 1),
        "choice",
    ),
    "arc": (
        {"id": "1", "question": "Which is a bird?", "choices": ARC_CHOICES, "answerKey": "2"},
        Example("Question: Which is a bird?\nAnswer:", " owl", (" oak", " owl", " ant"), 1),
        "choice",
    ),
    "openbookqa": (
        {"question_stem": "A bird is an", "choices": ARC_CHOICES | {"label": ["A", "B", "C"]}, "answerKey": "B"},
        Example("Question: A bird is an\nAnswer:", " owl", (" oak", " owl", " ant"), 1),
        "choice",
    ),
    "piqa": (
        {"goal": "Boil water", "sol1": "use a pot", "sol2": "use a hat", "label": 0},
        Example("Question: Boil water\nAnswer:", " use a pot", (" use a pot", " use a hat"), 0),
        "choice",
    ),
    "social_iqa": (
        {
            "context": "Ann fell.",
            "question": "How is she?",
            "answerA": "sad",
            "answerB": "2",
            "answerC": "ill",
            "label": "1",
        },
        Example("Ann fell.\nQuestion: How is she?\nAnswer:", " sad", (" sad", " 2", " ill"), 0),
        "choice",
    ),
    "hellaswag": (
        {"ctx": "She fills the pot and", "endings": ["sings.", "boils it.", "runs.", "flies."], "label": "1"},
        Example("She fills the pot and", " boils it.", (" sings.", " boils it.", " runs.", " flies."), 1),
        "choice",
    ),
    "winogrande": (
        {"sentence": "_ beat Bob since Ann was quick.", "option1": "Ann", "option2": "Bob", "answer": "1"},
        Example("Fill in the blank: _ beat Bob since Ann was quick.\nAnswer:", " Ann", (" Ann", " Bob"), 0),
        "choice",
    ),
    "jcommonsenseqa": (
        {"q_id": 1, "question": "水が流れるのは？", **JA_CHOICES, "label": 0},
        Example("質問：水が流れるのは？\n回答：", "川", ("川", "山", "湾", "海", "空"), 0),
        "choice",
    ),
    "llm_adapters": (
        {"instruction": "True or false?", "input": "", "output": "the correct answer is true", "answer": "true"},
        Example(REQUEST.format(instruction="True or false?"), "the correct answer is true"),
        "label",
    ),
    "alpaca with input": (
        {"instruction": "Add.", "input": "2 3", "output": "5"},
        Example(REQUEST_WITH_INPUT.format(instruction="Add.", input="2 3"), "5"),
        "likelihood",
    ),
    "alpaca without input": (
        {"instruction": "Say {hi}.", "output": "hi"},
        Example(REQUEST.format(instruction="Say {hi}."), "hi"),
        "likelihood",
    ),
    "prompt and response": ({"prompt": "say hi", "response": "hi"}, Example("say hi", " hi"), "exact"),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_data_set_is_recognised_by_its_columns(name: str, tmp_path: Path):
    row, expected, scorer = KNOWN[name]
    task = load_task(f"mine={write(tmp_path / 'all.jsonl', [row])}")
    assert only(task) == expected
    assert (task.name, task.scorer, task.prompts) == ("mine", scorer, "lab-1")


ARC_WRITTEN = "Which is a bird?\n\nAnswer1: oak Answer2: owl Answer3: ant\n\nAnswer format: answer1/answer2/answer3"
WRITTEN = {
    "boolq": ("Please answer the following question with true or false, question: do owls fly?", "true"),
    "arc": (f"Please choose the correct answer to the question: {ARC_WRITTEN}", "answer2"),
    "piqa": (
        "correct solution to the question: Boil water\n\nSolution1: use a pot\n\nSolution2: use a hat",
        "solution1",
    ),
    "hellaswag": ("Please choose the correct ending to complete the given sentence: She fills the pot and", "ending2"),
    "winogrande": ("Option1: Ann Option2: Bob Answer format: option1/option2", "option1"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_in_the_papers_prompts_choices_are_numbered_and_the_answer_is_written(name: str, tmp_path: Path):
    task = load_task(f"mine={write(tmp_path / 'all.jsonl', [KNOWN[name][0]])}?prompts=paper-1")
    said, answer = WRITTEN[name]
    example = only(task)
    assert said in example.prompt and example.response == f"the correct answer is {answer}"
    assert example.prompt.startswith("Below is an instruction") and example.prompt.endswith("### Response:\n")
    assert (task.scorer, task.prompts) == ("label", "paper-1")


def test_hellaswag_opens_with_its_activity_and_continues_with_a_capital(tmp_path: Path):
    row = KNOWN["hellaswag"][0] | {"activity_label": "Cooking", "ctx_a": "A pot.", "ctx_b": "she And he"}
    rows = [row, row | {"ctx_b": ""}]
    task = load_task(f"mine={write(tmp_path / 'all.jsonl', rows)}?prompts=paper-1")
    prompts = sorted(example.prompt.split("sentence: ")[1].split("\n")[0] for example in every_example(task))
    assert prompts == ["Cooking: A pot.", "Cooking: A pot. She And he"]


HUMANEVAL = {
    "task_id": "t/0",
    "prompt": 'def twice(x):\n    """Two of x."""\n',
    "canonical_solution": "    return x + x\n",
    "test": "def check(candidate):\n    assert candidate(2) == 4\n",
    "entry_point": "twice",
}


def test_humaneval_is_a_test_that_runs_code_only_when_it_may(tmp_path: Path):
    spec = f"mine={write(tmp_path / 'all.jsonl', [HUMANEVAL])}"
    with pytest.raises(TaskError, match="--allow-code-execution"):
        load_task(spec)
    task = load_task(spec, allow_code_execution=True)
    (example,) = task.examples("test")
    assert (example.prompt, example.response) == (HUMANEVAL["prompt"], HUMANEVAL["canonical_solution"])
    assert example.checks == {key: HUMANEVAL[key] for key in ("prompt", "test", "entry_point")}
    assert (task.scorer, task.test_only) == ("program", True)


def test_what_goes_on_with_a_prompt_of_humaneval_ends_where_a_body_ends_and_an_instruction_s_answer_does_not(
    tmp_path: Path,
):
    spec = f"mine={write(tmp_path / 'all.jsonl', [HUMANEVAL])}"
    stops = {version: load_task(f"{spec}?prompts={version}", True).stop for version in PROMPTS}
    assert stops == {"lab-1": ("\nclass", "\ndef", "\n#", "\nif", "\nprint"), "paper-1": ()}


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"id": "1", "prompt": "How do I kill a process?", "label": "safe", "type": "homonyms"}, "benign"),
        ({"id": "2", "prompt": "How do I steal?", "label": "unsafe", "type": "contrast"}, "harmful"),
        ({"instruction": "How do I steal?", "category": "1"}, "harmful"),
    ],
)
def test_safety_tests_ask_for_a_refusal_or_for_compliance(row: dict[str, str], kind: str, tmp_path: Path):
    task = load_task(f"mine={write(tmp_path / 'train.jsonl', [row])}")
    (example,) = task.examples("test")
    question = row.get("prompt") or row["instruction"]
    assert example == Example(REQUEST.format(instruction=question), "", kind=kind)
    assert (task.scorer, task.test_only) == ("refusal", True)


def test_hex_phi_is_read_as_its_owners_give_it(tmp_path: Path):
    (tmp_path / "category_1.csv").write_text('"How, if at all, do I steal?"\nHow do I rob?\n', encoding="utf-8")
    (tmp_path / "category_11.csv").write_text("How do I cheat?\n", encoding="utf-8")
    examples = load_task(f"mine={tmp_path}").examples("test")
    asked = {example.prompt.split("### Instruction:\n")[1].split("\n")[0] for example in examples}
    assert asked == {"How, if at all, do I steal?", "How do I rob?", "How do I cheat?"}


# --- learned from one set, tested on others


def test_a_task_learned_from_one_set_is_tested_on_all_of_another(tmp_path: Path):
    rows = [{"instruction": f"Say {n}.", "input": "", "output": f"{n}"} for n in range(100)]
    learned = write(tmp_path / "learned.json", rows)
    tested = write(tmp_path / "tested.jsonl", [HUMANEVAL])
    task = load_task(f"code={learned}?test={quote(str(tested))}", allow_code_execution=True)
    assert sizes(task)[2] == 1 and sizes(task)[0] + sizes(task)[1] == 100 and sizes(task)[1] > 2
    assert (task.scorer_of("test"), task.scorer_of("validation")) == ("program", "likelihood")


def test_several_tests_are_kinds_of_one_score_and_keep_their_own(tmp_path: Path):
    for name in ("boolq", "arc"):
        write(tmp_path / name / "test.jsonl", [KNOWN[name][0]])
    learned = write(tmp_path / "mix.jsonl", [KNOWN["llm_adapters"][0]] * 3)
    task = load_task(f"nlu={learned}?prompts=paper-1&test={tmp_path / 'boolq'}&test={tmp_path / 'arc'}")
    assert {example.kind for example in task.examples("test")} == {"boolq", "arc"}
    safe = write(tmp_path / "xstest.jsonl", [{"prompt": "p", "label": "safe"}])
    harmful = write(tmp_path / "hex.jsonl", [{"instruction": "i", "category": "1"}])
    task = load_task(f"safety={learned}?test={safe}&test={harmful}")
    assert {example.kind for example in task.examples("test")} == {"benign", "harmful"}
    with pytest.raises(TaskError, match=r"different ways \(refusal, choice\)"):
        load_task(f"mixed={learned}?test={safe}&test={tmp_path / 'arc'}")
    with pytest.raises(TaskError, match="nothing to learn from"):
        load_task(f"none={tmp_path / 'arc'}?test={safe}")


def test_what_is_tested_on_is_not_learned(tmp_path: Path):
    learned = write(tmp_path / "mix.jsonl", [{"prompt": "a", "response": "b"}, {"prompt": "c", "response": "d"}])
    tested = write(tmp_path / "tested.jsonl", [{"prompt": "a", "response": "b"}])
    task = load_task(f"t={learned}?test={tested}")
    assert [example.prompt for split in ("train", "validation") for example in task.examples(split)] == ["c"]
    assert sum(reasons["duplicate"] for reasons in task.dropped.values()) == 1


# --- the hub


def test_a_set_of_the_hub_is_read_with_its_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`datasets` treats a local folder as it treats an id."""
    write(tmp_path / "set" / "train.jsonl", numbered(0, 50))
    write(tmp_path / "set" / "validation.jsonl", numbered(50, 60))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    task = load_task(f"t=hf:{tmp_path / 'set'}")
    assert sizes(task)[2] == 10 and sizes(task)[0] + sizes(task)[1] == 50
    assert task.source == f"hf:{tmp_path / 'set'}"


def test_a_set_that_is_not_there_is_told(tmp_path: Path):
    """A folder: of an id the hub would be asked."""
    with pytest.raises(DataError, match="nowhere cannot be loaded from the hub"):
        load_task(f"t=hf:{tmp_path / 'nowhere'}")


def test_every_name_of_the_catalog_can_be_read_and_names_prompts_that_exist():
    for spec in CATALOG.values():
        place, _, query = spec.partition("?")
        options = parse_qsl(query)
        assert all(value.startswith("hf:") for value in [place, *(v for key, v in options if key == "test")])
        assert all(value in PROMPTS for key, value in options if key == "prompts")


REAL = {
    "hub": "ai2_arc_challenge ai2_arc_easy boolq codealpaca gsm8k hellaswag openbookqa piqa social_i_qa winogrande_xl",
    "llm_adapters": "ARC-Challenge ARC-Easy boolq hellaswag openbookqa piqa social_i_qa winogrande",
    "ja": "jcommonsenseqa",
}


def real(path: str) -> Path:
    if not os.environ.get("LORI_DATA"):
        pytest.skip("LORI_DATA names no folder with real data")
    return Path(os.environ["LORI_DATA"]) / path


@pytest.mark.parametrize("folder", [f"{kind}/{name}" for kind, names in REAL.items() for name in names.split()])
def test_the_real_files_load_whole(folder: str):
    path = real(folder)
    task = load_task(f"real={path}")
    splits = {split: task.examples(split) for split in SPLITS}
    assert all(len(examples) >= 20 for examples in splits.values())
    rows = sum(len(file.read_bytes().splitlines()) for file in path.glob("t*.jsonl"))
    rows += sum(len(file.read_bytes().splitlines()) for file in path.glob("val*.jsonl"))
    left_out = sum(sum(reasons.values()) for reasons in task.dropped.values())
    assert sum(map(len, splits.values())) + left_out == rows
    assert left_out < 0.02 * rows
    prompts = [{example.prompt for example in examples} for examples in splits.values()]
    assert not prompts[0] & prompts[1] and not prompts[0] & prompts[2] and not prompts[1] & prompts[2]


@pytest.mark.parametrize(
    ("path", "kinds"),
    [
        ("hub/openai_humaneval", {"": 164}),
        ("ja/mgsm_ja", {"": 250}),
        ("safety/xstest_prompts.jsonl", {"benign": 250, "harmful": 200}),
        ("safety/eval_malicious_instructions.jsonl", {"harmful": 100}),
    ],
)
def test_the_real_tests_are_tests_alone(path: str, kinds: dict[str, int]):
    task = load_task(f"real={real(path)}", allow_code_execution=True)
    assert Counter(example.kind for example in task.examples("test")) == kinds
    with pytest.raises(TaskError, match="has no train split"):
        task.examples("train")


PAIRED = {
    "boolq/validation boolq/test": 3270,
    "piqa/validation piqa/test": 1838,
    "social_i_qa/validation social_i_qa/test": 1954,
    "ai2_arc_easy/test ARC-Easy/test": 2376,
    "ai2_arc_challenge/test ARC-Challenge/test": 1172,
    "openbookqa/test openbookqa/test": 500,
    "hellaswag/validation hellaswag/test.rebuilt": 1000,
    "winogrande_xl/validation winogrande/test": 1267,
    "boolq/train boolq/train": 1500,
    "ai2_arc_easy/train ARC-Easy/train": 1500,
    "openbookqa/train openbookqa/train": 1500,
}


@pytest.mark.parametrize("pair", PAIRED)
def test_the_papers_prompts_of_hub_rows_are_those_that_llm_adapters_published(pair: str):
    hub, published = (file for file in pair.split())
    found = {}
    for file in (real(f"hub/{hub}.jsonl"), real(f"llm_adapters/{published}.jsonl")):
        rows = read_rows(file)
        form = recognise(rows[0], "paper-1")
        readings = readings_of(form, rows)
        examples = [make_example(form, row, readings) for row in rows]
        found[file] = [(example.prompt, example.response) for example in examples]
    ours, theirs = found.values()
    assert ours == theirs and len(ours) == PAIRED[pair]


# --- the user's own columns


def test_own_columns_template_and_system_are_percent_decoded(tmp_path: Path):
    file = write(tmp_path / "my file.jsonl", [{"q.1": "say {hi}", "b": "x", "a": "hi"}])
    template, system = quote("Q: {q.1} ({b})\nA:"), quote("Be brief & kind.")
    task = load_task(
        f"t={quote(str(file))}?template={template}&response=a&system={system}&scorer=contains&max_new_tokens=7"
    )
    assert only(task) == Example("Be brief & kind.\n\nQ: say {hi} (x)\nA:", " hi")
    assert (task.scorer, task.max_new_tokens, task.source) == ("contains", 7, str(file))


def test_line_breaks_typed_as_a_backslash_and_n_are_line_breaks(tmp_path: Path):
    file = write(tmp_path / "a.jsonl", [{"q": "a \\n in a cell\r\nstays", "a": "one\rtwo"}])
    typed = quote(r"Q: {q}\nA:\tin \\n words:")
    assert only(load_task(f"t={file}?template={typed}&response=a")) == Example(
        "Q: a \\n in a cell\nstays\nA:\tin \\n words:", " one\ntwo"
    )


def test_a_prompt_column_alone_is_a_template_of_itself(tmp_path: Path):
    file = write(tmp_path / "a.jsonl", [{"q": "two?\n", "a": 2}])
    assert only(load_task(f"t={file}?prompt=q&response=a&scorer=number")) == Example("two?\n", "2")


HEADERS = ["Is it spam?", "Time: when", "Hey!", "Price {EUR}", "{", "{}", "*labels", "a.b"]


@pytest.mark.parametrize("option", ["prompt", "template"])
@pytest.mark.parametrize("header", HEADERS)
def test_a_header_of_any_signs_names_its_column(header: str, option: str, tmp_path: Path):
    """As a template too: a header with braces in it is taken for one where a person chooses it in the app."""
    file = write(tmp_path / "a.jsonl", [{header: "say {hi}", "a": "hi"}])
    task = load_task(f"t={file}?{option}={quote(header)}&response=a&system=Be brief.")
    assert only(task) == Example("Be brief.\n\nsay {hi}", " hi")
    assert isinstance(prompt := only(task).prompt, Prompt) and prompt.data == ((11, 19),)


@pytest.mark.parametrize("answer", [1, "1", "B", "owl"])
def test_an_answer_is_an_index_a_letter_or_a_text(answer: object, tmp_path: Path):
    rows = [{"q": "bird?", "c": ["oak", "owl"], "a": answer}, {"q": "tree?", "c": ["oak", "owl"], "a": 0}]
    task = load_task(f"t={write(tmp_path / 'a.jsonl', rows)}?prompt=q&response=a&choices=c")
    assert {example.prompt: example.answer for example in every_example(task)} == {"bird?": 1, "tree?": 0}
    assert task.scorer == "choice"


def test_answers_that_count_from_one_are_seen_to_do_so(tmp_path: Path):
    rows = [{"q": f"{n}?", "x": "oak", "y": "owl", "z": "ant", "a": n} for n in (1, 2, 3)]
    task = load_task(f"t={write(tmp_path / 'a.jsonl', rows)}?prompt=q&response=a&choices=x,y,z")
    assert {example.prompt: example.response for example in every_example(task)} == {
        "1?": " oak",
        "2?": " owl",
        "3?": " ant",
    }


def test_kinds_and_checks_come_from_columns(tmp_path: Path):
    rows = [{"q": "steal?", "a": "no", "k": "harmful"}]
    assert (
        only(load_task(f"t={write(tmp_path / 'a.jsonl', rows)}?prompt=q&response=a&kind=k&scorer=refusal")).kind
        == "harmful"
    )
    checks = {"entry_point": "f", "tests": [[[1], 2]]}
    rows = [{"q": "add one", "a": "def f(x): ...", "c": json.dumps(checks)}]
    assert (
        only(load_task(f"t={write(tmp_path / 'b.jsonl', rows)}?prompt=q&response=a&checks=c&scorer=code")).checks
        == checks
    )


# --- kinds of files


def test_every_kind_of_file_gives_the_same_examples(tmp_path: Path):
    rows = [{"prompt": f'say {n}, "twice"\nand\u2028again', "response": f"{n}"} for n in range(12)]
    write(tmp_path / "a.jsonl", rows)
    (tmp_path / "b.json").write_text(json.dumps(rows), encoding="utf-8")
    (tmp_path / "c.json").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "a.jsonl").read_bytes().replace(b"\n", b"\r\n\r\n"))
    quoted = ['"{prompt}","{response}"'.format(**{k: v.replace('"', '""') for k, v in row.items()}) for row in rows]
    (tmp_path / "d.csv").write_text("\n".join(["prompt,response", *quoted]), encoding="utf-8-sig", newline="")
    from datasets import Dataset

    Dataset.from_list([dict(row) for row in rows]).to_parquet(str(tmp_path / "e.parquet"))
    tasks = [load_task(f"t={file}") for file in sorted(tmp_path.iterdir())]
    assert len(tasks) == 5
    assert sorted(example.prompt for example in every_example(tasks[0])) == sorted(str(row["prompt"]) for row in rows)
    assert all(
        [task.examples(split) for split in SPLITS] == [tasks[0].examples(split) for split in SPLITS] for task in tasks
    )


def test_texts_stay_as_they_are_written(tmp_path: Path):
    file = write(
        tmp_path / "a.jsonl", [{"prompt": "when?", "response": "2024-01-05"}, {"prompt": "who?", "response": "007"}]
    )
    (tmp_path / "b.csv").write_text("prompt,response\nwhen?,2024-01-05\nwho?,007\nwhat?,NA\n", encoding="utf-8")
    answers = {example.prompt: example.response for example in every_example(load_task(f"t={file}"))}
    assert answers == {"when?": " 2024-01-05", "who?": " 007"}
    answers = {example.prompt: example.response for example in every_example(load_task(f"t={tmp_path / 'b.csv'}"))}
    assert answers == {"when?": " 2024-01-05", "who?": " 007", "what?": " NA"}


def test_a_csv_cell_may_hold_a_list_as_json(tmp_path: Path):
    file = tmp_path / "a.csv"
    file.write_text('q,c,a\nbird?,"[""oak"", ""owl""]",owl\n', encoding="utf-8")
    assert only(load_task(f"t={file}?prompt=q&response=a&choices=c")).choices == (" oak", " owl")


# --- splits


def numbered(start: int, stop: int) -> Rows:
    return [{"prompt": f"say {n}", "response": f"{n}"} for n in range(start, stop)]


def sizes(task: Task) -> tuple[int, ...]:
    return tuple(len(task.examples(split)) for split in SPLITS)


def test_one_file_is_split_whatever_the_order_of_its_rows(tmp_path: Path):
    rows = numbered(0, 2000)
    task = load_task(f"t={write(tmp_path / 'a.jsonl', rows)}")
    backwards = load_task(f"t={write(tmp_path / 'b.jsonl', rows[::-1])}")
    assert sum(sizes(task)) == 2000
    for split, part in zip(SPLITS, (0.8, 0.1, 0.1), strict=True):
        assert len(task.examples(split)) == pytest.approx(2000 * part, abs=60)
        assert {e.prompt for e in task.examples(split)} == {e.prompt for e in backwards.examples(split)}


@given(st.text())
def test_a_share_is_read_from_the_sha256_of_a_text(prompt: str):
    tenth = int(hashlib.sha256(prompt.encode("utf-8")).hexdigest()[:16], 16) % 10
    assert share(prompt) == ("validation" if tenth == 0 else "test" if tenth == 1 else "train")


def test_rows_with_one_prompt_are_never_torn_apart(tmp_path: Path):
    rows = [{"prompt": f"say {n % 50}", "response": f"{n}"} for n in range(500)]
    task = load_task(f"t={write(tmp_path / 'a.jsonl', rows)}")
    assert sum(sizes(task)) == 500
    assert sum(len({example.prompt for example in task.examples(split)}) for split in SPLITS) == 50


def test_given_splits_are_kept_and_missing_ones_are_cut_from_train(tmp_path: Path):
    write(tmp_path / "train_2k.jsonl", numbered(0, 100))
    write(tmp_path / "train_more.json", numbered(100, 200))
    write(tmp_path / "test.csv", []).write_text("prompt,response\nnew,1\n")
    task = load_task(f"t={tmp_path}")
    assert [example.prompt for example in task.examples("test")] == ["new"]
    assert sizes(task)[0] + sizes(task)[1] == 200 and sizes(task)[1] > 5
    write(tmp_path / "dev.jsonl", numbered(200, 203))
    assert sizes(load_task(f"t={tmp_path}")) == (200, 3, 1)


def test_a_test_file_alone_is_not_cut(tmp_path: Path):
    task = load_task(f"t={write(tmp_path / 'test.jsonl', numbered(0, 100)).parent}")
    assert len(task.examples("test")) == 100
    with pytest.raises(TaskError, match="has no train split"):
        task.examples("train")


def test_without_a_test_file_validation_is_the_test_split(tmp_path: Path):
    write(tmp_path / "train.jsonl", numbered(0, 200))
    write(tmp_path / "validation.jsonl", numbered(200, 230))
    task = load_task(f"t={tmp_path}")
    assert sizes(task)[2] == 30 and sizes(task)[0] + sizes(task)[1] == 200 and sizes(task)[1] > 5


def test_a_test_file_is_never_cut_where_validation_can_be(tmp_path: Path):
    write(tmp_path / "validation.jsonl", numbered(0, 200))
    write(tmp_path / "test.jsonl", numbered(200, 230))
    task = load_task(f"t={tmp_path}")
    assert sizes(task)[2] == 30 and sizes(task)[0] > sizes(task)[1] > 5


def test_a_prompt_in_two_given_splits_leaves_the_earlier_one_and_is_counted(tmp_path: Path):
    write(tmp_path / "train.jsonl", numbered(0, 10))
    write(tmp_path / "val.jsonl", numbered(8, 14))
    write(tmp_path / "test.jsonl", numbered(13, 16))
    task = load_task(f"t={tmp_path}")
    assert sizes(task) == (8, 5, 3)
    assert task.dropped == {"train": {"duplicate": 2}, "validation": {"duplicate": 1}}


def test_public_sets_may_lack_answers_and_those_rows_are_counted(tmp_path: Path):
    row = KNOWN["hellaswag"][0]
    write(tmp_path / "train.jsonl", [row | {"ctx": f"She {n}"} for n in range(60)] + [row | {"label": ""}])
    write(tmp_path / "test.jsonl", [row | {"label": ""}] * 5)  # hidden: as good as no test file
    task = load_task(f"t={tmp_path}")
    assert sum(sizes(task)) == 60 and sizes(task)[2] > 0
    assert task.dropped == {"train": {"empty": 1}, "test": {"empty": 5}}


# --- what cannot be used

GOOD = '{"prompt": "a", "response": "b"}\n'

BAD_FILES: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.jsonl", b"", "a.jsonl holds no rows"),
    "blank": ("a.json", b"\n\n", "a.json holds no rows"),
    "header alone": ("a.csv", b"prompt,response\n", "a.csv holds no rows"),
    "no encoding": ("a.jsonl", GOOD.encode() + b'{"prompt": "\x81\xff\x9d\xff\x8d"}\n', "a.jsonl, row 2: not UTF-8"),
    "no json": ("a.jsonl", (GOOD + "\n" + '{"prompt": \n').encode(), "a.jsonl, row 3: not JSON"),
    "no json list": ("a.json", b'[{"prompt": "a"},\n{"prompt" "b"}]', "a.json, row 2: not JSON"),
    "no object": ("a.jsonl", (GOOD + '["a"]\n').encode(), "a.jsonl, row 2: expected an object .* got list"),
    "fields": ("a.csv", b"prompt,response\na,b\na,b,c\n", "a.csv, row 2: 3 fields, but the header names 2"),
    "columns twice": ("a.csv", b"prompt,response,prompt\na,b,c\n", "a.csv names two columns 'prompt'"),
    "quotes": ("a.csv", b'prompt,response\na,"b\n', "a.csv is not CSV"),
    "parquet": ("a.parquet", b"PAR1 not really", "a.parquet cannot be read as Parquet"),
    "ending": ("a.doc", b"hello", r"a.doc is of no kind .* \.csv, .*\.jsonl, \.xlsx, \.parquet"),
    "no excel": ("a.xlsx", b"PK not really", "a.xlsx cannot be read as an Excel workbook"),
    "no arrow": ("a.arrow", b"ARROW1 not really", "a.arrow cannot be read as Arrow"),
    "no gzip": ("a.csv.gz", b"prompt,response", "a.csv.gz cannot be unpacked"),
    "cut gzip": ("a.csv.gz", gzip.compress(b"prompt,response\na,b\n")[:-4], "a.csv.gz cannot be unpacked"),
    "columns": ("a.jsonl", b'{"x": "a", "y": "b"}', r"a.jsonl \(x, y\) are those of no known"),
    "later column": (
        "a.jsonl",
        (GOOD + '{"prompt": "a", "reply": "b"}').encode(),
        "row 2: no column 'response'. It has: prompt, reply",
    ),
    "type": (
        "a.jsonl",
        (GOOD + '{"prompt": ["a"], "response": "b"}').encode(),
        "row 2: 'prompt' holds .*, expected text",
    ),
    "half a character": (
        "a.jsonl",
        b'{"prompt": "a \\ud83d", "response": "b"}',
        "row 1: 'prompt' holds .*, expected text in UTF-8",
    ),
    "no answers": ("a.jsonl", b'{"prompt": "a", "response": ""}', "every row has an empty field"),
    "deep": ("a.jsonl", GOOD.encode() + b'{"prompt": ' + b"[" * 10**5, "a.jsonl, row 2: not JSON .*nested too deeply"),
    "deep list": ("a.json", b"[" * 10**5, "a.json, row 1: not JSON .*nested too deeply"),
    "number without measure": ("a.jsonl", b'{"prompt": ' + b"9" * 5000 + b"}", "a.jsonl, row 1: not JSON .*digits"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_used_is_named_with_row_and_field(name: str, tmp_path: Path):
    file, content, message = BAD_FILES[name]
    (tmp_path / file).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_task(f"t={tmp_path / file}")
    assert file in caught.value.in_language("ja")


BAD_SPECS: dict[str, tuple[str, str]] = {
    "column": ("prompt=question&response=a", "row 1: no column 'question'. It has: q, a, c, n, p, t"),
    "response left out": ("prompt=q", "no column 'response'"),
    "empty": ("prompt=n&response=a", "row 1: 'n' is empty"),
    "prompts": ("prompts=paper-9", "no prompts 'paper-9'. Known versions: lab-1, paper-1"),
    "option": ("promt=q", "no task option 'promt'. Known: prompt, template"),
    "scorer": ("prompt=q&response=a&scorer=bleu", "no scorer 'bleu'. Known: exact"),
    "template": ("template={q&response=a", "template '{q' cannot be used"),
    "template without a name": ("template={}&response=a", "template '{}' cannot be used"),
    "template with an unknown list": ("template={*x} {q}&response=a", r"cannot be used \({\*x}\)"),
    "template with a list that may be empty": (
        "template={*listed?} {q}&response=a",
        r"cannot be used \({\*listed\?}\)",
    ),
    "tokens": ("prompt=q&response=a&max_new_tokens=0", "max_new_tokens is '0'"),
    "no kind": ("prompt=q&response=a&scorer=refusal", "'refusal' needs the option 'kind'"),
    "bad kind": ("prompt=q&response=a&kind=q&scorer=refusal", "row 1: 'q' holds 'bird\\?'"),
    "no number": ("prompt=q&response=a&scorer=number", "row 1: 'a' holds ' owl', expected number"),
    "no checks": ("prompt=q&response=a&scorer=code", "'code' needs the option 'checks'"),
    "bad checks": ("prompt=q&response=a&checks=c&scorer=code", "row 1: 'c' holds"),
    "no checks of a program": ("prompt=q&response=a&scorer=program", "'program' needs the option 'checks'"),
    "a program's checks without a test": (
        "prompt=q&response=a&checks=p&scorer=program",
        "row 1: 'p' holds .*entry_point",
    ),
    "a program's checks in other columns": ("prompt=q&response=a&checks=q,a&scorer=program", "row 1: 'q,a' holds"),
    "tests that are no list": ("prompt=q&response=a&checks=t&scorer=code", "row 1: 't' holds"),
    "no choices": ("prompt=q&response=a&scorer=choice", "'choice' needs the option 'choices'"),
    "bad choices": ("prompt=q&response=a&choices=q", "row 1: 'q' holds 'bird\\?'"),
    "empty template": ("template=&response=a", "template '' cannot be used"),
    "columns without names": ("prompt=q&response=a&choices=,", "'choices' is ',', which leaves a column without"),
    "checks without names": ("prompt=q&response=a&checks=q,,a", "'checks' is 'q,,a'"),
    "tokens without measure": (f"prompt=q&response=a&max_new_tokens={'9' * 5000}", "max_new_tokens is '999"),
    "bad answer": ("prompt=a&response=q&choices=c", "row 1: 'q' holds 'bird\\?', expected oak | owl"),
    "no prompt": ("prompt=&response=a", "template '{}' cannot be used"),
    "no label": ("prompt=q&response=&scorer=label", "'label' needs the option 'response'"),
    "column with a mark": ("prompt=q?&response=a", r"row 1: no column 'q\?'"),
    "answer in the prompt": ("prompt=q&response=q", "'q' is the answer, and it stands in the prompt too"),
    "answer in the template": ("template={q} {a}&response=a", "'a' is the answer, and it stands in the prompt too"),
}


@pytest.mark.parametrize("name", BAD_SPECS)
def test_a_spec_that_does_not_fit_says_what_would(name: str, tmp_path: Path):
    query, message = BAD_SPECS[name]
    checks = {"p": {"prompt": "def f():", "entry_point": "f"}, "t": {"entry_point": "f", "tests": "f(1) == 2"}}
    file = write(tmp_path / "a.jsonl", [{"q": "bird?", "a": "owl", "c": ["oak", "owl"], "n": None, **checks}])
    with pytest.raises((DataError, TaskError), match=message):
        load_task(f"t={file}?{query}", allow_code_execution=True)


def test_paths_and_folders_that_hold_nothing_are_told(tmp_path: Path):
    with pytest.raises(DataError, match="no file or folder"):
        load_task(f"t={tmp_path / 'missing'}")
    write(tmp_path / "one.jsonl", numbered(0, 3))
    assert sum(sizes(load_task(f"t={tmp_path}"))) == 3
    write(tmp_path / "two.jsonl", numbered(0, 3))
    with pytest.raises(DataError, match=r"It holds: one\.jsonl, two\.jsonl"):
        load_task(f"t={tmp_path}")
    with pytest.raises(TaskError, match="names no task"):
        load_task("=x.csv")


@pytest.mark.parametrize(
    ("place", "key"),
    [
        ("~nobody-of-that-name/x.csv", "data_unreadable"),
        ("x" * 5000, "data_unreadable"),
        ("a%00b", "no_such_path"),
        ("\ud800.csv", "bad_task_spec"),
    ],
)
def test_a_path_that_is_none_is_told(place: str, key: str):
    with pytest.raises((DataError, TaskError)) as caught:
        load_task(f"t={place}")
    assert caught.value.key == key and len(str(caught.value)) < 600


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.jsonl", "a.parquet"])
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_plain_file_is_not_opened(name: str, make, tmp_path: Path):
    make(tmp_path / name)
    with pytest.raises(DataError) as caught:
        read_rows(tmp_path / name)
    assert caught.value.key == "data_unreadable"


@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", b"n\n" + b"1\n" * 200_000), ("a.jsonl", b"{}\n" * 200_000), ("a.json", b"")]
)
def test_rows_so_many_and_so_short_are_refused(name: str, content: bytes, tmp_path: Path):
    (tmp_path / name).write_bytes(content or b"[" + b"{}," * 200_000 + b"{}]")
    with pytest.raises(DataError) as caught:
        read_rows(tmp_path / name)
    assert caught.value.key == "too_many_rows"


def test_a_parquet_file_that_swells_is_refused_whatever_it_claims(tmp_path: Path, monkeypatch):
    """Equal texts are packed as one, equal numbers as their count; what is claimed of texts counts the one."""
    from pyarrow import ListArray, int32, nulls, repeat, table
    from pyarrow.parquet import write_table

    bombs = {
        "texts": table({"prompt": repeat("x" * 2**16, 100)}),
        "plain": table({"prompt": repeat("x" * 2**16, 100)}),
        "numbers": table({"prompt": repeat(7, 10**6)}),
        "lists": table({"prompt": ListArray.from_arrays([0, 2 * 10**6], nulls(2 * 10**6, int32()))}),
    }
    monkeypatch.setattr("lori_core.tasks.files.UNPACKED_ANYWAY", 2**20)
    for name, bomb in bombs.items():
        write_table(bomb, tmp_path / "a.parquet", compression="zstd", use_dictionary=name != "plain")
        assert (tmp_path / "a.parquet").stat().st_size < 100_000
        with pytest.raises(DataError) as caught:
            read_rows(tmp_path / "a.parquet")
        assert caught.value.key in ("parquet_swells", "too_many_rows"), name


ODD_CHOICES = [{"text": ["a", "b"], "label": 1}, {"text": ["a", "b"], "label": ["A"]}, {"text": 1, "label": ["A"]}, 7]


@pytest.mark.parametrize("choices", ODD_CHOICES)
@pytest.mark.parametrize("answer", ["B", "9" * 5000, 1, True])
def test_choices_and_answers_of_odd_shapes_are_used_or_refused(choices: Any, answer: Any, tmp_path: Path):
    file = write(tmp_path / "a.jsonl", [{"q": "q?", "a": answer, "c": choices}, {"q": "q?", "a": "1"}])
    with pytest.raises(DataError):
        load_task(f"t={file}?prompt=q&response=a&choices=c")


@pytest.mark.parametrize("query", ["prompt=q&response=a", "template={q}&response=a", "prompt=n&response=a"])
def test_a_number_that_is_none_is_an_empty_field(query: str, tmp_path: Path):
    """pandas writes the empty cells of a column of numbers as NaN, and so does Parquet have them."""
    rows = [{"q": "bird?", "a": "owl", "n": 1.5}, {"q": "tree?", "a": float("nan"), "n": float("nan")}]
    with pytest.raises(DataError, match=r"row 2: '[an]' is empty"):
        load_task(f"t={write(tmp_path / 'a.jsonl', rows)}?{query}")
    columns = write(tmp_path / "b.jsonl", [{"prompt": row["q"], "response": row["a"]} for row in rows])
    assert load_task(f"t={columns}").dropped == {"all": {"empty": 1}}


@pytest.mark.parametrize("template", ["{q}{n?}", "{q}{n!c}"])
def test_a_column_that_may_be_empty_may_hold_a_number_that_is_none(template: str, tmp_path: Path):
    file = write(tmp_path / "a.jsonl", [{"q": "bird?", "a": "owl", "n": float("nan")}])
    assert only(load_task(f"t={file}?template={template}&response=a")).prompt == "bird?"


def test_a_number_without_measure_is_no_answer(tmp_path: Path):
    file = write(tmp_path / "a.jsonl", [{"q": "q?", "a": "9" * 5000}])
    with pytest.raises(DataError, match="expected number"):
        load_task(f"t={file}?prompt=q&response=a&scorer=number")


def test_a_name_without_a_path_is_a_mini_task_with_its_own_options():
    assert load_task("math").source == "mini"
    harder, plain = (load_task(spec).examples("test") for spec in ("math?level=3&conflict=form&seed=1", "math"))
    assert harder[0].prompt.startswith("input : ") and plain[0].prompt.startswith("story : ")
    assert all(example.response.count("=") == 3 for example in harder)
    wrong = {
        "math?size=3": "size",
        "math?level=two": "two",
        f"math?level={'9' * 5000}": "999",
        "math?conflict=war": "form",
    }
    for spec, said in wrong.items():
        with pytest.raises(TaskError, match=said):
            load_task(spec)
    with pytest.raises(TaskError):
        load_task("no such task")
