"""What the pages of a lab call at a click: their handlers, to be called as gradio calls them, without a browser."""

import asyncio
from collections.abc import Callable
from typing import Any

import gradio as gr

from app.lab import Context
from app.main import pages


def built(page: Context) -> gr.Blocks:
    """All pages; where no event loop runs, gradio makes some and closes none."""

    async def building() -> gr.Blocks:
        return pages(page)

    return asyncio.run(building())


def handlers(blocks: gr.Blocks, name: str) -> list[Callable[..., Any]]:
    """Those of that name, as "app.pages.runs.build.<locals>.look", or an end of it, each once, in the pages' order."""
    found = dict.fromkeys(each.fn for each in blocks.fns.values() if each.fn is not None)
    return [fn for fn in found if f".{_full_name(fn)}".endswith(f".{name}")]


def _full_name(fn: Callable[..., Any]) -> str:
    return f"{fn.__module__}.{getattr(fn, '__qualname__', '')}"
