"""The command line: `lori study`, `lori train` ... or `python -m lori_core`.

Every command writes a run into the folder of runs and carries it out; Ctrl-C stops it so that `lori resume` goes on.
Torch is imported by the commands that need it, so that --help and mistakes in the options answer at once.

Exit codes: 0 done, 2 refused with one message, 130 stopped.
"""

import typer

from lori_core.commands import (
    adapters,
    bases,
    classroom,
    exchange,
    footprints,
    lab,
    learning,
    runs,
    serving,
    store,
    sweeping,
    tasks,
)

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

for command in (learning.study, learning.calibrate, learning.train, learning.continual):
    app.command()(command)
app.command()(sweeping.sweep)
for command in (adapters.merge, adapters.evaluate):
    app.command()(command)
for command in (footprints.footprint, footprints.forecast):
    app.command()(command)
for command in (bases.download, bases.estimate):
    app.command()(command)
app.command("export")(exchange.export_adapter)
app.command("import")(exchange.import_adapter)
app.command()(serving.check_served)
for command in (runs.run, runs.resume, runs.show):
    app.command()(command)
app.add_typer(tasks.app, name="tasks")
store.app.add_typer(footprints.kept, name="footprint")
app.add_typer(store.app, name="store")
app.command("class")(classroom.class_)
for command in (lab.lab, lab.passwords):
    app.command(context_settings=lab.PASSED_ON)(command)
