"""The filter of system calls: what it answers on both machines, and what the kernel makes of it on this one."""

import ctypes
import errno
import os
import re
import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("seccomp is Linux'", allow_module_level=True)

from lori_core.sandbox import seccomp
from lori_core.sandbox.seccomp import ALLOW, KILL, MACHINES, NOT_HERE, REFUSE, UNKNOWN

PROCESS = 4711
TABLES = seccomp.REFUSED | seccomp.MORE_PROCESSES | seccomp.TO_ITSELF
HEADERS = {"x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "aarch64": "/usr/include/asm-generic/unistd.h"}


def answer(machine: str, number: int, *arguments: int, alone: int | None = PROCESS, architecture: int = 0) -> int:
    """What the filter returns for a call, by the rules of classic BPF."""
    column, own = MACHINES[machine]
    data = {seccomp.NUMBER: number, seccomp.ARCHITECTURE: architecture or own}
    data |= {seccomp.ARGUMENT + 8 * n: value & 0xFFFFFFFF for n, value in enumerate((*arguments, 0, 0))}
    lines = seccomp.program(column, own, alone)
    at, word = 0, 0
    while True:
        code, skip_if_true, skip_if_false, constant = lines[at]
        at += 1
        match code:
            case seccomp.LOAD:
                word = data[constant]
            case seccomp.RETURN:
                return constant
            case seccomp.EQUAL:
                at += skip_if_true if word == constant else skip_if_false
            case seccomp.AT_LEAST:
                at += skip_if_true if word >= constant else skip_if_false


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    return request.param


def test_what_is_refused_is_refused_and_the_rest_is_not(machine: str):
    column, _ = MACHINES[machine]
    refused = {numbers[column] for numbers in TABLES.values()} - {NOT_HERE}
    special = {seccomp.PRLIMIT[column], seccomp.FCNTL[column]}
    for number in range(seccomp.SINCE_2019):
        if number not in special:
            assert answer(machine, number) == (REFUSE if number in refused else ALLOW)


def test_a_call_that_came_after_2019_or_is_yet_to_come_is_unknown(machine: str):
    for number in (*range(seccomp.SINCE_2019, 600), 2**30, 2**30 + 39, 2**32 - 1):
        assert answer(machine, number) == (ALLOW if number in seccomp.NEW else UNKNOWN)


def test_a_call_by_the_rules_of_another_machine_is_the_end(machine: str):
    (other,) = (architecture for name, (_, architecture) in MACHINES.items() if name != machine)
    for architecture in (other, 0x40000003, 0x40000028):  # i386, 32-bit arm
        assert answer(machine, 0, architecture=architecture) == KILL


def test_signals_and_limits_go_to_the_process_itself(machine: str):
    column, _ = MACHINES[machine]
    for numbers in seccomp.TO_ITSELF.values():
        assert answer(machine, numbers[column], PROCESS) == ALLOW
        for target in (0, -1, 1, -PROCESS, PROCESS + 1):
            assert answer(machine, numbers[column], target) == REFUSE
    assert [answer(machine, seccomp.PRLIMIT[column], target) for target in (0, PROCESS, 1)] == [ALLOW, ALLOW, REFUSE]
    assert [answer(machine, seccomp.FCNTL[column], 0, command) for command in (1, 2, *seccomp.SIGNALLING)] == [
        *[ALLOW] * 2,
        *[REFUSE] * 3,
    ]


def test_who_is_not_alone_may_fork_and_end_its_children_and_no_more(machine: str):
    column, _ = MACHINES[machine]
    freed = {numbers[column] for numbers in (seccomp.MORE_PROCESSES | seccomp.TO_ITSELF).values()} - {NOT_HERE}
    for number in freed:
        assert answer(machine, number, 1, alone=None) == ALLOW
    for numbers in seccomp.REFUSED.values():
        assert numbers[column] == NOT_HERE or answer(machine, numbers[column], alone=None) == REFUSE


def test_the_numbers_are_those_of_the_kernels_headers(machine: str):
    header = Path(HEADERS[machine])
    if not header.exists():
        pytest.skip("the kernel's headers are not installed")
    real = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+) (\d+)", header.read_text())}
    column, _ = MACHINES[machine]
    for name, numbers in (TABLES | {"prlimit64": seccomp.PRLIMIT, "fcntl": seccomp.FCNTL}).items():
        assert numbers[column] == real.get(name, NOT_HERE), name


def behind_the_filter(number: int, *arguments: int) -> int:
    """errno of the call in a child; 0 where it was allowed, -1 where the child did not live to say so."""
    child = os.fork()
    if child == 0:
        seccomp.install()
        ctypes.set_errno(0)
        failed = seccomp.libc.syscall(number, *map(ctypes.c_long, arguments)) < 0
        os._exit(ctypes.get_errno() if failed else 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(os.uname().machine not in MACHINES, reason="no filter on this machine")
def test_the_kernel_answers_as_the_filter_says():
    column, _ = MACHINES[os.uname().machine]
    for name, numbers in TABLES.items():
        if numbers[column] != NOT_HERE:
            assert behind_the_filter(numbers[column], 1) == errno.EPERM, name
    for number in (425, 434, 435, 438, 447, 999):  # io_uring_setup, pidfd_open, clone3, pidfd_getfd, memfd_secret
        assert behind_the_filter(number) == errno.ENOSYS
    assert behind_the_filter(seccomp.FCNTL[column], 1, 1) == 0  # F_GETFD
