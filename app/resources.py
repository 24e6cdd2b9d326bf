"""Estimate of memory and time of a study, for the page Study.

Memory: `lori estimate --json` in a process of its own, since it needs torch. Time: what earlier studies here took,
or what a short measurement of this machine says (slowness.py).
"""

import json
import subprocess
import sys
from html import escape
from pathlib import Path

from app.jobs import environment
from app.lab import Context, alert
from app.slowness import is_measured, time_of
from lori_core.bases.download import DOWNLOADS
from lori_core.config import Method
from lori_core.errors import RunError
from lori_core.figures.wording import listed, method_label
from lori_core.report.verdict import duration
from lori_core.study.layout import variant_of
from lori_core.study.machine import device_label
from lori_core.study.specs import StudyConfig
from lori_core.study.yardstick import yardstick
from lori_core.training.recipes import training_for

# What libraries tell of retries and rates is for a log; only what the command itself says is shown.
SILENT = {"HF_HUB_VERBOSITY": "error", "TRANSFORMERS_VERBOSITY": "error", "PYTHONWARNINGS": "ignore"}
PATIENCE = 120  # seconds for an estimate; a hub id that does not answer must not keep the page waiting


HEAVIEST: tuple[Method, ...] = ("lora", "lori_s", "lori_d")  # the first of a study says how much memory it takes


def fit(page: Context, config: StudyConfig) -> str:
    """A sentence as HTML, in the reader's language; where there is no estimate of the memory, why.

    Raises:
        RunError: the base did not answer in time. gr.Error: the settings name what is out of reach.
    """
    page.check(config)
    named = [variant_of(method).method for method in config.methods]
    heaviest: list[Method] = [each for each in HEAVIEST if named.count(each)] or [HEAVIEST[0]]
    options = ["--base", config.base, "--method", heaviest[0], "--rank", str(config.adapter.rank)]
    options += ["--sparsity", str(config.adapter.sparsity), "--language", page.language, "--json"]
    options += [f"--module={module}" for module in config.adapter.target_modules]
    training = training_for(config.base, config.train)[heaviest[0]]
    options += ["--batch", str(training.micro_batch_size or training.batch_size), "--length", str(training.max_length)]
    for option, value in (("--quantization", config.quantization), ("--device", config.device)):
        options += [option, value] if value else []
    command = [sys.executable, "-m", "lori_core", "estimate", *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=environment() | SILENT)
    except subprocess.TimeoutExpired:
        raise RunError("estimate_slow", seconds=PATIENCE) from None
    if done.returncode:
        return alert(escape(page.lab.without_places(done.stderr.strip() or done.stdout.strip())))
    return _memory(page, json.loads(done.stdout))


def is_here(base: str) -> bool:
    """Whether the base is found without asking the hub."""
    try:
        return base in ("embedded", *DOWNLOADS) or Path(base).expanduser().exists()
    except (OSError, RuntimeError):  # longer than a name on a disk may be, or of nobody's ~name
        return False


def plan_of(page: Context, config: StudyConfig) -> str:
    """What will be trained, and how long it takes, as HTML."""
    named = {variant_of(method).method for method in config.methods}
    each = [
        page.say(
            "fit.stage",
            method=method_label(method, page.language),
            steps=training.steps,
            batch=training.batch_size,
            rate=f"{training.learning_rate:g}",
        )
        for method, training in training_for(config.base, config.train).items()
        if method in named
    ]
    said = page.say("fit.plan", tasks=len(config.tasks), seeds=len(config.seeds), each=listed(each, page.language))
    return f"<p>{escape(said)}</p>" + _time(page, config)


def _memory(page: Context, found: dict) -> str:
    needed, available = found["needed"], found["available"]
    sizes = {"needed": needed / 2**30, "available": available / 2**30}
    device = device_label(found["device"])
    said = page.say("fit.fits" if needed <= available else "fit.fits_not", device=device, **sizes)
    return f"<p>{escape(said)}</p>"


def _time(page: Context, config: StudyConfig) -> str:
    seconds, by_runs = time_of(page, config)
    if seconds is None:
        known = is_measured() or yardstick(config) is None  # as much as there will be without a study
        said = page.say("fit.time_unknown" if known else "home.time_asked")
    else:
        said = page.say("fit.time" if by_runs else "fit.time_measured", time=duration(seconds, page.language))
    return f"<p>{escape(said)}</p>"
