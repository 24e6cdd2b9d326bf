"""execute(run): what a run's spec.json names is done, in its folder. The command line, the app and notebooks call it.

kind        in result.json              in the folder besides
study       StudyResult                 report.html, report.ja.html, adapters/<unit>
calibrate   Calibration                 mask.safetensors, adapters/dense, adapters/mask (dense, pruned to its mask)
train       SingleResult                adapters/trained; what calibrate leaves too where a mask was calibrated
merge       the merged adapter's record adapters/merged
merge_trial MergeTrial                  adapters/merged
export      merged_base.Drift           model
continual   ContinualResult             adapters/after-0, after-1 ...: the adapter after each task
evaluate    Evaluated                   -

A run that was stopped or killed is executed again and ends in what it would have come to: a study keeps its units of
work, training goes on from its checkpoint, everything else is done anew from the same seeds.
"""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lori_core.bases.attach import applied
from lori_core.bases.load import Base, check_rank, open_base, target_modules
from lori_core.bases.merged_base import PROMPTS, export_merged_base
from lori_core.config import (
    JOBS,
    AdapterConfig,
    BaseConfig,
    CalibrateJob,
    ContinualJob,
    EvaluateJob,
    ExportJob,
    MergeJob,
    MergeTrialJob,
    Method,
    Split,
    StudyConfig,
    TrainConfig,
    TrainJob,
)
from lori_core.errors import ConfigError, LoRIError, RunError
from lori_core.evaluation.evaluate import Evaluation, evaluate
from lori_core.evaluation.harness import check_harness, harness_score
from lori_core.evaluation.merge_trial import merge_trial
from lori_core.files import write_atomic
from lori_core.method.adapter import Adapter, as_parent, base_notes, blank, check_base
from lori_core.method.masks import Masks
from lori_core.method.merge import merge
from lori_core.report.page import file_name, report
from lori_core.results import Calibration, Score, SingleResult, from_json, to_json
from lori_core.storage.adapter_files import load_adapter, save_adapter
from lori_core.storage.mask_files import Mask, load_mask, save_mask
from lori_core.storage.store import AdapterStore, checked_name
from lori_core.study.runs import Run
from lori_core.study.study import SAMPLES, run_study
from lori_core.tasks.chat import in_chat
from lori_core.tasks.registry import load_task
from lori_core.tasks.task import Task
from lori_core.training.calibrate import calibrate
from lori_core.training.continual import learn_sequence
from lori_core.training.learn import config_of, learn
from lori_core.training.recipes import later_rate, training_for
from lori_core.training.train import Hooks
from lori_core.translate import LANGUAGES


def execute(run: Run, hooks: Hooks | None = None) -> Path | None:
    """Do what the run's spec says; every event goes to the run's folder and to the hooks.

    Returns:
        What to look at: the report of a study, the folder of the adapter that was made; None for scores alone.
    Raises:
        RunError: the run is in use or finished, or nobody knows its kind. Stopped: the hooks or run.request_stop()
            asked for it. Whatever else the work raises.
    """
    hooks = hooks or Hooks()
    if run.state() == "finished":
        raise RunError("run_finished", path=run.path)

    def on_event(event: dict[str, Any]) -> None:
        run.emit(event)
        hooks.on_event(event)

    with run.start():
        if run.kind not in JOBS:
            raise RunError("unknown_run_kind", path=run.path, kind=run.kind, known=", ".join(JOBS))
        watched = Hooks(on_event, lambda: run.stop_requested() or hooks.should_stop())
        watched.check_stop()
        return WORK[run.kind](JOBS[run.kind](**run.config), run, watched)


def report_path(run: Run, language: str) -> Path:
    return run.path / file_name(language)


MASK = "mask.safetensors"  # in a run that calibrated


@dataclass(frozen=True)
class Evaluated:
    """by_task: task -> its score and every output. harness: task -> lm-evaluation-harness's score, where asked for.

    notes: translation keys of what a reader has to know.
    """

    adapter: str | None
    by_task: dict[str, Evaluation]
    harness: dict[str, Score]
    notes: tuple[str, ...] = ()


# --- the kinds of work


def _study(config: StudyConfig, run: Run, hooks: Hooks) -> Path:
    result = run_study(config, run.path, hooks)
    for language in LANGUAGES:
        write_atomic(report_path(run, language), report(result, language))
    run.save_result(to_json(result))
    return report_path(run, "en")


def _calibrate(job: CalibrateJob, run: Run, hooks: Hooks) -> Path:
    base, (task,) = _checked(job, [job.task], hooks)
    config = _seeded(job.adapter, job.seed)
    calibration, _ = _calibrated(base, task, config, _training(job), run, hooks)
    run.save_result(to_json(calibration))
    return run.path / "adapters" / "mask"


def _train(job: TrainJob, run: Run, hooks: Hooks) -> Path:
    base, (task,) = _checked(job, [job.task], hooks)
    store = _store(job.store, task.name)
    config, training = _seeded(job.adapter, job.seed), _training(job)
    calibration, masks = None, None
    if job.method == "lori_s":
        if job.mask is None:
            calibration, masks = _calibrated(base, task, config, training, run, hooks)
        else:
            masks = _given_masks(job.mask, base, config)
    named = hooks.named(task=task.name, method=job.method)
    learned = learn(
        base, task, job.method, config, training, masks=masks, hooks=named, checkpoints=run.checkpoints / "train"
    )
    folder, adapter = _keep(run, "trained", learned.adapter)
    with applied(base.model, adapter):
        test = _evaluation(base, task, "test", job.test_examples, hooks)
        validation = _evaluation(base, task, "validation", job.validation_examples, hooks)
    result = SingleResult(
        task=task.name,
        method=job.method,
        seed=job.seed,
        score=test.score,
        validation=validation.score,
        trained_parameters=adapter.trained_parameters,
        file_bytes=sum(path.stat().st_size for path in folder.iterdir()),
        seconds=learned.training.seconds + (calibration.training.seconds if calibration else 0),
        update_ratio=learned.update_ratio,
        training=learned.training,
        calibration=calibration,
        samples=test.outputs[:SAMPLES],
    )
    if store is not None:
        _stored(store, _scored(adapter, [test.score, validation.score], job.seed), run, "trained")
    run.save_result(to_json(result))
    return folder


def _merge(job: MergeJob, run: Run, hooks: Hooks) -> Path:
    store = _store(job.store, job.name)
    parts = [load_adapter(folder) for folder in job.adapters]
    folder, merged = _keep(run, "merged", merge(parts, job.method, job.weights, job.name, **job.options))
    if store is not None:
        _stored(store, merged, run, "merged")
    run.save_result(json.dumps(merged.record, ensure_ascii=False, indent=1))
    return folder


def _merge_trial(job: MergeTrialJob, run: Run, hooks: Hooks) -> Path:
    store = _store(job.merge.store, job.merge.name)
    parts = [load_adapter(folder) for folder in job.merge.adapters]
    base, tasks = _opened(job, job.tasks, hooks)
    for adapter in parts:
        check_base(adapter, base.name, base.revision, base.fingerprint)

    def score(task: Task, split: Split) -> Score:
        limit = job.validation_examples if split == "validation" else job.test_examples
        return _evaluation(base, task, split, limit, hooks).score

    merged, result = merge_trial(base.model, tasks, parts, job.merge, job.scales, score)
    folder, merged = _keep(run, "merged", merged)
    if store is not None:
        _stored(store, _scored(merged, result.after.values()), run, "merged")
    run.save_result(to_json(result))
    return folder


def _export(job: ExportJob, run: Run, hooks: Hooks) -> Path:
    adapter, base, folder = load_adapter(job.adapter), open_base(job), run.path / "model"
    if folder.exists():  # of a sitting that was killed before the run's result was written
        shutil.rmtree(folder)
    run.save_result(to_json(export_merged_base(base, adapter, folder, PROMPTS)))
    return folder


def _continual(job: ContinualJob, run: Run, hooks: Hooks) -> Path:
    base, tasks = _checked(job, job.tasks, hooks)
    store = _store(job.store, "+".join(task.name for task in tasks))
    learned = learn_sequence(
        base,
        tasks,
        job.method,
        _seeded(job.adapter, job.seed),
        _training(job),
        lambda task: _evaluation(base, task, "test", job.test_examples, hooks).score,
        overlap=job.overlap,
        later_rate=later_rate(job.base, job.method, job.later_rate),
        hooks=hooks,
        checkpoints=run.checkpoints,
    )
    folder, parent = run.path, None
    for number, (adapter, scores) in enumerate(zip(learned.adapters, learned.result.scores, strict=True)):
        if parent is not None:  # as it was kept, and so with its id
            adapter = replace(adapter, record=adapter.record | {"parents": [as_parent(parent)]})
        folder, parent = _keep(run, f"after-{number}", adapter)
        if store is not None:
            parent = store.load(_stored(store, _scored(parent, scores, job.seed), run, f"after-{number}"))
    run.save_result(to_json(learned.result))
    return folder


def _evaluate(job: EvaluateJob, run: Run, hooks: Hooks) -> None:
    adapter = None if job.adapter is None else load_adapter(job.adapter)
    base, tasks = _opened(job, job.tasks, hooks)
    if adapter is not None:
        check_base(adapter, base.name, base.revision, base.fingerprint)

    if job.harness:
        check_harness(tasks, job.split)
    with contextlib.nullcontext() if adapter is None else applied(base.model, adapter):
        by_task = {task.name: _evaluation(base, task, job.split, job.limit, hooks, job) for task in tasks}
        checked = {}
        for task in tasks if job.harness else ():
            checked[task.name] = harness_score(base, task, job.split, job.limit, job.choice_length)
            hooks.check_stop()
    notes = () if adapter is None else base_notes(adapter, base.quantization)
    run.save_result(to_json(Evaluated(job.adapter, by_task, checked, notes)))


# kind -> the function that does it and returns what to look at
WORK: dict[str, Callable[[Any, Run, Hooks], Path | None]] = {
    "study": _study,
    "calibrate": _calibrate,
    "train": _train,
    "merge": _merge,
    "merge_trial": _merge_trial,
    "export": _export,
    "continual": _continual,
    "evaluate": _evaluate,
}


# --- what several of them need


def _opened(job: BaseConfig, specs: Sequence[str], hooks: Hooks) -> tuple[Base, tuple[Task, ...]]:
    """The base and the tasks of a job."""
    tasks = tuple(load_task(spec, job.allow_code_execution) for spec in specs)
    names = [task.name for task in tasks]
    if len(set(names)) < len(names):
        raise ConfigError("same_task_twice", tasks=", ".join(names))
    base = open_base(job)
    hooks.on_event(base.opened)
    return in_chat(base, tasks) if job.chat else (base, tasks)


def _checked(job: CalibrateJob | ContinualJob, specs: Sequence[str], hooks: Hooks) -> tuple[Base, tuple[Task, ...]]:
    """The base and the tasks, once it is known that the adapter fits the base."""
    base, tasks = _opened(job, specs, hooks)
    check_rank(target_modules(base.model, job.adapter.target_modules), job.adapter.rank)
    return base, tasks


def _seeded(config: AdapterConfig, seed: int) -> AdapterConfig:
    return config.changed(projection_seed=config.projection_seed + seed)


def _training(job: CalibrateJob | ContinualJob) -> dict[Method, TrainConfig]:
    known = training_for(job.base, job.train)
    return {method: config.changed(seed=config.seed + job.seed) for method, config in known.items()}


def _calibrated(
    base: Base, task: Task, config: AdapterConfig, training: Mapping[Method, TrainConfig], run: Run, hooks: Hooks
) -> tuple[Calibration, Masks]:
    """The dense run and its mask, kept, so that a run that goes on does not calibrate twice."""
    path = run.path / "calibration.json"
    if not path.exists():
        calibrated = calibrate(
            base,
            task,
            blank(task.name, target_modules(base.model, config.target_modules), config_of("lori_d", config)),
            config,
            training["lori_d"],
            hooks=hooks.named(task=task.name, method="lori_d", stage="calibrate"),
            checkpoint=run.checkpoints / "calibrate.pt",
        )
        _keep(run, "dense", calibrated.dense)
        _keep(run, "mask", calibrated.dense.with_masks(calibrated.masks))
        record = {"task": task.name, "base": base.record, "adapter": config.model_dump()}
        record |= {"train": training["lori_d"].model_dump(), "steps": calibrated.report.training.steps}
        (run.path / MASK).unlink(missing_ok=True)  # of a sitting that was killed before the calibration was written
        save_mask(Mask(calibrated.masks, record), run.path / MASK)
        write_atomic(path, to_json(calibrated.report))
    calibration = from_json(Calibration, path.read_text(encoding="utf-8"))
    return calibration, load_adapter(run.path / "adapters" / "mask").masks


def _given_masks(path: str, base: Base, config: AdapterConfig) -> Masks:
    """Those of a mask file, or of an adapter made earlier.

    Raises:
        ConfigError: they are not of this base's modules and this rank. AdapterError: they cannot be loaded.
    """
    masks = load_adapter(path).masks if Path(path).is_dir() else load_mask(path).masks
    shapes = target_modules(base.model, config.target_modules)
    expected = {module: (out_features, config.rank) for module, (out_features, _) in shapes.items()}
    if {module: tuple(mask.shape) for module, mask in masks.items()} != expected:
        raise ConfigError("mask_does_not_fit", path=path, base=base.name, modules=len(expected), rank=config.rank)
    return masks


def _store(folder: str | None, name: str) -> AdapterStore | None:
    """The store, once it is known, before any work, that it can take an adapter of that name."""
    return AdapterStore(folder) if folder is not None and checked_name(name) else None


def _stored(store: AdapterStore, adapter: Adapter, run: Run, part: str) -> str:
    """Keeps a part of the run as a version; its reference. One that a killed sitting kept already is found again."""
    made_by = f"{run.path.name}/{part}"
    for version in store.versions(adapter.name):
        with contextlib.suppress(LoRIError):  # a damaged version hides no other
            if store.show(version.reference).record.get("made_by") == made_by:
                return version.reference
    return store.save(replace(adapter, record=adapter.record | {"made_by": made_by}))


def _scored(adapter: Adapter, scores: Iterable[Score], seed: int | None = None) -> Adapter:
    """The adapter with its scores in its record, without the single outcomes. seed: None: nothing was trained."""
    fields, seeds = ("task", "split", "metric", "value", "low", "high", "n"), {} if seed is None else {"seed": seed}
    known = [{field: getattr(score, field) for field in fields} | seeds for score in scores]
    return replace(adapter, record=adapter.record | {"scores": known})


def _keep(run: Run, name: str, adapter: Adapter) -> tuple[Path, Adapter]:
    """The adapter's folder, and the adapter as it comes back from it: scores are those of what was kept."""
    folder = run.path / "adapters" / name
    if folder.exists():  # of a sitting that was killed before the run's result was written
        shutil.rmtree(folder)
    save_adapter(adapter, folder)
    return folder, load_adapter(folder)


def _evaluation(
    base: Base, task: Task, split: str, limit: int | None, hooks: Hooks, job: EvaluateJob | None = None
) -> Evaluation:
    """job: how answers are drawn and choices compared; None: as is usual."""

    def on_event(event: dict[str, Any]) -> None:
        hooks.on_event(event)
        hooks.check_stop()

    how = {"sampling": job.sampling, "choice_length": job.choice_length} if job else {}
    return evaluate(base.model, base.tokenizer, task, split, limit, on_event=on_event, **how)
