"""Measuring footprints: one forward pass of the base over some examples of a task, or over any text."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor

from lori_core.bases.attach import applied
from lori_core.bases.inputs import in_batches, listening
from lori_core.bases.load import Base, target_modules
from lori_core.errors import DataError
from lori_core.method.adapter import Adapter
from lori_core.method.footprint import EXACT, Footprint, Moments, moments_of, random_rows
from lori_core.tasks.encode import sampled
from lori_core.tasks.task import Task, fingerprint
from lori_core.tasks.wording import wording_of

EXAMPLES = 128  # of the training split


def task_footprint(
    base: Base,
    task: Task,
    modules: Sequence[str] = (),
    *,
    adapter: Adapter | None = None,
    examples: int = EXAMPLES,
    directions: int = 256,
    seed: int = 0,
    max_length: int = 512,
) -> Footprint:
    """What a task's training examples, prompt and response, feed into the modules.

    Args:
        adapter: in place while they are read; None: the bare base.
        modules: as target_modules() takes them; empty: those of the architecture.
        directions: of inputs wider than EXACT; one that is not wider than that has its whole C too.
        seed: draws the examples.
    Raises:
        DataError: no example is within max_length.
    """
    sequences = sampled(base.tokenizer, task, "train", examples, seed, max_length)
    record = {
        "base": base.record,
        "data": {"source": task.source, "fingerprint": fingerprint(task.examples("train"))},
        "examples": len(sequences),
        "wording": wording_of(base, task),
    }
    return _measured(base, task.name, sequences, modules, directions, record, adapter)


def text_footprint(
    base: Base,
    name: str,
    texts: Iterable[str],
    modules: Sequence[str] = (),
    *,
    directions: int = 256,
    max_length: int = 512,
) -> Footprint:
    """The same of any text, each cut at max_length tokens: what an adapter should leave alone where nothing is known of
    the tasks it will be merged with.

    Raises:
        DataError: no text has two tokens.
    """
    sequences = [list(base.tokenizer(text)["input_ids"])[:max_length] for text in texts]
    sequences = [each for each in sequences if len(each) > 1]
    return _measured(base, name, sequences, modules, directions, {"base": base.record, "examples": len(sequences)})


def text_of(path: str | Path) -> list[str]:
    """The paragraphs of a UTF-8 text file; raises DataError where it cannot be read."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError("text_unreadable", path=path, reason=error) from None
    return [part.strip() for part in text.split("\n\n") if part.strip()]


def _measured(
    base: Base,
    name: str,
    sequences: Sequence[Sequence[int]],
    modules: Sequence[str],
    directions: int,
    record: dict[str, object],
    adapter: Adapter | None = None,
) -> Footprint:
    # the first token of each is left out: a text of one has nothing to count
    if not (sequences := [each for each in sequences if len(each) > 1]):
        raise DataError("footprint_of_nothing", name=name)
    shapes = target_modules(base.model, modules)
    with applied(base.model, adapter) if adapter else nullcontext():
        inputs, sums = _second_moments(base, sequences, shapes, directions)
    tokens = sum(len(each) - 1 for each in sequences)
    moments: dict[str, Moments] = {}
    for module, (second, energy) in sums.items():
        moments[module] = moments_of(second / tokens, shapes[module][1], energy / tokens)
    return Footprint(name, inputs, moments, tokens, record)


def _second_moments(
    base: Base, sequences: Sequence[Sequence[int]], shapes: Mapping[str, tuple[int, int]], directions: int
) -> tuple[dict[str, str], dict[str, tuple[Tensor, float]]]:
    """module -> the one whose input it shares, and of those Σ z zᵀ (m, m) fp64 and Σ ‖x‖² over all tokens but the
    first of each sequence. Of a batch the sums are fp32 on the device."""
    device = next(base.model.parameters()).device
    rows: dict[int, Tensor] = {}
    for width in {width for _, width in shapes.values() if width > max(EXACT, directions)}:
        rows[width] = random_rows(directions, width).to(device, torch.float32)
    inputs: dict[str, str] = {}
    sums: dict[str, tuple[Tensor, float]] = {}
    last: tuple[Tensor, str] | None = None

    def listen(module: str, given: Tensor) -> None:
        nonlocal last
        if last is not None and last[0] is given:  # q, k and v read one input, gate and up another
            inputs[module] = last[1]
            return
        last = given, module
        inputs[module] = module
        x = given.detach()[:, 1:].reshape(-1, given.shape[-1]).float()
        z = x @ rows[x.shape[1]].T if x.shape[1] in rows else x
        second, energy = (z.T @ z).double().cpu(), x.double().square().sum().item()
        before = sums.get(module)
        sums[module] = (second, energy) if before is None else (before[0] + second, before[1] + energy)

    with listening(base.model, shapes, listen):
        for batch in in_batches(sequences):
            last = None
            base.model(input_ids=batch.to(device))
    return inputs, sums
