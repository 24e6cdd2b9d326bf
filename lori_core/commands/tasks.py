"""Commands on tasks: what there is, and what a task's own data are like."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from lori_core.commands.options import AllowCode, Language
from lori_core.commands.telling import console, say, say_text, told
from lori_core.translate import translate

if TYPE_CHECKING:
    from lori_core.tasks.check import TaskCheck

app = typer.Typer(invoke_without_command=True, help="What tasks there are, and how to name one's own; check one.")


@app.callback()
def list_tasks(context: typer.Context, language: Language = "en") -> None:
    """What tasks there are, and how to name one's own."""
    if context.invoked_subcommand:
        return
    with told(language):
        from lori_core.tasks.catalog import CATALOG
        from lori_core.tasks.files import READERS
        from lori_core.tasks.mini import MINI_TASKS
        from lori_core.tasks.prompts import PROMPTS
        from lori_core.tasks.scorers import SCORERS

        names = {"mini": MINI_TASKS, "catalog": CATALOG, "prompts": PROMPTS, "scorers": SCORERS, "kinds": READERS}
        say("command.tasks", language, **{name: ", ".join(those) for name, those in names.items()})


@app.command()
def check(
    specs: Annotated[list[str], typer.Argument(metavar="SPEC...", help="As --task takes them: name=path?...")],
    allow_code_execution: AllowCode = False,
    language: Language = "en",
) -> None:
    """Look at tasks before learning from them: splits, examples, answers, how they are judged, what is doubtful."""
    with told(language):
        from lori_core.tasks.check import check_task
        from lori_core.tasks.registry import load_task

        for spec in specs:
            _show(check_task(spec, load_task(spec, allow_code_execution)), language)


def _show(checked: "TaskCheck", language: str) -> None:
    from lori_core.commands.tables import check_table

    task = checked.task
    say("command.check.title", language, task=task.name, source=task.source)
    for note in task.read_as:
        say_text(note)
    console().print(check_table(checked, language))
    say(
        "command.check.scorer",
        language,
        scorer=checked.scorer,
        why=translate(f"command.check.why.{checked.why}", language),
    )
    for number, example in enumerate(checked.shown, 1):
        say("command.check.example", language, number=number)
        # What is trained on stands out, also where a pipe has no colours.
        console().print(Text.assemble(example.prompt, (f"⟦{example.response}⟧", "bold reverse")), soft_wrap=True)
    say("command.check.trained", language)
    for name, values in checked.doubts:
        say(f"command.check.doubt.{name}", language, **values)
    if not checked.doubts:
        say("command.check.no_doubts", language)
