"""Whether what settings name is there: asked before a run waits for its turn, so that a misspelling is told at once."""

from lori_core.bases.source import checked_source
from lori_core.config import Config
from lori_core.study.reach import texts
from lori_core.tasks.hub import PREFIX
from lori_core.tasks.registry import load_task, places


def check_there(config: Config) -> None:
    """Tasks are loaded but for those of the hub, which is asked for a base only.

    Raises:
        TaskError, DataError: no such mini task, file or column. ModelError: no such base.
    """
    for field, value in texts(config):
        if field in ("task", "tasks") and not any(place.startswith(PREFIX) for place in places(value)):
            load_task(value, getattr(config, "allow_code_execution", False))
        elif field == "base":
            checked_source(value, getattr(config, "revision", None))
