"""The command on tasks."""

from lori_core.commands.options import Language
from lori_core.commands.telling import say, told


def list_tasks(language: Language = "en") -> None:
    """What tasks there are, and how to name one's own."""
    with told(language):
        from lori_core.tasks.catalog import CATALOG
        from lori_core.tasks.mini import MINI_TASKS
        from lori_core.tasks.prompts import PROMPTS
        from lori_core.tasks.scorers import SCORERS

        names = {"mini": MINI_TASKS, "catalog": CATALOG, "prompts": PROMPTS, "scorers": SCORERS}
        say("command.tasks", language, **{name: ", ".join(those) for name, those in names.items()})
