"""The sandbox: what is right passes, what is hostile neither gets out nor takes others along."""

import ast
import os
import subprocess
import sys

import pytest

from lori_core import judge, sandbox
from lori_core.errors import TaskError
from lori_core.sandbox import Program, run_tests

RIGHT = "def f(x):\n    return x + 1"


def verdict(source: str, **options: float) -> str:
    return run_tests([Program(source, "f", [((1,), 2)], **options)])[0]


def body(*lines: str) -> str:
    return "def f(x):\n" + "\n".join("    " + line for line in lines)


def test_a_right_function_passes_and_a_wrong_one_does_not():
    assert run_tests([Program(RIGHT, "f", [((1,), 2)]), Program(RIGHT, "f", [((1,), 2), ((2,), 4)])]) == [
        "passed",
        "wrong",
    ]


def test_results_keep_their_types():
    source = body("return x == 1")
    assert run_tests([Program(source, "f", [((1,), True)]), Program(source, "f", [((1,), 1)])]) == ["passed", "wrong"]
    assert run_tests([Program("def f(x):\n    return (x, {x: 'a'})", "f", [((1,), (1, {1: "a"}))])]) == ["passed"]


def test_ordinary_python_is_allowed():
    source = """
def helper(xs: list[int], least: int = 0) -> list[int]:
    return [x for x in xs if x > least]

def f(x):
    total, words = 0, {}
    for i, y in enumerate(helper([x, 2, 3], least=1)):
        while y > 0:
            y -= 1
            total += i
    words.setdefault("a", []).append(f"{total:>3}".strip().upper())
    print(words)
    best = max(words.items(), key=lambda pair: len(pair[1]))
    return 2 if best[0] == "a" and total else sum(map(int, "11"[::-1]))
"""
    assert verdict(source) == "passed"


@pytest.mark.parametrize(
    "source",
    [
        "import os\n" + RIGHT,
        body("return ().__class__"),
        body("return '{0.__class__}'.format(x)"),
        body("return __import__('os')"),
        body("return (lambda: 0).func_globals"),
        body("return (y for y in [x]).gi_frame"),
        "def __f(x):\n    return 2\nf = __f",
        "class f:\n    pass",
        body("try:", "    return 2", "except:", "    pass"),
        body("return x" + " " * judge.LONGEST_SOURCE),
    ],
)
def test_what_could_reach_the_interpreter_is_refused_unread(source: str):
    assert verdict(source) == "refused"


@pytest.mark.parametrize(
    "name", ["exec", "eval", "open", "getattr", "type", "object", "input", "globals", "vars", "exit"]
)
def test_dangerous_builtins_are_not_there(name: str):
    assert verdict(body(f"{name}", "return x + 1")) == "error"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (body("while True:", "    pass"), "timeout"),
        (body("return 9 ** 9 ** 9"), "timeout"),  # inside one C function: no signal handler of Python's would run
        (body("return [0] * 10 ** 12"), "error"),
        (body("xs = [0]", "while True:", "    xs = xs + xs"), "error"),
        (body("return 'a' * 10 ** 11"), "error"),
        (body("return f(x)"), "error"),
        (body("return " + "(" * 5000 + "1" + ")" * 5000), "error"),
        (body("return '\0'"), "error"),
        (body("print('x' * 10 ** 7)", "return x + 1"), "passed"),
        ("def f(x:", "error"),
        ("g = 1", "error"),
        ("f = int", "error"),
        ("", "error"),
    ],
)
def test_a_hostile_program_fails_and_the_next_one_is_still_judged(source: str, expected: str):
    programs = [Program(text, "f", [((1,), 2)], seconds=0.5) for text in (source, RIGHT)]
    assert run_tests(programs) == [expected, "passed"]


def test_a_program_that_ends_its_own_process_has_failed_and_the_rest_is_judged():
    # No known program can, so the judge is made to play one: it leaves with status 0, then by a signal.
    script = (
        f"import sys, os; sys.path.insert(0, {os.path.dirname(judge.__file__)!r}); import judge\n"
        "right = judge.judge\n"
        "judge.judge = lambda *_: os._exit(0); print(judge.judge_in_fork('', 'f', [], 1.0))\n"
        "judge.judge = lambda *_: os.abort(); print(judge.judge_in_fork('', 'f', [], 1.0))\n"
        "judge.judge = right; print(judge.judge_in_fork('def f(): return 1', 'f', [([], 1)], 1.0))\n"
    )
    found = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["crash", "crash", "passed"]


def test_a_program_can_neither_write_nor_open_nor_fork():
    script = (
        f"import sys, os; sys.path.insert(0, {os.path.dirname(judge.__file__)!r}); import judge, resource\n"
        "judge.contain(1.0)\n"
        "limits = [resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE, resource.RLIMIT_CORE]\n"
        "print([resource.getrlimit(each) for each in limits] == [(0, 0)] * 4)\n"
        "print(resource.getrlimit(resource.RLIMIT_CPU), resource.getrlimit(resource.RLIMIT_AS)[1] == judge.MEMORY)\n"
        "try: open('/dev/null')\nexcept OSError: print('no file')\n"
    )
    found = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == ["True", "(2, 2) True", "no file"]


def test_the_judge_has_no_environment_no_input_and_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path):
    spy = tmp_path / "spy.py"
    spy.write_text(
        "import os, sys\nsys.stdin.read()\nprint(len(os.environ), len(os.listdir('.')), os.getsid(0) == os.getpid())"
    )
    monkeypatch.setattr(sandbox, "JUDGE", spy)
    monkeypatch.setenv("SECRET", "token")
    environment, files, own_session = sandbox._ask_judge("[]", 20).split()
    assert int(environment) <= 1  # Python itself may set LC_CTYPE
    assert (files, own_session) == ("0", "True")


def test_a_judge_that_fails_is_told_and_not_taken_for_wrong_answers(monkeypatch: pytest.MonkeyPatch, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("print('passed')")
    monkeypatch.setattr(sandbox, "JUDGE", broken)
    with pytest.raises(TaskError, match="1 of 2 programs"):
        run_tests([Program(RIGHT, "f", [])] * 2)


def test_a_judge_that_hangs_is_ended_with_all_it_started(monkeypatch: pytest.MonkeyPatch, tmp_path):
    pid_file = tmp_path / "pid"
    hanging = tmp_path / "hanging.py"
    hanging.write_text(
        f"import os, time\npid = os.fork()\nif pid: open({str(pid_file)!r}, 'w').write(str(pid))\ntime.sleep(600)"
    )
    monkeypatch.setattr(sandbox, "JUDGE", hanging)
    monkeypatch.setattr(sandbox, "_patience", lambda programs: 2.0)
    with pytest.raises(TaskError):
        run_tests([Program(RIGHT, "f", [])])
    state = subprocess.run(["ps", "-o", "stat=", "-p", pid_file.read_text()], capture_output=True, text=True).stdout
    assert state.strip() == "" or state.startswith("Z")


def test_one_process_judges_many_programs(monkeypatch: pytest.MonkeyPatch):
    started = []
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **options: started.append(1) or real(*args, **options))
    programs = [Program(f"def f(x):\n    return x + {n}", "f", [((1,), 2)]) for n in range(40)]
    assert [index for index, each in enumerate(run_tests(programs)) if each == "passed"] == [1]
    assert len(started) == 1


def test_nothing_to_judge_starts_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    assert run_tests([]) == []


def test_the_lists_name_what_exists_and_nothing_private():
    assert all(not name.startswith("_") for name in [*judge.BUILTINS.split(), *judge.METHODS.split()])
    kinds = (str, list, dict, set, int, float)
    assert all(any(hasattr(kind, name) for kind in kinds) for name in judge.METHODS.split())
    assert not {"format", "format_map", "mro"} & set(judge.METHODS.split())
    assert not {ast.Import, ast.ImportFrom, ast.ClassDef, ast.Try, ast.With} & set(judge.SYNTAX)
