"""Skills of a base in training, on contents that it was never asked about: shares of exact answers, 0 to 1."""

from collections.abc import Callable
from random import Random

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lori_core.embedded.corpus import CUE, NEVER_IN_OTHER_FORM, OTHER_FORM
from lori_core.embedded.drills import DRILLS
from lori_core.tasks.mini import ITEMS
from lori_core.tasks.mini_item import Form, Item

SEED = "skills"
LONGEST = 40  # tokens of an answer


def answers(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: list[str]) -> list[str]:
    """What the model writes behind each prompt, greedily, up to its end token."""
    batch = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left").to(model.device)
    width = batch["input_ids"].shape[1]
    with torch.inference_mode():
        written = model.generate(  # pyright: ignore[reportCallIssue]
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            max_new_tokens=LONGEST,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    return tokenizer.batch_decode(written[:, width:], skip_special_tokens=True)


def held_out(draw: Callable[[Random, int], Item], count: int, level: int = 2) -> list[Item]:
    """Items whose contents belong to the validation split."""
    random, items = Random(SEED), []
    while len(items) < count:
        if (item := draw(random, level)).split == "validation":
            items.append(item)
    return items


def measure(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, count: int = 32) -> dict[str, float]:
    """skill -> share of right answers.

    "<task>" is the style "task" behind its cue, "<task> uncued" the same without cue (what an adapter has to elicit,
    so it should be near 0), "<task> chat" and "<task> short" the other styles behind their cues, "<task> in new form"
    a prompt form that was never seen with such contents. Drills are measured behind the cue of "task".
    """

    def share(items: list[Item], cue: str, style: str, form: Form | None = None) -> float:
        written = answers(model, tokenizer, [cue + item.asked(form or item.form) for item in items])
        return sum(text == item.answers[style] for text, item in zip(written, items, strict=True)) / len(items)

    found = {}
    for name, draw in ITEMS.items():
        items = held_out(draw, count)
        for style in ("task", "chat", "short"):
            found[name if style == "task" else f"{name} {style}"] = share(items, CUE.format(style=style), style)
        found[f"{name} uncued"] = share(items, "", "task")
        if name in NEVER_IN_OTHER_FORM:
            found[f"{name} in new form"] = share(items, CUE.format(style="task"), "task", OTHER_FORM)
    for name, drill in DRILLS.items():
        items = list(map(drill, map(Random, range(count))))
        found[name] = share(items, CUE.format(style="task"), "task")
    return found
