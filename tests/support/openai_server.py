"""A small OpenAI-compatible server over transformers models, as vLLM answers: real HTTP, real tokenizers."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI, HTTPException
from torch import Tensor
from transformers import PreTrainedTokenizerBase

Model = Callable[[Sequence[int]], Tensor]  # token ids -> (vocabulary,) nats of the next one


@contextmanager
def openai_server(
    tokenizer: PreTrainedTokenizerBase, models: Mapping[str, Model], parent: str | None = None, most: int = 20
) -> Iterator[str]:
    """Its address.

    Args:
        parent: what the cards of the other models name as their base, as vLLM's do.
        most: log-probabilities that it tells of one token; who asks for more is refused.
    """
    app = FastAPI()

    @app.get("/v1/models")
    def list_models() -> Any:
        cards = [{"id": name, "parent": parent if name != parent else None} for name in models]
        return {"object": "list", "data": cards}

    def told(asked: Mapping[str, Any], ids: Sequence[int], wanted: int) -> dict[str, float]:
        if asked["model"] not in models:
            raise HTTPException(404, f"no model {asked['model']}")
        if wanted > most:
            raise HTTPException(400, f"at most {most} logprobs")
        nats, likeliest = models[asked["model"]](ids).topk(wanted)
        by_id = asked.get("return_tokens_as_token_ids")
        names = [f"token_id:{number}" if by_id else str(tokenizer.decode([number])) for number in likeliest.tolist()]
        return dict(zip(names, nats.tolist(), strict=True))

    @app.post("/v1/completions")
    def complete(asked: dict[str, Any]) -> Any:
        tops = told(asked, tokenizer(asked["prompt"])["input_ids"], asked["logprobs"])
        return {"choices": [{"text": "", "logprobs": {"tokens": [next(iter(tops))], "top_logprobs": [tops]}}]}

    @app.post("/v1/chat/completions")
    def chat(asked: dict[str, Any]) -> Any:
        if not tokenizer.chat_template:
            raise HTTPException(400, "no chat template")
        text = str(tokenizer.apply_chat_template(asked["messages"], tokenize=False, add_generation_prompt=True))
        tops = told(asked, tokenizer(text, add_special_tokens=False)["input_ids"], asked["top_logprobs"])
        content = [{"top_logprobs": [{"token": token, "logprob": nats} for token, nats in tops.items()]}]
        return {"choices": [{"message": {"content": ""}, "logprobs": {"content": content}}]}

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        for _ in range(6000):  # as long as a minute
            if server.started:
                break
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def answering(model: Any) -> Model:
    """The model as it is now."""

    @torch.no_grad()
    def next_token(ids: Sequence[int]) -> Tensor:
        return model(torch.tensor([list(ids)])).logits[0, -1].float().log_softmax(-1)

    return next_token
