"""The command on tasks."""

from lori_core.commands.options import Language
from lori_core.commands.telling import say, told


def list_tasks(language: Language = "en") -> None:
    """What tasks there are, and how to name one's own."""
    with told(language):
        from lori_core.tasks.mini import MINI_TASKS
        from lori_core.tasks.scorers import SCORERS

        say("command.tasks", language, mini=", ".join(MINI_TASKS), scorers=", ".join(SCORERS))
