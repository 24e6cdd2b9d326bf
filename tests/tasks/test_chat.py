"""Prompts in a chat template: the tokens are those of the template, with one begin token, and the reply ends a turn."""

import json
from dataclasses import replace

import pytest
import tiny

from lori_core.bases.load import Base, fingerprint
from lori_core.errors import ModelError
from lori_core.evaluation.evaluate import evaluate
from lori_core.study.jobs import execute
from lori_core.study.runs import Run
from lori_core.study.specs import EvaluateJob, TrainJob
from lori_core.tasks.chat import in_chat
from lori_core.tasks.encode import encode, encode_prompt, end_token
from lori_core.tasks.task import Example, Task

pytestmark = pytest.mark.usefixtures("processor")

# As the published ones: who speaks between marks, trimmed content, some with a begin token.
TEMPLATES = {
    "chatml": (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
    "with a begin token": (
        "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n\n{{ m.content }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n\n{% endif %}"
    ),
    "that thinks unless told not to": (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n"
        "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
    ),
}
TASK = Task(
    "sums", lambda split: [Example("2 + 3 =", " 5", choices=(" 5", " 6"), answer=0, kind=split)], "exact", notes=("n",)
)


def instruct(template: str, adds_begin: bool = False) -> Base:
    """A tiny model whose tokenizer has a chat template; adds_begin: its tokenizer puts <begin> before every text."""
    tokenizer = tiny.byte_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<begin>", "additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    if adds_begin:
        tokenizer._tokenizer.post_processor = begins_with(tokenizer.bos_token_id)  # type: ignore
    tokenizer.chat_template = TEMPLATES[template]
    model = tiny.llama()
    model.resize_token_embeddings(len(tokenizer))
    return Base(model, tokenizer, "tiny", None, fingerprint(model))


def begins_with(token: int):
    from tokenizers.processors import TemplateProcessing

    return TemplateProcessing(single="<begin> $A", special_tokens=[("<begin>", token)])


@pytest.mark.parametrize("adds_begin", [False, True])
@pytest.mark.parametrize("template", TEMPLATES)
def test_the_model_reads_the_very_tokens_of_the_template(template, adds_begin):
    base, (task,) = in_chat(instruct(template, adds_begin), [TASK])
    (example,) = task.examples("test")
    expected = base.tokenizer.apply_chat_template(
        [{"role": "user", "content": "2 + 3 ="}], add_generation_prompt=True, enable_thinking=False, return_dict=False
    )
    ids = encode_prompt(base.tokenizer, example.prompt)
    begins = sum(token == base.tokenizer.bos_token_id for token in ids)
    assert ids[begins:] == [token for token in expected if token != base.tokenizer.bos_token_id]
    assert begins == (adds_begin or template == "with a begin token")


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_reply_is_taught_to_end_as_the_template_ends_a_turn(template):
    base, (task,) = in_chat(instruct(template), [TASK])
    encoded = encode(base.tokenizer, task.examples("train")[0], 200)
    assert encoded is not None
    assert base.tokenizer.decode(encoded.input_ids[encoded.prompt_length :]) == "5<|im_end|>"
    assert base.tokenizer.convert_ids_to_tokens(end_token(base.tokenizer)) == "<|im_end|>"


def test_what_is_no_text_of_a_task_stays_as_it_was_and_so_does_the_base():
    base = instruct("chatml")
    changed, (task,) = in_chat(base, [TASK])
    (example,) = task.examples("validation")
    assert example == replace(TASK.examples("validation")[0], prompt=example.prompt, response="5", choices=("5", "6"))
    assert replace(task, load=TASK.load) == TASK
    _, (reply,) = in_chat(base, [replace(TASK, stop=("\ndef",))])
    assert reply.stop == ()  # a reply may be a whole program
    assert base.tokenizer.eos_token == "<end>" and changed.model is base.model


def test_a_tokenizer_without_a_template_is_refused():
    with pytest.raises(ModelError) as caught:
        in_chat(tiny.base(), [TASK])
    assert caught.value.key == "no_chat_template"


@pytest.mark.parametrize(
    "template", ["{{ raise_exception('only images') }}", "{% for m in %}", "{{ messages[9].role.x }}"]
)
def test_a_template_that_cannot_be_rendered_is_refused(template):
    base = instruct("chatml")
    base.tokenizer.chat_template = template
    with pytest.raises(ModelError) as caught:
        in_chat(base, [TASK])
    assert caught.value.key == "chat_template"


def test_an_answer_that_ends_its_turn_is_scored_without_the_mark():
    base, (task,) = in_chat(instruct("chatml"), [TASK])
    evaluation = evaluate(base.model, base.tokenizer, task, limit=1)
    assert evaluation.outputs[0].prompt.startswith("<|im_start|>user\n2 + 3 =<|im_end|>")
    assert "<|im_end|>" not in evaluation.outputs[0].output


def test_a_job_that_asks_for_chat_trains_and_scores_in_it(tmp_path):
    base = instruct("chatml")
    folder = tmp_path / "base"
    base.model.save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)
    rows = "".join(f'{{"q": "{i} + 1 =", "a": "{i + 1}"}}\n' for i in range(40))
    (tmp_path / "sums.jsonl").write_text(rows)
    spec = f"sums={tmp_path / 'sums.jsonl'}?prompt=q&response=a"
    named = {"base": str(folder), "device": "cpu", "precision": "fp32", "chat": True}
    settings = tiny.by_method(steps=2, max_length=96)
    job = TrainJob(task=spec, method="lori_d", adapter=tiny.CONFIG, train=settings, test_examples=2, **named)
    adapter = execute(Run.create(tmp_path, "train", job.model_dump(mode="json")))
    scoring = EvaluateJob(tasks=(spec,), limit=2, adapter=str(adapter), **named)
    run = Run.create(tmp_path, "evaluate", scoring.model_dump(mode="json"))
    execute(run)
    (scored,) = json.loads(run.result())["by_task"].values()
    assert len(scored["outputs"]) == 2 and all(
        output["prompt"].startswith("<|im_start|>user\n") for output in scored["outputs"]
    )
