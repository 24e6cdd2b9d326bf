"""Whether what settings name is there: asked before a run waits for its turn, so that a misspelling is told at once."""

from lori_core.bases.source import checked_source
from lori_core.config import Config
from lori_core.errors import ConfigError
from lori_core.study.layout import variants
from lori_core.study.reach import texts
from lori_core.study.specs import StudyConfig
from lori_core.tasks.hub import PREFIX
from lori_core.tasks.registry import load_task, places


def check_there(config: Config) -> None:
    """Tasks are loaded but for those of the hub, which is asked for a base only.

    Raises:
        TaskError, DataError: no such mini task, file or column. ModelError: no such base.
        ConfigError: a study's methods and its projection contradict each other.
    """
    for field, value in texts(config):
        if field in ("task", "tasks") and not any(place.startswith(PREFIX) for place in places(value)):
            load_task(value, getattr(config, "allow_code_execution", False))
        elif field == "base":
            checked_source(value, getattr(config, "revision", None))
    if isinstance(config, StudyConfig):
        check_projection(config)


def check_projection(config: StudyConfig) -> None:
    """Raises ConfigError where methods that draw their A are to have a conditioned one: in a study that is a method."""
    random = [variant.label for variant in variants(config) if not variant.conditioned]
    if random and config.adapter.projection == "conditioned":
        raise ConfigError("conditioned_is_a_method", method=random[0])
