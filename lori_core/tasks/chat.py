r"""Tasks for an instruct model: a prompt becomes a user's turn in the tokenizer's chat template, a response the reply.

    question : 2 + 3 ?      ->      <|im_start|>user\nquestion : 2 + 3 ?<|im_end|>\n<|im_start|>assistant\n

What is wrapped is the task, so training and scoring read the same prompts, and the outputs that are kept show them.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from lori_core.bases.load import Base
from lori_core.errors import ModelError
from lori_core.tasks.task import Example, Task

_REPLY = "reply"  # stands for any reply, where only what follows it matters


def in_chat(base: Base, tasks: Sequence[Task]) -> tuple[Base, tuple[Task, ...]]:
    """The base, its tokenizer ending a response as its template ends a turn, and the tasks wrapped by the template.

    Raises:
        ModelError: the tokenizer has no chat template, or it cannot render a question and a reply.
    """
    tokenizer = copy.deepcopy(base.tokenizer)
    if not tokenizer.chat_template:
        raise ModelError("no_chat_template", name=base.name)
    try:
        if end := _end_of_turn(tokenizer):
            tokenizer.eos_token = end
    except TemplateError as error:
        raise ModelError("chat_template", name=base.name, reason=str(error)) from error
    return replace(base, tokenizer=tokenizer), tuple(_wrapped(task, tokenizer) for task in tasks)


def _wrapped(task: Task, tokenizer: PreTrainedTokenizerBase) -> Task:
    # A reply may be a whole program: what ends a text that goes on with its prompt ends no reply.
    return replace(task, load=lambda split: [_in_turns(each, tokenizer) for each in task.load(split)], stop=())


def _in_turns(example: Example, tokenizer: PreTrainedTokenizerBase) -> Example:
    """The space that parts a response from a plain prompt is left out: a reply begins a line."""
    return replace(
        example,
        prompt=_user_turn(tokenizer, example.prompt),
        response=example.response.lstrip(),
        choices=tuple(choice.lstrip() for choice in example.choices),
    )


def _user_turn(tokenizer: PreTrainedTokenizerBase, prompt: str) -> str:
    """As text without the begin token where the tokenizer adds one itself."""
    text = _render(tokenizer, [{"role": "user", "content": prompt}], add_generation_prompt=True)
    begin = tokenizer.bos_token
    adds_begin = begin is not None and list(tokenizer("")["input_ids"])[:1] == [tokenizer.bos_token_id]
    return text.removeprefix(str(begin)) if adds_begin else text


def _end_of_turn(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The special token that follows a reply: <|im_end|>, <|eot_id|>, <end_of_turn> ...; often not the end token."""
    turns = [{"role": "user", "content": "question"}, {"role": "assistant", "content": _REPLY}]
    after = _render(tokenizer, turns).rpartition(_REPLY)[2]
    ids = tokenizer(after, add_special_tokens=False)["input_ids"]
    special = [each for each in ids if each in tokenizer.all_special_ids]
    return str(tokenizer.convert_ids_to_tokens(special[0])) if special else None


def _render(tokenizer: PreTrainedTokenizerBase, turns: list[dict[str, str]], **options: Any) -> str:
    # Templates of models that think before they answer know enable_thinking; the others do not look at it.
    return str(tokenizer.apply_chat_template(turns, tokenize=False, enable_thinking=False, **options))
