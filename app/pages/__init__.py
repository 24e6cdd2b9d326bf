"""The pages, a file each. How to write one:

    # app/pages/masks.py
    def build(page: Context) -> None:                  # called inside the page's gr.Blocks, once for each language
        gr.Markdown(page.say("masks.title"))           # text `app.masks.title` of assets/translations/*/app_masks.json
        pick = gr.Dropdown(label=page.say("masks.run"))
        place = chart(page)                            # app/plot.py: a live chart, hidden until it has a drawing

        def look(name: str):
            here = page.workspace                      # .runs .store .data .exports, and .run(name)
            try:
                return shown(figures.mask(..., page.language))
            except LoRIError as error:
                raise page.error(error) from None      # shown as a message, in the page's language

        pick.change(look, pick, place, api_visibility="private")
        place.select(clicked, None, place, ...)        # def clicked(event: gr.EventData): event.x, event.y, event.z

and a line in PAGES. Its address is /<language>/<name>.

- language: page.language; a page is built once for each, so texts are plain strings and never change afterwards.
- folders: page.workspace.
- first values: `on_load(handler, inputs, outputs)` of app/lab.py runs when somebody opens or reloads the page;
  request.query_params has the address's, e.g. run.
- jobs: page.jobs.submit(page.workspace.runs, kind, config) -> Run; show it by sending the reader to
  `runs?run=<folder's name>`: `opens_run(page, button, start, inputs)` of app/pages/runs.py.
- tensors: the app itself imports no torch. Processes do: page.ask(operation, ...) has the answer of an operation
  of lori_core/service/worker.py; page.stream(operation, ...) yields from one that takes its time, in a second process.
- downloads: write into page.workspace.exports, then return the path to a gr.DownloadButton or gr.File.
- what goes into gr.HTML as text must pass html.escape: names come from users.
"""

from collections.abc import Callable

from app.lab import Context
from app.pages import adapters, continual, docs, home, interference, masks, merge, report, runs, study, trying

# name in the address -> what builds it; the order is that of the navigation.
PAGES: dict[str, Callable[[Context], None]] = {
    "home": home.build,
    "study": study.build,
    "runs": runs.build,
    "report": report.build,
    "masks": masks.build,
    "interference": interference.build,
    "continual": continual.build,
    "adapters": adapters.build,
    "merge": merge.build,
    "try": trying.build,
    "docs": docs.build,
}
