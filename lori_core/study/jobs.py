"""Jobs: execute(run) does what a run's spec.json names, in its folder, for the command line, the app and notebooks.

kind        in result.json              in the folder besides
study       StudyResult                 report.html, report.ja.html, adapters/<unit>
calibrate   Calibration                 mask.safetensors, adapters/dense, adapters/mask (dense, pruned to its mask)
train       SingleResult                adapters/trained; what calibrate leaves too where a mask was calibrated
merge       the merged adapter's record adapters/merged
merge_trial MergeTrial                  adapters/merged
export      merged_base.Drift           model
continual   ContinualResult             adapters/after-0, after-1 ...: the adapter after each task
evaluate    Evaluated                   -

A job that needs footprints keeps them in its folder too, those that it was given and those that it measured.

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

from torch.distributed import DistError

from lori_core.bases.attach import applied
from lori_core.bases.load import Base, open_base, target_modules
from lori_core.bases.merged_base import PROMPTS, export_merged_base
from lori_core.config import AdapterConfig, BaseConfig, Method, Split, TrainConfig
from lori_core.errors import ConfigError, LoRIError, RunError
from lori_core.evaluation.evaluate import Evaluation
from lori_core.evaluation.harness import check_harness, harness_score
from lori_core.evaluation.merge_trial import merge_trial
from lori_core.files import write_atomic
from lori_core.method.adapter import Adapter, as_parent, base_notes, check_base
from lori_core.method.conditioned import Conditions
from lori_core.method.masks import Masks
from lori_core.method.merge import NEED_FOOTPRINTS, merge
from lori_core.processes import is_first_process
from lori_core.report.page import study_page
from lori_core.results import Calibration, Score, to_json
from lori_core.storage.adapter_files import load_adapter
from lori_core.storage.footprint_files import load_footprint
from lori_core.storage.mask_files import Mask, load_mask, save_mask
from lori_core.storage.store import AdapterStore, checked_name
from lori_core.study.footprints import check_against, conditions_of, footprints_of
from lori_core.study.layout import MASK_FILE, MERGED, TRAINED, Layout, Variant, after_task
from lori_core.study.runs import Run, read_unit
from lori_core.study.same_data import check_data, keep_data
from lori_core.study.specs import (
    JOBS,
    CalibrateJob,
    ContinualJob,
    EvaluateJob,
    ExportJob,
    MergeJob,
    MergeTrialJob,
    StudyConfig,
    TrainJob,
)
from lori_core.study.study import run_study
from lori_core.study.units import (
    Work,
    calibrate_unit,
    check_fit,
    check_splits,
    keep,
    learn_in_sequence,
    learn_unit,
    load_tasks,
    open_work,
)
from lori_core.tasks.wording import wording_notes
from lori_core.training.calibrate import Calibrated
from lori_core.training.hooks import Hooks
from lori_core.training.recipes import seeded, training_for
from lori_core.translate import LANGUAGES

Limits = Mapping[Split, int | None]


def execute(run: Run, hooks: Hooks | None = None) -> Path | None:
    """Do what the run's spec says; every event goes to the run's folder and to the hooks.

    Returns:
        What to look at: the report of a study, the folder of the adapter that was made; None for scores alone.
    Raises:
        RunError: the run is in use or finished, nobody knows its kind, or another process of the launch is gone.
        Stopped: the hooks or run.request_stop() asked for it. Whatever else the work raises.
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
        try:
            return WORK[run.kind](JOBS[run.kind](**run.config), run, watched)
        except RuntimeError as error:
            if not isinstance(error, DistError) and "gloo/transport" not in str(error):  # gloo has no kind of its own
                raise
            raise RunError("process_lost", reason=str(error).partition(". ")[0]) from error


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
    layout = Layout(run.path)
    for language in LANGUAGES:
        write_atomic(layout.report(language), study_page(result, language))
    run.save_result(to_json(result))
    return layout.report("en")


def _calibrate(job: CalibrateJob, run: Run, hooks: Hooks) -> Path:
    work = _opened(job, [job.task], run, hooks)
    check_fit(work, ["lori_s"], job.adapter)
    calibrated = _calibrated(work, _seeded(job.adapter, job.seed), _training(job), run)
    run.save_result(to_json(calibrated.report))
    return work.layout.adapter(work.layout.job_dense_run().mask)


def _train(job: TrainJob, run: Run, hooks: Hooks) -> Path:
    limits: Limits = {"validation": job.validation_examples, "test": job.test_examples}
    check_against(job)
    if job.mask is not None and job.method != "lori_s":
        raise ConfigError("mask_without_use", method=job.method)
    work = _opened(job, [job.task, *job.against], run, hooks, limits)
    check_fit(work, [job.method], job.adapter)
    task, store = work.tasks[0], _store(job.store, work.tasks[0].name)
    config, training = _seeded(job.adapter, job.seed), _training(job)
    given: dict[str, Any] = {}
    if config.projection == "conditioned":
        given["conditions"] = conditions_of(job, work)
    if job.method == "lori_s" and job.mask is not None:
        given["masks"] = _given_masks(job.mask, work.base, config)
    elif job.method == "lori_s":
        given["calibrated"] = _calibrated(work, config, training, run, given.get("conditions"))
    variant, checkpoints = Variant(job.method), work.layout.checkpoints("train")
    result = learn_unit(work, task, variant, config, training, job.seed, TRAINED, checkpoints, **given)
    if store is not None:
        scores = [score for score in (result.score, result.validation) if score is not None]
        _stored(store, _scored(work.adapter(TRAINED), scores, job.seed), run, TRAINED)
    run.save_result(to_json(result))
    return work.layout.adapter(TRAINED)


def _merge(job: MergeJob, run: Run, hooks: Hooks) -> Path:
    store, layout = _store(job.store, job.name), Layout(run.path)
    parts = [load_adapter(folder) for folder in job.adapters]
    footprints = [load_footprint(folder) for folder in job.footprints] or None
    merged = keep(layout, MERGED, merge(parts, job.method, job.weights, job.name, footprints, **job.options))
    if store is not None:
        _stored(store, merged, run, MERGED)
    run.save_result(json.dumps(merged.record, ensure_ascii=False, indent=1))
    return layout.adapter(MERGED)


def _merge_trial(job: MergeTrialJob, run: Run, hooks: Hooks) -> Path:
    store = _store(job.merge.store, job.merge.name)
    parts = [load_adapter(folder) for folder in job.merge.adapters]
    limits: Limits = {"validation": job.validation_examples, "test": job.test_examples}
    work = _opened(job, job.tasks, run, hooks, limits, learns=False)
    for adapter in parts:
        check_base(adapter, work.base.record)
    settings = job.merge.model_dump(include={"method", "weights", "options", "name"})
    if job.merge.method in NEED_FOOTPRINTS:
        settings["options"] |= {"footprints": footprints_of(job.merge, parts, work)}
    merged, result = merge_trial(
        work.base.model,
        work.tasks,
        parts,
        lambda task, split: work.score(task, split).score,
        scales=job.scales,
        groups=job.groups,
        budget=job.budget,
        **settings,
    )
    merged = work.keep(MERGED, merged)
    if store is not None:
        _stored(store, _scored(merged, result.after.values()), run, MERGED)
    run.save_result(to_json(result))
    return work.layout.adapter(MERGED)


def _export(job: ExportJob, run: Run, hooks: Hooks) -> Path:
    adapter, base, folder = load_adapter(job.adapter), open_base(job), run.path / "model"
    if folder.exists():  # of a sitting that was killed before the run's result was written
        shutil.rmtree(folder)
    run.save_result(to_json(export_merged_base(base, adapter, folder, PROMPTS)))
    return folder


def _continual(job: ContinualJob, run: Run, hooks: Hooks) -> Path:
    work = _opened(job, job.tasks, run, hooks, {"test": job.test_examples})
    check_fit(work, [job.method], job.adapter)
    store = _store(job.store, "+".join(task.name for task in work.tasks))
    config, training = _seeded(job.adapter, job.seed), _training(job)
    later = {"overlap": job.overlap, "later_rate": job.later_rate, "later_masks": job.later_masks}
    learned = learn_in_sequence(work, work.tasks, job.method, config, training, run.checkpoints, **later)
    parent = None
    for number, (adapter, scores) in enumerate(zip(learned.adapters, learned.result.scores, strict=True)):
        if parent is not None:  # as it was kept, and so with its id
            adapter = replace(adapter, record=adapter.record | {"parents": [as_parent(parent)]})
        parent = work.keep(after_task(number), adapter)
        if store is not None:
            parent = store.load(_stored(store, _scored(parent, scores, job.seed), run, after_task(number)))
    run.save_result(to_json(learned.result))
    return work.layout.adapter(after_task(len(learned.adapters) - 1))


def _evaluate(job: EvaluateJob, run: Run, hooks: Hooks) -> None:
    adapter = None if job.adapter is None else load_adapter(job.adapter)
    work = _opened(job, job.tasks, run, hooks, {job.split: job.limit}, learns=False)
    base = work.base
    if adapter is not None:
        check_base(adapter, base.record)
    if job.harness:
        check_harness(work.tasks, job.split)
    how = {"sampling": job.sampling, "choice_length": job.choice_length}
    with contextlib.nullcontext() if adapter is None else applied(base.model, adapter):
        by_task = {task.name: work.score(task, job.split, **how) for task in work.tasks}
        checked = {}
        for task in work.tasks if job.harness else ():
            checked[task.name] = harness_score(base, task, job.split, job.limit, job.choice_length)
            hooks.check_stop()
    notes: tuple[str, ...] = ()
    if adapter is not None:
        notes = base_notes(adapter, base.record) + wording_notes(adapter.record, base, work.tasks)
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


def _opened(
    job: BaseConfig, specs: Sequence[str], run: Run, hooks: Hooks, limits: Limits | None = None, learns: bool = True
) -> Work:
    tasks = load_tasks(specs, job.allow_code_execution)
    splits: list[Split] = [*(("train",) if learns else ()), *(limits or ())]
    check_splits(tasks, splits)
    data = check_data(Layout(run.path), tasks, splits)
    work = open_work(job, tasks, run.path, hooks, limits or {})
    keep_data(work.layout, data)
    return work


def _seeded(config: AdapterConfig, seed: int) -> AdapterConfig:
    return config.changed(projection_seed=config.projection_seed + seed)


def _training(job: CalibrateJob | ContinualJob) -> dict[Method, TrainConfig]:
    return seeded(training_for(job.base, job.train), job.seed)


def _calibrated(
    work: Work,
    config: AdapterConfig,
    training: Mapping[Method, TrainConfig],
    run: Run,
    conditions: Conditions | None = None,
) -> Calibrated:
    """The dense run and its mask, kept, so that a run that goes on does not calibrate twice."""
    task, place = work.tasks[0], work.layout.job_dense_run()  # others are there for their footprints
    if not place.report.exists():
        report = calibrate_unit(work, task, Variant("lori_d"), config, training["lori_d"], place, conditions)
        record = {"task": task.name, "base": work.base.record, "adapter": config.model_dump()}
        record |= {"train": training["lori_d"].model_dump(), "steps": report.training.steps}
        (run.path / MASK_FILE).unlink(missing_ok=True)  # of a sitting that was killed before the report was written
        save_mask(Mask(work.adapter(place.mask).masks, record), run.path / MASK_FILE)
        write_atomic(place.report, to_json(report))
    return work.calibrated(place, read_unit(place.report, Calibration))


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
    """The store, once it is known, before any work, that it can take an adapter of that name; the first process's."""
    return AdapterStore(folder) if folder is not None and checked_name(name) and is_first_process() else None


def _stored(store: AdapterStore, adapter: Adapter, run: Run, part: str) -> str:
    """Keeps a part of the run as a version; its reference. One that a killed sitting kept already is found again."""
    made_by = f"{run.path.resolve().name}/{part}"  # the same whatever way leads to the run
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
