"""Events of a run, one JSON object a line of events.jsonl: their kinds, and how far they say the work is.

state     state: created | running | finished | failed | stopped; of a failure error, key, values or traceback
base      name, device, precision: where and in which precision the base computes
left_out  rows: reason -> how many rows are not used; task
plan      units: how many a study has; done: names of those that earlier sittings did
unit      name; state: started | done
step      step, steps, loss, learning_rate, tokens_per_second ...; task, method, stage: calibrate | train
mask      step, jaccard, kept: the mask that would result now; task, method
evaluate  done, total; task, split

What a sequence does for a task after its first has in "after" the tasks that it learned before, "nlu → safety".
"""

from typing import Any

Stage = tuple[str, str, str]  # task(s), method and what is done: ("math", "lori_s", "train"); "" where there is none


def learned_in(event: dict[str, Any]) -> str:
    """The task that an event is about, "math"; "safety → math" where one adapter learns it after another task."""
    return " → ".join(str(event[key]) for key in ("after", "task") if event.get(key))


def stage_of(event: dict[str, Any]) -> Stage:
    """What a "step" or "evaluate" event is about."""
    doing = event.get("stage") if event["kind"] == "step" else event["kind"]
    return learned_in(event), str(event.get("method") or ""), str(doing or "")


LINES_A_STAGE = 10  # of a training or a scoring, at most, where each is a line of text


def is_line(event: dict[str, Any]) -> bool:
    """Whether a "step" or an "evaluate" is one of the few that stand for their stage in a text."""
    done, total = how_far(event)
    return done == total or done % max(1, total // LINES_A_STAGE) == 0


def how_far(event: dict[str, Any]) -> tuple[int, int]:
    """(done, total) of the stage that a "step" or "evaluate" event tells of."""
    return (event["step"], event["steps"]) if event["kind"] == "step" else (event["done"], event["total"])
