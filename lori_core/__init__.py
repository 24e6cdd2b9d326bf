"""LoRI: low-rank adapters whose A is random and frozen and whose B is trained only where a task's mask allows.

    from lori_core import learn, load_base, load_task

    learned = learn(load_base(), load_task("math"))

Each name of __all__ is imported when it is first used, so that importing the package loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lori_core.bases.attach import applied, attach
    from lori_core.bases.layer import LoRILinear
    from lori_core.bases.load import load_base, target_modules
    from lori_core.bases.merged_base import export_merged_base
    from lori_core.config import AdapterConfig, TrainConfig
    from lori_core.embedded.ready_made import ready_made
    from lori_core.errors import LoRIError
    from lori_core.evaluation.evaluate import evaluate
    from lori_core.evaluation.intervals import share_of
    from lori_core.evaluation.lens import lens
    from lori_core.evaluation.probe import cross_talk
    from lori_core.method.adapter import Adapter, blank
    from lori_core.method.conditioned import Conditions, conditioned
    from lori_core.method.footprint import Footprint
    from lori_core.method.forecast import forecast, forecast_before
    from lori_core.method.masks import jaccard, magnitude_masks, mask_id, matched_masks, random_masks
    from lori_core.method.merge import MERGE_METHODS, merge, reduce_rank
    from lori_core.method.metrics import cosine_matrix, mask_overlap, principal_angles, random_jaccard
    from lori_core.method.projection import draw
    from lori_core.report.findings import findings
    from lori_core.report.page import study_page
    from lori_core.storage.adapter_files import load_adapter, save_adapter
    from lori_core.storage.footprint_files import load_footprint, save_footprint
    from lori_core.storage.footprint_store import FootprintStore
    from lori_core.storage.peft import export_peft, import_peft
    from lori_core.storage.store import AdapterStore
    from lori_core.study.specs import StudyConfig
    from lori_core.study.study import run_study
    from lori_core.tasks.registry import load_task
    from lori_core.training.beside import learn_beside
    from lori_core.training.calibrate import calibrate
    from lori_core.training.continual import learn_sequence
    from lori_core.training.fit import fit
    from lori_core.training.footprints import task_footprint, text_footprint
    from lori_core.training.learn import fine_tune, learn
    from lori_core.training.recipes import training_for

__version__ = "0.1.0"

_MODULES = {  # module -> its public names
    "bases.attach": ("applied", "attach"),
    "bases.layer": ("LoRILinear",),
    "bases.load": ("load_base", "target_modules"),
    "bases.merged_base": ("export_merged_base",),
    "config": ("AdapterConfig", "TrainConfig"),
    "embedded.ready_made": ("ready_made",),
    "errors": ("LoRIError",),
    "evaluation.evaluate": ("evaluate",),
    "evaluation.intervals": ("share_of",),
    "evaluation.lens": ("lens",),
    "evaluation.probe": ("cross_talk",),
    "method.adapter": ("Adapter", "blank"),
    "method.conditioned": ("Conditions", "conditioned"),
    "method.footprint": ("Footprint",),
    "method.forecast": ("forecast", "forecast_before"),
    "method.masks": ("jaccard", "magnitude_masks", "mask_id", "matched_masks", "random_masks"),
    "method.merge": ("MERGE_METHODS", "merge", "reduce_rank"),
    "method.metrics": ("cosine_matrix", "mask_overlap", "principal_angles", "random_jaccard"),
    "method.projection": ("draw",),
    "report.findings": ("findings",),
    "report.page": ("study_page",),
    "storage.adapter_files": ("load_adapter", "save_adapter"),
    "storage.footprint_files": ("load_footprint", "save_footprint"),
    "storage.footprint_store": ("FootprintStore",),
    "storage.peft": ("export_peft", "import_peft"),
    "storage.store": ("AdapterStore",),
    "study.specs": ("StudyConfig",),
    "study.study": ("run_study",),
    "tasks.registry": ("load_task",),
    "training.calibrate": ("calibrate",),
    "training.beside": ("learn_beside",),
    "training.continual": ("learn_sequence",),
    "training.fit": ("fit",),
    "training.footprints": ("task_footprint", "text_footprint"),
    "training.learn": ("fine_tune", "learn"),
    "training.recipes": ("training_for",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "MERGE_METHODS",
    "Adapter",
    "AdapterConfig",
    "AdapterStore",
    "Conditions",
    "Footprint",
    "FootprintStore",
    "LoRIError",
    "LoRILinear",
    "StudyConfig",
    "TrainConfig",
    "applied",
    "attach",
    "blank",
    "calibrate",
    "conditioned",
    "cosine_matrix",
    "cross_talk",
    "draw",
    "evaluate",
    "export_merged_base",
    "export_peft",
    "findings",
    "fine_tune",
    "fit",
    "forecast",
    "forecast_before",
    "import_peft",
    "jaccard",
    "learn",
    "learn_beside",
    "learn_sequence",
    "lens",
    "load_adapter",
    "load_base",
    "load_footprint",
    "load_task",
    "magnitude_masks",
    "mask_id",
    "mask_overlap",
    "matched_masks",
    "merge",
    "principal_angles",
    "random_jaccard",
    "random_masks",
    "ready_made",
    "reduce_rank",
    "run_study",
    "save_adapter",
    "save_footprint",
    "share_of",
    "study_page",
    "target_modules",
    "task_footprint",
    "text_footprint",
    "training_for",
]


def __getattr__(name: str) -> Any:
    """The public name, from its module (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'lori_core' has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f"lori_core.{_MODULE_OF[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
