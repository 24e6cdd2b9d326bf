"""Attempts: counted by key, forgotten with time, in bounded memory."""

from app.attempts import MOST_KEYS, Attempts


def test_attempts_are_counted_by_key_forgotten_with_time_and_taken_back():
    now = 0.0
    attempts = Attempts(2, 10, lambda: now)
    assert [attempts.take("a") for _ in range(3)] == [True, True, False] and attempts.take("b")
    attempts.take_back("a")
    assert [attempts.take("a") for _ in range(2)] == [True, False]
    now = 10.0
    assert attempts.take("a")


def test_attempts_of_any_number_of_keys_take_bounded_memory():
    attempts = Attempts(1, 10)
    for key in range(MOST_KEYS + 100):
        attempts.take(key)
    assert len(attempts._times) == MOST_KEYS
