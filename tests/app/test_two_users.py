"""Two users against each other: whatever one sends, nothing of the other's is read, listed, written or removed."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from served import Answer, as_json, basic, send, serving

from app.pages import PAGES
from app.passwords import add
from lori_core.assets import ASSETS
from lori_core.storage.adapter_files import load_adapter, save_adapter
from lori_core.storage.store import AdapterStore
from lori_core.study.runs import Run, list_runs
from lori_core.study.specs import StudyConfig

SECRET = "zirkon"  # stands in everything that is Aiko's
READY = ASSETS / "adapters" / "math" / "lori_s"
AIKO, BO = (basic(name, f"password of {name}") for name in ("aiko", "bo"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """(address, folder, Aiko's run): her workspace has a run, a report, an adapter in the store, and rows."""
    root = tmp_path_factory.mktemp("lab")
    for name in ("aiko", "bo"):
        add(root / "passwords", name, f"password of {name}")
    home = root / "lab" / "users" / "aiko"
    run = Run.create(home / "runs", "study", StudyConfig(tasks=(SECRET, "math")).model_dump(mode="json"))
    with run.start():
        run.emit({"kind": "evaluate", "task": SECRET, "done": 1, "total": 2})
        for name in ("report.html", "log.txt", "result.json"):
            (run.path / name).write_text(f'"{SECRET}"')
    save_adapter(load_adapter(READY), run.path / "adapters" / SECRET)
    AdapterStore(home / "store").save(load_adapter(READY), SECRET)
    (home / "data" / "x").mkdir(parents=True)
    (home / "data" / "x" / "rows.csv").write_text("prompt,response\n" + f"a,{SECRET}\n" * 20)
    with serving(root / "lab", "--auth-file", str(root / "passwords"), idle=True) as address:
        yield address, root / "lab", run


def wishes(run: Run) -> list[str]:
    """What Bo writes into every field: Aiko's things by each of their names."""
    home = run.path.parent.parent
    return [
        run.path.name,
        f"store/{SECRET}@1",
        f"store/../../aiko/store/{SECRET}@1",
        f"run/{run.path.name}/{SECRET}",
        str(home / "store" / SECRET / "1"),
        f"mine={home}/data/x/rows.csv?prompt=prompt&response=response",
    ]


def value_of(component: dict[str, Any], wish: str, path: str) -> Any:
    """What the component would send if it could hold the wish."""
    props, file = component["props"], {"path": path, "meta": {"_type": "gradio.FileData"}}
    match component["type"]:
        case "textbox" | "radio" | "html" | "markdown" | "state":
            return wish
        case "dropdown" | "checkboxgroup":
            return [wish, wish] if props.get("multiselect") or component["type"] == "checkboxgroup" else wish
        case "file":
            return [file] if props.get("file_count") == "multiple" else file
        case "uploadbutton" | "downloadbutton":
            return file
    return props.get("value")


def snapshot(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def asked(address: str, who: tuple[str, str], wish: str, path: str) -> list[Answer]:
    """The answers to every handler of all pages, called with the wish in each of its inputs."""
    config = json.loads(send(address, "GET", "/en/config", [who]).body)
    components = {component["id"]: component for component in config["components"]}
    answers, session = [], f"session{abs(hash((who, wish)))}"
    for dependency in config["dependencies"]:
        data = [value_of(components[each], wish, path) for each in dependency["inputs"]]
        header, body = as_json({"fn_index": dependency["id"], "data": data, "session_hash": session})
        call = "run/predict" if dependency["queue"] is False else "queue/join"
        answers.append(send(address, "POST", f"/en/gradio_api/{call}", [who, header], body))
        if call == "queue/join" and answers[-1].status == 200:
            answers.append(send(address, "GET", f"/en/gradio_api/queue/data?session_hash={session}", [who]))
    return answers


def test_no_handler_of_any_page_gives_bo_what_is_aikos(lab):
    address, folder, run = lab
    home, log = folder / "users" / "aiko", str(run.path / "log.txt")
    before, count = snapshot(home), 0
    for wish in wishes(run):
        for answer in asked(address, BO, wish, log):
            count += 1
            # what bo himself said may come back, also without this machine's folders
            said = answer.body.decode().replace(wish, "").replace(wish.removeprefix(f"{home.parent}/"), "")
            assert SECRET not in said, wish
    assert count >= 120
    assert snapshot(home) == before
    for made in list_runs(folder / "users" / "bo" / "runs"):
        assert SECRET not in json.dumps(made.config), made.config
    assert {path.name for path in (folder / "users").iterdir()} == {"aiko", "bo"}


@pytest.mark.parametrize("language", ["en", "ja"])
def test_no_address_gives_bo_what_is_aikos(lab, language):
    address, _, run = lab
    name, home = run.path.name, run.path.parent.parent
    files = [path for path in home.rglob("*") if path.is_file()]
    assert len(files) > 8
    paths = [f"/{language}/{page}?run={name}" for page in PAGES]
    paths += [f"/report/{name}/{language}", f"/report/..%2f..%2faiko%2fruns%2f{name}/{language}"]
    paths += [f"/{language}/gradio_api/file={quote(str(path))}" for path in files]
    paths += [f"/static/../../{quote(str(path))}" for path in files[:2]]
    for path in paths:
        said = send(address, "GET", path, [BO]).body.decode(errors="replace")
        assert SECRET not in said.replace(unquote(path.partition("file=")[2]), ""), path
    assert send(address, "GET", f"/report/{name}/en", [AIKO]).body == f'"{SECRET}"'.encode()


def test_the_same_requests_give_aiko_what_is_hers(lab):
    """Without which the tests above would say nothing; comes last, since one of the requests discards the run."""
    address, _, run = lab
    for wish in (run.path.name, f"store/{SECRET}@1"):
        answers = asked(address, AIKO, wish, str(run.path / "log.txt"))
        assert sum(SECRET in answer.body.decode().replace(wish, "") for answer in answers) > 2, wish
