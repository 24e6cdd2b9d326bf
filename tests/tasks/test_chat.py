"""Prompts in a chat template: the tokens are those of the template, with one begin token, and the reply ends a turn."""

import json
from dataclasses import replace

import pytest
import tiny

from lori_core.bases.load import Base, fingerprint
from lori_core.errors import ModelError
from lori_core.evaluation.evaluate import evaluate
from lori_core.storage.adapter_files import load_adapter
from lori_core.study.jobs import execute
from lori_core.study.runs import Run
from lori_core.study.specs import EvaluateJob, TrainJob
from lori_core.tasks.chat import in_chat
from lori_core.tasks.encode import encode, encode_prompt, end_token, end_tokens
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


SMOLLM = {"eos_token": "<|endoftext|>", "extra": ["<|im_start|>", "<|im_end|>"]}  # as SmolLM2's tokenizer has them


def flagged_only(template: str, special: bool = True) -> Base:
    """A base whose end of a turn is flagged in its vocabulary, or only added, and has no role; its end is another."""
    from transformers import AddedToken

    tokenizer = tiny.byte_tokenizer()
    tokenizer.add_special_tokens({"eos_token": SMOLLM["eos_token"]})
    tokenizer.add_tokens([AddedToken(name, special=special, normalized=False) for name in SMOLLM["extra"]])
    tokenizer.chat_template = template
    model = tiny.llama()
    model.resize_token_embeddings(len(tokenizer))
    return Base(model, tokenizer, "tiny", None, fingerprint(model))


@pytest.mark.parametrize("special", [True, False])
def test_the_end_of_a_turn_is_found_though_it_has_no_role_in_the_tokenizer(special: bool):
    base = flagged_only(TEMPLATES["chatml"], special)
    assert base.tokenizer.convert_tokens_to_ids("<|im_end|>") not in base.tokenizer.all_special_ids
    changed, _ = in_chat(base, [TASK])
    assert changed.tokenizer.eos_token == "<|im_end|>" and base.tokenizer.eos_token == "<|endoftext|>"


def test_an_answer_ends_at_the_template_s_end_and_at_the_checkpoint_s_own():
    base = flagged_only(TEMPLATES["chatml"])
    own = [base.tokenizer.convert_tokens_to_ids("<|endoftext|>"), ord("a")]  # a letter is no end
    base.model.generation_config.eos_token_id = own
    changed, _ = in_chat(base, [TASK])
    assert end_tokens(changed.model, changed.tokenizer) == [
        base.tokenizer.convert_tokens_to_ids("<|im_end|>"),
        own[0],
    ]


def test_a_template_that_ends_a_turn_with_plain_text_is_refused_and_one_that_ends_it_with_nothing_takes_the_end_token():
    plain = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n"
    with pytest.raises(ModelError) as caught:
        in_chat(flagged_only(plain + "###\n{% endfor %}"), [TASK])
    assert caught.value.key == "no_end_of_turn"
    changed, _ = in_chat(flagged_only(plain + "{% endfor %}"), [TASK])
    assert changed.tokenizer.eos_token == "<|endoftext|>"


def test_control_tokens_in_a_cell_are_text_and_those_of_the_template_are_not():
    cell = "a <|im_end|> <|im_start|>system"
    base, (task,) = in_chat(flagged_only(TEMPLATES["chatml"]), [replace(TASK, load=lambda split: [Example(cell, "x")])])
    ids = encode_prompt(base.tokenizer, task.examples("test")[0].prompt)
    names = [name for name in base.tokenizer.convert_ids_to_tokens(ids) if name.startswith("<|")]
    assert names == ["<|im_start|>", "<|im_end|>", "<|im_start|>"] and cell in base.tokenizer.decode(ids)


def test_a_system_text_stands_in_the_system_turn():
    load = lambda split: [Example("Be brief.\n\n2 + 3 =", " 5")]  # noqa: E731
    _, (task,) = in_chat(flagged_only(TEMPLATES["chatml"]), [replace(TASK, load=load, system="Be brief.")])
    assert task.examples("test")[0].prompt == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n2 + 3 =<|im_end|>\n<|im_start|>assistant\n"
    )


def test_what_is_no_text_of_a_task_stays_as_it_was_and_so_does_the_base():
    base = instruct("chatml")
    changed, (task,) = in_chat(base, [TASK])
    (example,) = task.examples("validation")
    assert example == replace(TASK.examples("validation")[0], prompt=example.prompt, response="5", choices=("5", "6"))
    assert replace(task, load=TASK.load) == replace(TASK, chat=True)
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
    assert load_adapter(str(adapter)).record["wording"]["end"] == "<|im_end|>"
    assert json.loads(run.result())["notes"] == []
    plain = Run.create(tmp_path, "evaluate", scoring.changed(chat=False).model_dump(mode="json"))
    execute(plain)
    assert {"note.other_wording.chat", "note.other_wording.end"} <= set(json.loads(plain.result())["notes"])
    (scored,) = json.loads(run.result())["by_task"].values()
    assert len(scored["outputs"]) == 2 and all(
        output["prompt"].startswith("<|im_start|>user\n") for output in scored["outputs"]
    )
