"""Uploads go away by themselves."""

import os
import time

from app.uploads import DAY, clean


def test_uploads_go_away_after_a_day_and_newer_ones_stay(tmp_path):
    for name in ("a/old", "b/new", "b/old", "c/d/old"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a/link").symlink_to(tmp_path / "b")
    past = time.time() - 2 * DAY
    for path in tmp_path.rglob("*"):
        if path.name != "new":
            os.utime(path, (past, past), follow_symlinks=False)
    clean(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "b/new"]
