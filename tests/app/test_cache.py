"""What many readers ask for is found out once."""

import threading
import time

from app.cache import TtlCache
from app.following import follow
from lori_core.study.runs import Run


def test_many_who_ask_at_once_get_one_answer_that_is_found_out_once():
    cache, asked, answers = TtlCache(), [], []

    def find_out() -> str:
        asked.append(1)
        time.sleep(0.05)
        return "found"

    threads = [threading.Thread(target=lambda: answers.append(cache.of("question", 60, find_out))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["found"] * 8 and len(asked) == 1
    assert cache.of("another", 60, lambda: 2) == 2


def test_an_answer_that_is_too_old_is_found_out_again_and_forgotten():
    cache = TtlCache()
    assert cache.of("old", 0, lambda: 1) == 1
    assert cache.of("old", 0, lambda: 2) == 2
    for number in range(100):
        cache.of(number, 0, str)
    assert len(cache._kept) == 1


def test_what_is_followed_in_pieces_is_what_is_followed_at_once(tmp_path):
    run = Run.create(tmp_path, "study", {})
    event = {"kind": "step", "task": "math", "method": "lori_s", "stage": "train", "steps": 9, "loss": 0.5}
    for step in (1, 2, 3, 2):  # resumed from a checkpoint after the third
        run.emit(event | {"step": step})
        found = follow(run)
    found.losses.clear()  # a reader's own copy
    elsewhere = Run(run.path.rename(tmp_path / "elsewhere"), run.kind, run.config)
    assert follow(elsewhere).losses == {("math", "lori_s", "train"): [(1, 0.5), (2, 0.5)]}
    run.path.symlink_to(elsewhere.path)
    assert follow(run).losses == follow(elsewhere).losses


def test_a_torn_line_is_read_once_it_is_whole(tmp_path):
    run = Run.create(tmp_path, "study", {})
    with open(run.path / "events.jsonl", "ab") as file:
        file.write(b'{"kind": "unit", "time": 1, "state": "done", ')
        file.flush()
        assert follow(run).done == set()
        file.write(b'"name": "a"}\n')
    assert follow(run).done == {"a"}
