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
from lori_core.tasks.encode import control_tokens, own_ends
from lori_core.tasks.task import Example, Prompt, Task, Turn

_SAID = "what-is-said"  # stands for anything said, where only what stands around it matters


def in_chat(base: Base, tasks: Sequence[Task]) -> tuple[Base, tuple[Task, ...]]:
    """The base, its tokenizer ending a response as its template ends a turn, and the tasks wrapped by the template.

    Raises:
        ModelError: the tokenizer has no chat template, it cannot render a question and a reply or a task's system
            text, or it ends a turn with no token.
    """
    tokenizer = copy.deepcopy(base.tokenizer)
    if not tokenizer.chat_template:
        raise ModelError("no_chat_template", name=base.name)
    try:
        if (end := _end_of_turn(base)) is None:
            raise ModelError("no_end_of_turn", name=base.name)
        tokenizer.eos_token = end
        for system in {task.system for task in tasks} - {""}:
            _user_turn(tokenizer, "question", system)
    except TemplateError as error:
        raise ModelError("chat_template", name=base.name, reason=str(error)) from error
    return replace(base, tokenizer=tokenizer), tuple(_wrapped(task, tokenizer) for task in tasks)


def _wrapped(task: Task, tokenizer: PreTrainedTokenizerBase) -> Task:
    """A reply may be a whole program: what ends a text that goes on with its prompt ends no reply."""

    def load(split: str) -> list[Example]:
        return [_in_turns(each, tokenizer, task.system) for each in task.load(split)]

    return replace(task, load=load, stop=(), chat=True)


def _in_turns(example: Example, tokenizer: PreTrainedTokenizerBase, system: str) -> Example:
    """The space that parts a response from a plain prompt is left out: a reply begins a line."""
    return replace(
        example,
        prompt=_user_turn(tokenizer, example.prompt, system),
        response=example.response.lstrip(),
        choices=tuple(choice.lstrip() for choice in example.choices),
    )


def _user_turn(tokenizer: PreTrainedTokenizerBase, prompt: str, system: str) -> Prompt:
    """As text without the begin token where the tokenizer adds one itself; the system text, if any, in its own turn."""
    if isinstance(prompt, Prompt) and prompt.turns:
        return _conversation(tokenizer, prompt.turns)
    asked = prompt.removeprefix(f"{system}\n\n") if system else prompt
    turns = [{"role": "system", "content": system}] if system else []
    text = _render(tokenizer, [*turns, {"role": "user", "content": asked}], add_generation_prompt=True)
    opening = _render(tokenizer, [*turns, {"role": "user", "content": _SAID}], add_generation_prompt=True)
    text, opening = _without_begin(tokenizer, text), _without_begin(tokenizer, opening)
    head, _, tail = opening.partition(_SAID)
    return Prompt(text, [(len(head), len(text) - len(tail))])


def _conversation(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Turn]) -> Prompt:
    said = [{"role": role, "content": content} for role, content in turns]
    text = _without_begin(tokenizer, _render(tokenizer, said, add_generation_prompt=True))
    data, start = [], 0
    for _, content in turns:  # templates trim what is said
        if (at := text.find(content.strip(), start)) >= 0:
            start = at + len(content.strip())
            data.append((at, start))
    return Prompt(text, data)


def _without_begin(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """Without the begin token, where the tokenizer adds one itself."""
    adds = tokenizer.bos_token is not None and list(tokenizer("")["input_ids"])[:1] == [tokenizer.bos_token_id]
    return text.removeprefix(str(tokenizer.bos_token)) if adds else text


def _end_of_turn(base: Base) -> str | None:
    """The token that follows a reply: <|im_end|>, <|eot_id|>, <end_of_turn> ...; often not the end token.

    It may be flagged as special, be among the checkpoint's own ends, or only have been added to the vocabulary. A
    template that writes nothing after a reply leaves the end to the tokenizer's.
    """
    tokenizer = base.tokenizer
    turns = [{"role": "user", "content": "question"}, {"role": "assistant", "content": _SAID}]
    after = _render(tokenizer, turns).rpartition(_SAID)[2]
    if not after.strip():
        return None if tokenizer.eos_token is None else str(tokenizer.eos_token)
    ids = tokenizer(after, add_special_tokens=False)["input_ids"]
    known = {*control_tokens(tokenizer).values(), *tokenizer.added_tokens_decoder, *own_ends(base.model)}
    ends = [id for id in ids if id in known]
    return str(tokenizer.convert_ids_to_tokens(ends[0])) if ends else None


def _render(tokenizer: PreTrainedTokenizerBase, turns: list[dict[str, str]], **options: Any) -> str:
    # Templates of models that think before they answer know enable_thinking; the others do not look at it.
    return str(tokenizer.apply_chat_template(turns, tokenize=False, enable_thinking=False, **options))
