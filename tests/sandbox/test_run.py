"""The sandbox: what is right passes, what is hostile neither gets out nor takes others along."""

import ast
import contextlib
import json
import math
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import psutil
import pytest
from hostile import ESCAPES, FILES, FLOODS, FORGERIES, MEMORY_OF_THE_LAB, SORTS, TEST, judged_by, sandbox_without

from lori_core.errors import TaskError
from lori_core.sandbox import judge, landlock
from lori_core.sandbox import run as sandbox
from lori_core.sandbox.jail import KEEPER, NOBODY
from lori_core.sandbox.run import Foreign, Isolation, Program, isolation, run_benchmark, run_tests
from lori_core.translate import messages

RIGHT = "def f(x):\n    return x + 1"


def verdict(source: str, **options: float) -> str:
    return run_tests([Program(source, "f", [((1,), 2)], **options)])[0]


@pytest.fixture(params=[True, False], ids=["namespaces", "no_namespaces"])
def namespaces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With whatever the system offers, and as where it refuses namespaces."""
    if not request.param:
        monkeypatch.setattr(sandbox, "FOLDER", sandbox_without("namespaces", tmp_path))


@pytest.fixture
def other_judge(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Gives the sandbox, and adds lines to one of its modules."""

    def add(module: str, lines: str) -> None:
        copy = sandbox_without("", tmp_path)
        with open(copy / f"{module}.py", "a") as file:
            file.write(lines)
        monkeypatch.setattr(sandbox, "FOLDER", copy)

    return add


def body(*lines: str) -> str:
    return "def f(x):\n" + "\n".join("    " + line for line in lines)


@pytest.mark.usefixtures("namespaces")
def test_a_right_function_passes_and_a_wrong_one_does_not():
    assert run_tests([Program(RIGHT, "f", [((1,), 2)]), Program(RIGHT, "f", [((1,), 2), ((2,), 4)])]) == [
        "passed",
        "wrong",
    ]


@pytest.mark.usefixtures("namespaces")
def test_results_keep_their_types():
    source = body("return x == 1")
    assert run_tests([Program(source, "f", [((1,), True)]), Program(source, "f", [((1,), 1)])]) == ["passed", "wrong"]
    assert run_tests([Program("def f(x):\n    return (x, {x: 'a'})", "f", [((1,), (1, {1: "a"}))])]) == ["passed"]


@pytest.mark.usefixtures("namespaces")
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
@pytest.mark.usefixtures("namespaces")
def test_what_could_reach_the_interpreter_is_refused_unread(source: str):
    assert verdict(source) == "refused"


@pytest.mark.parametrize(
    "name", ["exec", "eval", "open", "getattr", "type", "object", "input", "globals", "vars", "exit"]
)
@pytest.mark.usefixtures("namespaces")
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
@pytest.mark.usefixtures("namespaces")
def test_a_hostile_program_fails_and_the_next_one_is_still_judged(source: str, expected: str):
    # Half a second is for what never ends; a machine short of memory needs longer than that to run into its limit.
    seconds = 0.5 if expected == "timeout" else 10.0
    programs = [Program(source, "f", [((1,), 2)], seconds=seconds), Program(RIGHT, "f", [((1,), 2)])]
    assert run_tests(programs) == [expected, "passed"]


LEAVES = """
right = judge
def judge(source, *rest):
    if "abort" in source:
        os.abort()
    return os._exit(0) if "leave" in source else right(source, *rest)
"""


def test_a_program_that_ends_its_own_process_has_failed_and_the_rest_is_judged(other_judge):
    # No known program can, so the judge is made to play one: it leaves with status 0, then by a signal.
    other_judge("judge", LEAVES)
    programs = [Program(source, "f", [((1,), 2)]) for source in ("leave", "abort", RIGHT)]
    assert run_tests(programs) == ["crash", "crash", "passed"]


ENDS = """
right = verdict
def verdict(*given):
    if (found := right(*given)) == "refused":
        os._exit(0)
    return found
"""


def test_a_program_that_ends_the_warden_takes_nobody_along(other_judge):
    other_judge("judge", ENDS)
    programs = [Program(source, "f", [((1,), 2)]) for source in (RIGHT, "import os", RIGHT, "import os")]
    assert run_tests(programs) == ["passed", "crash", "passed", "crash"]


@pytest.mark.parametrize(
    "said",
    [
        "'0' * 32 + ' passed'",
        "'passed'",
        "read_exactly(SECRET).decode() + ' Passed'",
        "read_exactly(SECRET).decode() + ' passed passed'",
        "'x' * 10**8",
    ],
)
def test_only_a_known_word_beside_the_secret_of_the_program_is_a_verdict(other_judge, said: str):
    lines = "".join(
        f"    {line}\n" for line in ("say('limits')", "read_exactly(HEAD.unpack(read_exactly(HEAD.size))[0])")
    )
    other_judge("warden", f"def main(kind):\n{lines}    say({said})\n    read_exactly(1)\n")
    assert run_tests([Program(RIGHT, "f", [((1,), 2)])]) == ["crash"]


def test_a_program_can_neither_write_nor_open_nor_fork(other_judge):
    other_judge(
        "judge",
        "import resource\ndef judge(*_):\n"
        "    limits = [resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE, resource.RLIMIT_CORE]\n"
        "    assert [resource.getrlimit(each) for each in limits] == [(0, 0)] * 4\n"
        "    assert resource.getrlimit(resource.RLIMIT_CPU) == (2, 2)\n"
        "    assert resource.getrlimit(resource.RLIMIT_AS)[1] == MEMORY\n"
        "    try: open('/dev/null')\n    except OSError: return 'passed'\n",
    )
    assert run_tests([Program("", "f", [])]) == ["passed"]


def test_the_warden_has_no_environment_no_input_and_an_empty_folder(monkeypatch: pytest.MonkeyPatch, other_judge):
    spy = "def main(kind):\n    say(f'{len(os.environ)} {len(os.listdir())} {os.getsid(0) == os.getpid()}')\n"
    other_judge("warden", spy)
    monkeypatch.setenv("SECRET", "token")
    with sandbox._warden("judge") as (_, lines):
        environment, files, own_session = sandbox._line(lines, 20).split()
    assert int(environment) <= 1  # Python itself may set LC_CTYPE
    assert (files, own_session) == ("0", "True")


def test_a_judge_that_fails_is_told_and_not_taken_for_wrong_answers(other_judge):
    other_judge("warden", "def main(kind):\n    say('passed')\n")
    with pytest.raises(TaskError, match="0 of 2 programs"):
        run_tests([Program(RIGHT, "f", [])] * 2)


def test_a_judge_that_hangs_is_ended_with_all_it_started(monkeypatch: pytest.MonkeyPatch, other_judge):
    other_judge("warden", "def main(kind):\n    import time\n    os.fork()\n    time.sleep(600)\n")
    monkeypatch.setattr(sandbox, "_patience", lambda seconds: 2.0)
    with pytest.raises(TaskError):
        run_tests([Program(RIGHT, "f", [])])
    assert gone()


def gone() -> bool:
    """Whether, within ten seconds, no process of the sandbox is left: killing takes the kernel a moment."""
    for _ in range(100):
        if not of_the_sandbox():
            return True
        time.sleep(0.1)
    return False


def of_the_sandbox() -> list[psutil.Process]:
    found = [(process, " ".join(process.info["cmdline"] or [])) for process in psutil.process_iter(["cmdline"])]
    return [process for process, line in found if "warden.main" in line and str(sandbox.FOLDER.parent) in line]


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


# --- programs of benchmarks

# Without namespaces everything would be in root's reach, so foreign programs are refused there.
CONTAINED = "namespaces" in isolation()
contained = pytest.mark.skipif(not CONTAINED and os.geteuid() == 0, reason="root, and no namespaces here")
in_namespaces = pytest.mark.skipif(not CONTAINED, reason="this system offers no namespaces")


def foreign(source: str, test: str = TEST, setup: str = "", seconds: float = 1.0) -> str:
    """The verdict; the next program has to be judged as if nothing had happened."""
    programs = [Foreign(setup, source, test, "f", seconds), Foreign("", SORTS, TEST, "f")]
    verdict, after = run_benchmark(programs)
    assert after == "passed"
    return verdict


@contained
def test_benchmark_programs_may_use_all_of_python():
    source = (
        "import heapq\nfrom typing import List\nclass Sorter:\n    def sort(self, xs): return heapq.nsmallest(9, xs)\n"
    )
    assert (
        foreign(source + "def f(xs: List[int]):\n    try:\n        return Sorter().sort(xs)\n    finally: pass")
        == "passed"
    )
    source = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass Box:\n    xs: list\n"
    )
    assert foreign(source + "def f(xs):\n    return sorted(Box(xs).xs)") == "passed"
    assert foreign("def f(xs):\n    return xs") == "wrong"
    assert foreign("def g(xs):\n    return xs") == "error"
    assert foreign("def f(xs:") == "error"


@contained
def test_a_test_may_use_the_setup_keywords_raised_errors_and_the_name_of_the_function():
    test = """
def check(candidate):
    assert candidate(helped(1), by=2) == f(3, by=0)
    try:
        candidate("a")
    except Exception:
        return
    assert False
"""
    setup = "def helped(x):\n    return x\n"
    assert foreign(setup + "def f(x, by=0):\n    return x + by", test, setup) == "passed"


@contained
def test_results_arrive_as_what_they_equal():
    results = [True, 1.5, "a\nb", b"x", None, (1, [2]), {"a": {1, 2}}, {(1, 2): 3j}]
    test = "def check(candidate):\n" + "\n".join(f"    assert candidate({n}) == {r!r}" for n, r in enumerate(results))
    assert foreign(f"def f(n):\n    return {results!r}[n]", test) == "passed"
    source = "from collections import Counter, namedtuple\ndef f(xs):\n    return Counter(xs), namedtuple('P', 'x')(1)"
    test = "def check(candidate):\n    assert candidate('aab') == ({'a': 2, 'b': 1}, (1,))"
    assert foreign(source, test) == "passed"


@contained
@pytest.mark.parametrize(
    ("source", "test"),
    [
        (
            "def f(x):\n    return x / 10",
            "assert candidate(float('inf')) == math.inf and candidate(-math.inf) == -math.inf",
        ),
        ("def f(x):\n    return [x]", "assert math.isnan(candidate(math.nan)[0])"),
        ("def f(n):\n    return 10 ** n", "assert candidate(5000) == 10 ** 5000 and str(candidate(5000))[0] == '1'"),
        ("def f(x):\n    return int(str(x)) + 1", "assert candidate(-10 ** 5000) == 1 - 10 ** 5000"),
        ("def f(r):\n    return range(len(r))", "assert candidate(range(2, 9, 3)) == range(3)"),
        ("def f(n):\n    return 'é' * n", "assert candidate(5 * 10 ** 6) == 'é' * 5 * 10 ** 6"),
        (
            "def f(xs):\n    return xs[::-1]",
            "assert candidate(list(range(3 * 10 ** 5))) == list(range(3 * 10 ** 5))[::-1]",
        ),
        ("def f(xs):\n    return {frozenset(xs): [xs]}", "assert candidate({1, 2}) == {frozenset({1, 2}): [{1, 2}]}"),
    ],
    ids=["inf", "nan", "long integer", "long integer given", "range", "10 MB", "300,000 numbers", "frozenset"],
)
def test_right_results_of_every_size_and_kind_are_judged_right(source: str, test: str):
    assert foreign(source, f"import math\ndef check(candidate):\n    {test}", seconds=20.0) == "passed"


def test_a_function_may_return_nan_inf_and_long_integers():
    tests = [((math.nan,), [math.nan]), ((math.inf,), [math.inf]), ((10**5000,), [10**5000]), ((1,), [1])]
    source = "def f(x):\n    return [x]"
    wrong = Program(source, "f", [((1.0,), [math.nan])])
    assert run_tests([Program(source, "f", tests, seconds=10.0), wrong]) == ["passed", "wrong"]


@contained
def test_where_no_player_can_be_made_programs_have_crashed_and_the_judging_ends(other_judge):
    other_judge("play", "def play(*_):\n    raise OSError\n")
    assert run_benchmark([Foreign("", SORTS, TEST, "f")] * 2) == ["crash", "crash"]


@contained
def test_where_less_holds_than_was_said_no_program_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """As where a system has once no namespace left to give."""
    said = isolation()
    monkeypatch.setattr(sandbox, "FOLDER", sandbox_without("namespaces+seccomp", tmp_path))
    monkeypatch.setattr(sandbox, "isolation", lambda: said)
    trace = tmp_path / "ran"
    with pytest.raises(TaskError, match="0 of 1"):
        run_benchmark([Foreign("", f"open({str(trace)!r}, 'w')", TEST, "f")])
    assert not trace.exists()


@contained
def test_who_once_has_not_answered_has_failed_whatever_the_test_catches():
    test = "def check(candidate):\n    try: candidate([])\n    except BaseException: pass"
    assert foreign("import os\ndef f(xs):\n    os._exit(0)", test) == "crash"


@in_namespaces
def test_python_below_a_folder_of_the_name_of_the_cells_is_contained_all_the_same(other_judge):
    """As where everything is installed under /work."""
    other_judge("jail", "WORK = '/usr'\n")
    assert foreign(SORTS) == "passed"


# --- programs that mean harm

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """What nobody may call, and after the test: nobody has, and no file and no process is left."""
    home = set(Path.home().iterdir())
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as server:
        os.chmod(folder, 0o777)
        monkeypatch.setenv("TMPDIR", folder)
        yield {"PORT": str(server.getsockname()[1])}
        server.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody has called
            server.accept()
        assert os.listdir(folder) == []
    assert set(Path.home().iterdir()) == home
    assert gone()


def failed(verdicts: dict[str, list[str]]) -> bool:
    """Whether each program has failed, and the right one after it passed."""
    for name, (harmful, right) in verdicts.items():
        assert harmful in ("wrong", "error", "timeout", "crash"), name
        assert right == "passed", f"the program after: {name}"
    return len(verdicts) > 0


@in_namespaces
@pytest.mark.skipif("seccomp" not in isolation(), reason="this system offers no filter")
@pytest.mark.parametrize("user", [None, pytest.param(NOBODY, marks=as_root)], ids=["this user", "nobody"])
@pytest.mark.parametrize("table", [FORGERIES, FLOODS, ESCAPES | FILES], ids=["forgeries", "floods", "escapes"])
def test_a_hostile_program_is_contained_and_judged_failed_and_the_next_one_right(table, user, watched):
    programs = {name: source.replace("PORT", watched["PORT"]) for name, source in table.items()}
    assert failed(judged_by(user, sandbox.FOLDER, programs, 0.5))


@in_namespaces
@pytest.mark.parametrize("user", [None, pytest.param(NOBODY, marks=as_root)], ids=["this user", "nobody"])
def test_namespaces_alone_keep_a_verdict_from_being_forged(user, watched, open_folder):
    assert failed(judged_by(user, sandbox_without("seccomp", open_folder), FORGERIES, 0.5))


@as_root  # who can try this as somebody who owns no other process
@pytest.mark.skipif("seccomp" not in isolation(), reason="this system offers no filter")
@pytest.mark.parametrize("table", [FORGERIES, FLOODS, ESCAPES], ids=["forgeries", "floods", "escapes"])
def test_the_filter_alone_keeps_programs_from_other_processes_and_the_network(table, watched, open_folder):
    programs = {name: source.replace("PORT", watched["PORT"]) for name, source in table.items()}
    assert failed(judged_by(NOBODY, sandbox_without("namespaces+landlock", open_folder), programs, 0.5))


@as_root  # as above
@pytest.mark.skipif(not landlock.works(), reason="this kernel has no Landlock")
@pytest.mark.skipif("seccomp" not in isolation(), reason="this system offers no filter")
@pytest.mark.parametrize("table", [FORGERIES, ESCAPES | FILES], ids=["forgeries", "escapes"])
def test_landlock_keeps_verdicts_and_files_where_there_are_no_namespaces(table, watched, open_folder):
    programs = {name: source.replace("PORT", watched["PORT"]) for name, source in table.items()}
    programs["the memory of the lab"] = MEMORY_OF_THE_LAB
    assert failed(judged_by(NOBODY, sandbox_without("namespaces", open_folder), programs, 0.5))


@as_root
@pytest.mark.skipif("seccomp" not in isolation(), reason="this system offers no filter")
def test_the_filter_alone_leaves_the_memory_of_the_lab_in_reach(open_folder):
    """What docs/security.md says does not hold, and a control of the test above."""
    folder = sandbox_without("namespaces+landlock", open_folder)
    assert judged_by(NOBODY, folder, {"it": MEMORY_OF_THE_LAB}, 10.0)["it"] == ["passed", "passed"]


@as_root  # who may look into namespaces
@in_namespaces
def test_warden_and_program_are_different_users_in_different_namespaces():
    source = "import time\ntime.sleep(60)\ndef f(xs):\n    return xs"
    with ThreadPoolExecutor() as pool:
        judging = pool.submit(run_benchmark, [Foreign("", source, TEST, "f", 1.0)])
        seen: set[tuple[str, str, int]] = set()  # namespaces of processes and of users, user id
        while not judging.done():
            for process in of_the_sandbox():
                with contextlib.suppress(OSError, psutil.Error):
                    processes, users = (os.readlink(f"/proc/{process.pid}/ns/{kind}") for kind in ("pid", "user"))
                    seen.add((processes, users, process.uids().real))
            time.sleep(0.1)
    assert judging.result() == ["timeout"]
    own = {os.readlink(f"/proc/self/ns/{kind}") for kind in ("pid", "user")}
    ((processes, users, _),) = (each for each in seen if each[2] == KEEPER and not own & {*each})  # warden, examiner
    apart = [each for each in seen if not {processes, users, *own} & {*each}]
    assert {user for _, _, user in apart} == {NOBODY}  # the program, and the one that tried a cell


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may read; pytest's own are closed."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.mark.parametrize("missing", ["", "namespaces", "seccomp", "namespaces+landlock", "namespaces+seccomp"])
def test_what_holds_programs_is_said_and_has_a_sentence_in_both_languages(missing, monkeypatch, tmp_path):
    offered, left_out = isolation().split("+"), missing.split("+")
    monkeypatch.setattr(sandbox, "FOLDER", sandbox_without(missing, tmp_path))
    left = [each for each in offered if each not in (*left_out, "limits")]
    in_their_place = "seccomp" in left and "namespaces" not in left and landlock.works() and "landlock" not in left_out
    assert isolation() == ("+".join(["landlock"] * (in_their_place and "landlock" not in left) + left) or "limits")
    for language in ("en", "ja"):
        assert {f"report.isolation.{word}" for word in get_args(Isolation)} <= messages(language).keys()


@in_namespaces
def test_a_benchmark_program_is_nobody_in_an_empty_world():
    source = "import os\ndef f(path):\n"
    source += "    return os.listdir(path) if path else (os.getuid(), set(os.environ) - {'LC_CTYPE'})"
    test = """
def check(candidate):
    assert candidate("") == (65534, set())
    assert candidate(".") == [] and candidate("/dev") == ["null"]
    assert not {"etc", "proc", "sys", "run"} & set(candidate("/"))
"""
    assert foreign(source, test) == "passed"


def test_limits_hold_where_there_is_nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(sandbox, "FOLDER", sandbox_without("namespaces+seccomp", tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: NOBODY)  # root would not be allowed to
    sources = [
        "def f(xs):\n    while True: pass",
        "import os\nos._exit(0)",
        "def f(xs):\n    return bytearray(2**31)",
        SORTS,
    ]
    programs = [Foreign("", source, TEST, "f", 1.0) for source in sources]
    assert run_benchmark(programs) == ["timeout", "crash", "error", "passed"]


@pytest.mark.parametrize("held", ["limits", "seccomp"])
def test_root_runs_no_benchmark_program_where_there_are_no_namespaces(held, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setattr(sandbox, "isolation", lambda: held)
    with pytest.raises(TaskError, match="ordinary user"):
        run_benchmark([Foreign("", SORTS, TEST, "f")])


def test_all_canonical_solutions_of_humaneval_pass():
    folder = os.environ.get("LORI_DATA")
    if not folder:
        pytest.skip("LORI_DATA names no folder with real data")
    text = (Path(folder) / "hub/openai_humaneval/test.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    programs = [
        Foreign(row["prompt"], row["prompt"] + row["canonical_solution"], row["test"], row["entry_point"])
        for row in rows
    ]
    assert run_benchmark(programs) == ["passed"] * 164
