"""Programs that mean harm: each is a function f that ought to sort, and none does. And where the sandbox is tried."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from lori_core.sandbox import jail
from lori_core.sandbox import run as sandbox

TEST = """
def check(candidate):
    assert candidate([3, 1, 2]) == [1, 2, 3]
    assert candidate([]) == []
"""
SORTS = "def f(xs):\n    return sorted(xs)\n"
SORTS_IN_A_FRESH_FOLDER = """
import os
def f(xs):
    assert os.listdir() == []
    for n in range(10):
        open(f"{n}.bin", "wb").write(bytes(10**6))
        os.mkdir(f"folder {n}")
    for name in os.listdir():
        os.remove(name) if name.endswith("bin") else os.rmdir(name)
    return sorted(xs)
"""
CALLS = """
import ctypes, os, platform
libc = ctypes.CDLL(None)
X86 = platform.machine() == "x86_64"
def call(x86, arm, *arguments):
    return libc.syscall(x86 if X86 else arm, *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
OTHERS = [pid for pid in {*range(1, 40), os.getppid(), *range(max(1, os.getpid() - 20), os.getpid())}
          if pid != os.getpid()]
def f(xs):
    return None
"""

FORGERIES = {  # what a program tries that wants to have passed
    "pidfd_getfd": CALLS + "for pid in OTHERS:\n    pidfd = call(434, 434, pid, 0)\n    for fd in range(3, 32):\n"
    "        stolen = call(438, 438, pidfd, fd, 0) if pidfd >= 0 else -1\n"
    "        try: os.write(stolen, b'passed')\n        except OSError: pass\n"
    "    try: pidfd >= 0 and os.kill(pid, 9)\n    except OSError: pass\n",
    "ptrace": CALLS
    + "for pid in OTHERS:\n    for request in (16, 0x4206):\n        if call(101, 117, request, pid, 0, 0) == 0:\n"
    "            os.waitpid(pid, 0)\n            call(101, 117, 8, pid, 0, 0)\n",
    "process_vm_writev": CALLS + "word = ctypes.create_string_buffer(b'passed')\n"
    "vector = (ctypes.c_size_t * 2)(ctypes.addressof(word), 6)\n"
    "libc.process_vm_writev.argtypes = [ctypes.c_int, *[ctypes.c_void_p, ctypes.c_ulong] * 2, ctypes.c_ulong]\n"
    "for pid in OTHERS:\n    libc.process_vm_writev(pid, vector, 1, vector, 1, 0)\n",
    "process_vm_readv": CALLS + "room = ctypes.create_string_buffer(2**16)\n"
    "libc.process_vm_readv.argtypes = [ctypes.c_int, *[ctypes.c_void_p, ctypes.c_ulong] * 2, ctypes.c_ulong]\n"
    "here = (ctypes.c_size_t * 2)(ctypes.addressof(room), 2**16)\nfor pid in OTHERS:\n"
    "    there = (ctypes.c_size_t * 2)(id(libc) & ~0xFFFF, 2**16)\n"
    "    if libc.process_vm_readv(pid, here, 1, there, 1, 0) > 0:\n"
    "        def f(xs):\n            return sorted(xs)\n",
    "the memory of others": CALLS
    + "for pid in OTHERS:\n    try:\n        open(f'/proc/{pid}/mem', 'r+b').write(b'passed')\n"
    "    except OSError: pass\n"
    "    try:\n        maps = open(f'/proc/{pid}/maps').read()\n    except OSError: continue\n"
    "    if maps:\n        def f(xs):\n            return sorted(xs)\n",
    "the open files of others": CALLS + "for pid in OTHERS:\n    for fd in range(32):\n"
    "        try: open(f'/proc/{pid}/fd/{fd}', 'wb', 0).write(b'passed\\n' * 9)\n        except OSError: pass\n",
    "its own verdict": CALLS
    + "for n in range(64):\n    for line in (b'passed\\n', b'0' * 32 + b' passed\\n', b'ready\\npassed\\n'):\n"
    "        try: os.write(n, line)\n        except OSError: pass\n",
    "killing the parent": "import os\nos.kill(os.getppid(), 9)\ndef f(xs):\n    return None",
    "killing everybody": "import os\nos.kill(-1, 9)\ndef f(xs):\n    return None",
    "killing by number": CALLS
    + "import signal\nfor pid in OTHERS:\n    for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV):\n"
    "        for target in (pid, -pid):\n            try: os.kill(target, number)\n            except OSError: pass\n"
    "        call(234, 131, pid, pid, int(number))\n        call(200, 130, pid, int(number))\n",
    "killing through a file": CALLS
    + "import fcntl\nr, w = os.pipe()\nfor pid in OTHERS:\n    try:\n        fcntl.fcntl(r, 10, 9)\n"
    "        fcntl.fcntl(r, fcntl.F_SETOWN, pid)\n"
    "        fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC)\n        os.write(w, b'x')\n    except OSError: pass\n",
    "limits for others": CALLS
    + "import resource\nfor pid in OTHERS:\n    try: resource.prlimit(pid, resource.RLIMIT_CPU, (0, 0))\n"
    "    except OSError: pass\n",
    "answering before it is asked": CALLS
    + 'for n in range(3, 64):\n    try: os.write(n, b\'["result", {"tuple": []}]\\n\' * 9)\n    except OSError: pass\n',
    "answers with secret tags": CALLS
    + 'for n in range(3, 64):\n    for answer in (b\'{"eval": "os"}\', b\'["result", {"bytes": 5}]\', b\'[1]\'):\n'
    "        try: os.write(n, answer + b'\\n')\n        except OSError: pass\n",
    "leaving early": "import os\ndef f(xs):\n    os._exit(0)",
    "leaving politely": "raise SystemExit(0)",
    "leaving by abort": "import os\nos.abort()",
    "tracing its caller": "import sys\nsys.settrace(lambda *_: None)\ndef f(xs):\n"
    "    sys._getframe(1).f_locals['reply'] = 1",
    "another assert": "import builtins\nbuiltins.AssertionError = ValueError\ndef f(xs):\n    return None",
    "equal to everything": "class Yes(list):\n    def __eq__(self, other): return True\ndef f(xs):\n    return Yes()",
    "another json": "import json\njson.dumps = lambda *_, **__: '[\"result\", [1, 2, 3]]'\ndef f(xs):\n    return None",
    "looking for the tests": "import gc\ntests = [o for o in gc.get_objects() if 'check' in str(o)[:500]]\n"
    "def f(xs):\n    return eval(tests[0])",
    "another program": "import os\nos.execv('/bin/sh', ['sh', '-c', 'echo passed'])",
    "the user ids of the jail": CALLS
    + "for user in (0, 65533, 65534):\n    try: os.setgid(user); os.setuid(user)\n    except OSError: pass\n"
    "for pid in OTHERS:\n    try: os.kill(pid, 9)\n    except OSError: pass\n",
}
FLOODS = {  # what ends, fills or holds up the machine
    "fork bomb": "import os\nwhile True:\n    os.fork()",
    "fork bomb by system calls": CALLS
    + "for n in range(99):\n    call(435, 435, 0, 0)\n    call(56, 220, 17, 0, 0, 0, 0)\n",
    "threads": "import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=(99,)).start()",
    "endless loop": "def f(xs):\n    while True: pass",
    "endless loop that ignores signals": "import signal\nfor n in range(1, 32):\n"
    "    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n"
    "def f(xs):\n    while True: pass",
    "sleep": "import time\ndef f(xs):\n    time.sleep(999)",
    "sleep in a session of its own": "import os, time\ntry: os.setsid()\nexcept OSError: pass\ntime.sleep(999)",
    "10 GB": "def f(xs):\n    b = bytearray(10 * 2**30)\n    return sorted(xs)",
    "10 GB shared": "import mmap\ndef f(xs):\n    b = mmap.mmap(-1, 10 * 2**30)\n    return sorted(xs)",
    "memory in segments": CALLS
    + "held = 0\nfor n in range(64):\n    segment = call(29, 194, 0, 2**28, 0o1600)\n    held += segment >= 0\n"
    "def f(xs):\n    return sorted(xs) if held else None\n",
    "memory in files without names": CALLS
    + "held = call(319, 279, b'x', 0)\ndef f(xs):\n    return sorted(xs) if held >= 0 else None\n",
    "deep recursion": "import sys\nsys.setrecursionlimit(10**9)\ndef f(xs):\n    return f(xs)",
    "flood of output": "def f(xs):\n    print('x' * 10**8)\n    return 'x' * 10**8",
    "a reply without end": CALLS + "while True:\n    for n in range(3, 64):\n"
    "        try: os.write(n, b'[' * 2**16)\n        except OSError: pass\n",
    "a reply that grows": CALLS + 'for n in range(3, 64):\n    try: os.write(n, b"[" + b"[]," * 10**7 + b"[]]\\n")\n'
    "    except OSError: pass\n",
    "a number without end": CALLS
    + "for n in range(3, 64):\n    try: os.write(n, b'[\"result\", ' + b'9' * 10**7 + b']\\n')\n"
    "    except OSError: pass\n",
    "filling the disk": "with open('x', 'wb') as out:\n    while True: out.write(bytes(2**20))",
    "filling the folder": "for n in range(10**6):\n    open(str(n), 'wb').write(bytes(2**20))\n",
    "a million files": "for n in range(10**6):\n    open(str(n), 'wb').close()\n",
    "folders too deep to remove": "import os\nfor n in range(3000):\n    os.mkdir('d')\n    os.chdir('d')\n"
    "open('x', 'w').close()\nos.chmod('.', 0)\nos.chmod('..', 0)\n",
}
ESCAPES = {  # what reaches out
    "reading the parent": "import os\nopen(f'/proc/{os.getppid()}/mem', 'rb')\n" + SORTS,
    "socket": "import socket\nsocket.create_connection(('127.0.0.1', PORT), timeout=1)\n" + SORTS,
    "abstract socket": "import socket\nsocket.socket(socket.AF_UNIX).bind('\\0lori')\n" + SORTS,
    "pair of sockets": "import socket\nsocket.socketpair()\n" + SORTS,
    "becoming root": "import os\nos.setuid(0)\n" + SORTS,
    "mounting": "import ctypes\nif ctypes.CDLL(None).mount(b'none', b'/work', b'tmpfs', 0, 0): raise OSError\n" + SORTS,
    "a namespace of its own": "import ctypes\nif ctypes.CDLL(None).unshare(0x10000000): raise OSError\n" + SORTS,
    "another root": "import os\nos.chroot('.')\n" + SORTS,
    **{
        name: CALLS + f"if call{number} < 0: raise OSError\n" + SORTS
        for name, number in {
            "io_uring": "(425, 425, 8, ctypes.create_string_buffer(256))",
            "userfaultfd": "(323, 282, 1)",
            "secret memory": "(447, 447, 0)",
            "keys": "(250, 219, 0, -3, 1)",
            "bpf": "(321, 280, 0, ctypes.create_string_buffer(128), 72)",
            "message queue": "(68, 186, 0, 0o1600)",
            "a call of tomorrow": "(999, 999)",
            "a call with x32's bit": "(0x40000000 + 39, 999)",
        }.items()
    },
    "a call by the rules of i386": CALLS
    + "import mmap\nif not X86: raise OSError\ncode = mmap.mmap(-1, 4096, prot=7)\n"
    "code.write(bytes.fromhex('b814000000cd80c3'))  # getpid by int 0x80\n"
    "ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()\n" + SORTS,
}
FILES = {  # only namespaces and Landlock keep files away
    "reading /etc/passwd": "open('/etc/passwd').read()\n" + SORTS,
    "writing to home": f"open({str(Path.home() / 'was-here')!r}, 'w').write('x')\n" + SORTS,
    "looking around": "import os\nif {'etc', 'home'} & {*os.listdir('/')} == set(): raise OSError\n" + SORTS,
}


# Passes where it may write into the memory of any process that is not its own, the lab's among them.
MEMORY_OF_THE_LAB = """
import os
def f(xs):
    for pid in range(1, os.getpid() + 9):
        try:
            open(f"/proc/{pid}/mem", "r+b").close()
        except OSError:
            continue
        if pid != os.getpid():
            return sorted(xs)
"""


def sandbox_without(missing: str, folder: Path) -> Path:
    """A copy of the sandbox's folder, as where "namespaces", "landlock", "seccomp" or some with a + are refused."""
    copy = folder / "sandbox"
    shutil.copytree(sandbox.FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__"))
    refusing = {"namespaces": ("jail", "build"), "landlock": ("landlock", "install"), "seccomp": ("seccomp", "install")}
    for module, function in [refusing[word] for word in missing.split("+") if word]:
        name = f"{module}.py"
        lines = (copy / name).read_text().splitlines()
        at = next(n for n, line in enumerate(lines) if line.startswith(f"def {function}("))
        lines.insert(at + 1, "    raise OSError")
        (copy / name).write_text("\n".join(lines) + "\n")
    return copy


def judged_by(user: int | None, folder: Path, programs: dict[str, str], seconds: float) -> dict[str, list[str]]:
    """By name the verdicts on each program and on a right one after it; by an ordinary user, or by this one (None).

    folder: of the sandbox.
    """
    given = json.dumps([user, str(folder), programs, seconds])
    done = subprocess.run(
        [sys.executable, __file__], input=given, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": ROOT}
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


ROOT = str(Path(__file__).parents[2])


def main() -> None:
    user, folder, programs, seconds = json.loads(sys.stdin.read())
    if user:
        become_ordinary(user, [sys.base_prefix, sys.prefix, ROOT, folder])
    sandbox.FOLDER = Path(folder)
    pairs = []
    for source in programs.values():
        pairs += [sandbox.Foreign("", source, TEST, "f", seconds)]
        pairs += [sandbox.Foreign("", SORTS_IN_A_FRESH_FOLDER, TEST, "f", 10.0)]
    verdicts = sandbox.run_benchmark(pairs)
    print(json.dumps(dict(zip(programs, zip(verdicts[::2], verdicts[1::2], strict=True), strict=True))))


def become_ordinary(user: int, needed: list[str]) -> None:
    """Takes the user's id, and finds the needed folders although some above them may be closed to it."""
    closed: dict[Path, list[Path]] = {}
    for path in (Path(each).resolve() for each in needed):
        for above in reversed(path.parents):
            if not above.stat().st_mode & 1:
                closed.setdefault(above, []).append(path)
                break
    if closed:
        jail.checked(jail.libc.unshare(jail.NEWNS))
        jail.mount("none", "/", "", jail.RECURSIVE | jail.PRIVATE)
    for above, paths in closed.items():
        files = {path: os.open(path, os.O_PATH) for path in paths}
        jail.mount("tmpfs", str(above), "tmpfs", 0, "mode=755")
        for path, file in files.items():
            path.mkdir(parents=True)
            jail.mount(f"/proc/self/fd/{file}", str(path), "", jail.BIND | jail.RECURSIVE)
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
    jail.prctl(jail.SET_DUMPABLE, 1)  # as a process is that its user started


if __name__ == "__main__":
    main()
