"""A real language model end to end: SmolLM2-135M-Instruct, 30 layers, its own tokenizer and chat template."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from torch import Tensor

from lori_core.bases.attach import applied
from lori_core.bases.load import Base, load_base, target_modules
from lori_core.bases.merged_base import export_merged_base
from lori_core.config import AdapterConfig, AdapterMethod, TrainConfig
from lori_core.evaluation.answers import stream_answer
from lori_core.evaluation.evaluate import evaluate
from lori_core.method.adapter import check_base
from lori_core.method.masks import kept_count
from lori_core.method.merge import merge
from lori_core.storage.peft import export_peft, import_peft
from lori_core.tasks.chat import in_chat
from lori_core.tasks.encode import encode, encode_prompt
from lori_core.tasks.registry import load_task
from lori_core.tasks.task import Example, Task
from lori_core.training.learn import Learned, learn

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing. is deprecated:FutureWarning")  # PEFT asks
CONFIG = AdapterConfig(rank=4, sparsity=0.9)
ONE_STEP = TrainConfig(learning_rate=1e-3, steps=1, batch_size=2, max_length=128, warmup_steps=0)
PROMPT = "The capital of France is"


@pytest.fixture(scope="module")
def task() -> Task:
    return load_task("math")


@pytest.fixture(scope="module")
def learned(smollm2: Base, task: Task) -> Mapping[AdapterMethod, Learned]:
    methods: tuple[AdapterMethod, ...] = ("lora", "lori_d", "lori_s")
    settings = {"lora": ONE_STEP, "lori_d": ONE_STEP, "lori_s": ONE_STEP}
    return {method: learn(smollm2, task, method, CONFIG, settings) for method in methods}  # pyright: ignore[reportArgumentType]


def logits(base: Base) -> Tensor:
    with torch.no_grad():
        return base.model(torch.tensor([encode_prompt(base.tokenizer, PROMPT)])).logits


def test_it_loads_whole_and_knows_the_capital_of_france(smollm2):
    shapes = target_modules(smollm2.model)
    assert len(shapes) == 30 * 7 and shapes["model.layers.29.mlp.down_proj"] == (576, 1536)
    assert (smollm2.stored_as, smollm2.quantization) == ("Q4_1", None)
    *_, answer = stream_answer(smollm2.model, smollm2.tokenizer, PROMPT, 2)
    assert answer.startswith(" Paris")


def test_its_tokenizer_gives_back_what_it_took_and_ends_a_response(smollm2, task):
    for text in ("12 + 30 = 42", "def f(x):\n    return x", "計算 é \U0001f600"):
        assert smollm2.tokenizer.decode(encode_prompt(smollm2.tokenizer, text)) == text
    example = task.examples("train")[0]
    encoded = encode(smollm2.tokenizer, example, 128)
    assert encoded is not None and encoded.input_ids[-1] == smollm2.tokenizer.eos_token_id
    assert smollm2.tokenizer.decode(encoded.input_ids[encoded.prompt_length : -1]) == example.response


def test_each_method_takes_a_step_that_changes_what_the_model_says(smollm2, learned):
    plain = logits(smollm2)
    for each in learned.values():
        check_base(each.adapter, smollm2.record)
        with applied(smollm2.model, each.adapter):
            assert (logits(smollm2) - plain).abs().max() > 1e-3
    assert torch.equal(logits(smollm2), plain)


def test_the_mask_keeps_exactly_its_share_over_all_layers(learned):
    masks = learned["lori_s"].adapter.masks
    assert sum(int(mask.sum()) for mask in masks.values()) == kept_count(sum(m.numel() for m in masks.values()), 0.9)
    assert learned["lori_s"].adapter.trained_parameters < 0.11 * learned["lori_d"].adapter.trained_parameters


def test_merged_adapters_do_what_both_do(smollm2, learned):
    parts = [learned["lori_d"].adapter, learned["lori_s"].adapter]
    merged = merge(parts, "concat", [0.5, 0.5], "both")
    for module in ("model.layers.0.self_attn.q_proj", "model.layers.29.mlp.down_proj"):
        expected = sum(0.5 * part.factors[module].update for part in parts)
        torch.testing.assert_close(merged.factors[module].update, expected)
    with applied(smollm2.model, merged):
        assert logits(smollm2).isfinite().all()


def test_peft_opens_the_export_and_what_comes_back_computes_the_same(smollm2, learned, tmp_path):
    adapter = learned["lori_s"].adapter
    export_peft(adapter, tmp_path / "out")
    with applied(smollm2.model, adapter):
        ours = logits(smollm2)
    again = import_peft(tmp_path / "out")
    with applied(smollm2.model, again):
        torch.testing.assert_close(logits(smollm2), ours, rtol=1e-4, atol=1e-3)
    theirs = PeftModel.from_pretrained(smollm2.model, str(tmp_path / "out")).eval()
    try:
        ids = torch.tensor([encode_prompt(smollm2.tokenizer, PROMPT)])
        with torch.no_grad():
            torch.testing.assert_close(theirs(ids).logits, ours, rtol=1e-4, atol=1e-3)
    finally:
        theirs.unload()  # puts its layers out of the model that the other tests go on with


def test_the_base_with_the_adapter_in_it_is_written_as_safetensors_and_loads_again(smollm2, learned, tmp_path):
    adapter = learned["lori_d"].adapter
    with applied(smollm2.model, adapter):
        beside = logits(smollm2)
    drift = export_merged_base(smollm2, adapter, tmp_path / "out", [PROMPT])
    again = load_base(str(tmp_path / "out"), device="cpu", dtype="fp32")
    torch.testing.assert_close(logits(again), beside, rtol=1e-4, atol=1e-3)
    assert drift.kl < 1e-6 and again.stored_as is None
    assert again.tokenizer.chat_template == smollm2.tokenizer.chat_template
    assert encode_prompt(again.tokenizer, "12 + 30, é") == encode_prompt(smollm2.tokenizer, "12 + 30, é")


def test_its_chat_template_wraps_prompts_and_it_answers_and_ends_its_turn(smollm2, task):
    base, (wrapped,) = in_chat(smollm2, [task])
    example = wrapped.examples("test")[0]
    assert example.prompt.endswith("<|im_end|>\n<|im_start|>assistant\n")
    assert task.examples("test")[0].prompt in example.prompt
    france = replace(task, load=lambda split: [Example("What is the capital of France?", " Paris")])
    base, (asked,) = in_chat(smollm2, [france])
    answer = [*stream_answer(base.model, base.tokenizer, asked.examples("test")[0].prompt, 32)]
    assert "Paris" in answer[-1] and len(answer) < 32  # the end token came by itself


def test_it_is_scored_on_a_task_with_an_adapter(smollm2, task, learned):
    with applied(smollm2.model, learned["lora"].adapter):
        scored = evaluate(smollm2.model, smollm2.tokenizer, task, limit=4)
    assert scored.score.n == len(scored.outputs) == 4 and scored.too_long == 0
