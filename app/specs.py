"""Specs of runs that go from one lab to another: checked whole before a run is made of one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lori_core.config import parse
from lori_core.errors import RunError
from lori_core.study.reach import Reach
from lori_core.study.runs import Run, read_spec
from lori_core.study.specs import JOBS
from lori_core.study.there import check_there

POWERS = ("trust_remote_code", "allow_code_execution")  # run foreign code: for the command line alone to ask for
ABSENT = "–"


def checked_spec(file: Path, reach: Reach) -> tuple[str, dict[str, Any]]:
    """(kind, config) of a spec.json from elsewhere.

    Raises:
        RunError: it is no spec, of an unknown kind, or asks to run foreign code. ConfigError: a field is unknown, its
            value cannot be, or it names what is out of reach. TaskError, DataError, ModelError: a task or a base is not
            there.
    """
    kind, config = read_spec(file)
    try:
        text = json.dumps(config)
    except RecursionError:
        raise RunError("damaged_spec", path=file.name[:80]) from None
    if kind not in JOBS:
        raise RunError("unknown_run_kind", path=file.name[:80], kind=kind[:80], known=", ".join(JOBS))
    refuse_powers(config)
    checked = parse(JOBS[kind], text)
    reach.check(checked)
    check_there(checked)
    return kind, checked.model_dump(mode="json")


def refuse_powers(settings: Mapping[str, Any]) -> None:
    """Raises RunError where settings ask to run foreign code: the account that would run it is that of all users."""
    if asked := [power for power in POWERS if settings.get(power)]:
        raise RunError("spec_runs_code", field=asked[0])


def differences(one: Run, other: Run) -> list[tuple[str, str, str]]:
    """(field, value in one, value in the other) where they differ; "adapter.rank" is a field of a field."""
    first, second = _flat({"kind": one.kind, **one.config}), _flat({"kind": other.kind, **other.config})
    fields = dict.fromkeys([*first, *second])
    rows = [(field, first.get(field, ABSENT), second.get(field, ABSENT)) for field in fields]
    return [row for row in rows if row[1] != row[2]]


def _flat(config: dict[str, Any], before: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for field, value in config.items():
        if isinstance(value, dict) and value:
            found |= _flat(value, f"{before}{field}.")
        else:
            found[before + field] = json.dumps(value, ensure_ascii=False)
    return found
