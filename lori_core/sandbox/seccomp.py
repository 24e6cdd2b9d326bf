"""Filter of system calls: what a program has no business with, the kernel refuses, for good (Linux, seccomp-BPF).

Refused are ways to other processes (ptrace, process_vm_*, pidfd_*, signals to anyone but itself), to more processes
(fork, exec), to the network and to memory that no limit counts (sockets, System V segments, memfd), to namespaces and
mounts, and doors into the kernel that have been broken often (io_uring, userfaultfd, bpf, keys). A system call that
came after 2019 is unknown here, as in an older kernel, unless NEW names it; so is what the next kernel brings.
"""

import ctypes
import errno
import os
import struct
import sys

from .children import forked

SET_NO_NEW_PRIVS, SET_SECCOMP, MODE_FILTER = 38, 22, 2  # linux/prctl.h, linux/seccomp.h
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06  # linux/bpf_common.h: a word of the call, two jumps, the end
NUMBER, ARCHITECTURE, ARGUMENT = 0, 4, 16  # where in struct seccomp_data; an argument has 8 bytes, the low word first
ALLOW, KILL, REFUSE, UNKNOWN = 0x7FFF0000, 0x80000000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS

MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column below, AUDIT_ARCH_*
NOT_HERE = -1

REFUSED = {  # (x86_64, aarch64)
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "setpgid": (109, 154),
    "setsid": (112, 157),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "execve": (59, 221),
    "execveat": (322, 281),
    # the network, and memory beyond the limits
    "socket": (41, 198),
    "socketpair": (53, 199),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "memfd_create": (319, 279),
    # namespaces and mounts
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    # doors into the kernel
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "bpf": (321, 280),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "modify_ldt": (154, NOT_HERE),
}
MORE_PROCESSES = {"clone": (56, 220), "fork": (57, NOT_HERE), "vfork": (58, NOT_HERE)}
TO_ITSELF = {  # the first argument has to be this very process
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
}
PRLIMIT, FCNTL = (302, 261), (72, 25)
SIGNALLING = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: a file that is ready sends any signal to anyone
SINCE_2019 = 424  # from here on a system call has the same number on every machine
NEW = (436, 437, 439, 441, 449, 452)  # close_range, openat2, faccessat2, epoll_pwait2, futex_waitv, fchmodat2

libc = ctypes.CDLL(None, use_errno=True)

Instruction = tuple[int, int, int, int]  # code, how many to skip if true, if false, constant


def program(column: int, architecture: int, alone: int | None) -> list[Instruction]:
    """The filter. column: of the tables above. alone: id of the process that may neither fork nor signal others."""
    lines: list[Instruction] = [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 1, 0, architecture),  # a call by the rules of another machine has other numbers
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
    ]
    for numbers in (*REFUSED.values(), *(MORE_PROCESSES.values() if alone else ())):
        if numbers[column] != NOT_HERE:
            lines += _if(EQUAL, numbers[column], (RETURN, 0, 0, REFUSE))
    if alone:
        for numbers in TO_ITSELF.values():
            lines += _by_argument(numbers[column], 0, (alone,), among=ALLOW, otherwise=REFUSE)
        lines += _by_argument(PRLIMIT[column], 0, (0, alone), among=ALLOW, otherwise=REFUSE)
    lines += _by_argument(FCNTL[column], 1, SIGNALLING, among=REFUSE, otherwise=ALLOW)
    for number in NEW:
        lines += _if(EQUAL, number, (RETURN, 0, 0, ALLOW))
    return [*lines, *_if(AT_LEAST, SINCE_2019, (RETURN, 0, 0, UNKNOWN)), (RETURN, 0, 0, ALLOW)]


def _if(test: int, value: int, *then: Instruction) -> list[Instruction]:
    return [(test, 0, len(then), value), *then]


def _by_argument(number: int, position: int, values: tuple[int, ...], among: int, otherwise: int) -> list[Instruction]:
    """Only the low word of the argument: process ids and commands are 32-bit integers to the kernel."""
    then: list[Instruction] = [(LOAD, 0, 0, ARGUMENT + 8 * position)]
    for value in values:
        then += _if(EQUAL, value, (RETURN, 0, 0, among))
    return _if(EQUAL, number, *then, (RETURN, 0, 0, otherwise))


class Filter(ctypes.Structure):  # struct sock_fprog
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def install(alone: bool = True) -> None:
    """From here on this process lives behind the filter, and what it starts. Raises OSError where there is none.

    alone: whether it may start nothing, and send signals to none but itself.
    """
    machine = os.uname().machine
    if sys.platform != "linux" or machine not in MACHINES or sys.maxsize < 2**32:
        raise OSError(errno.ENOSYS, f"no filter for {sys.platform} on {machine}")
    lines = program(*MACHINES[machine], os.getpid() if alone else None)
    filled = Filter(len(lines), b"".join(struct.pack("=HBBI", *line) for line in lines))
    one, mode, zero = (ctypes.c_ulong(each) for each in (1, MODE_FILTER, 0))
    if libc.prctl(SET_NO_NEW_PRIVS, one, zero, zero, zero) or libc.prctl(SET_SECCOMP, mode, ctypes.byref(filled)):
        raise OSError(ctypes.get_errno(), "the kernel takes no filter")


def works() -> bool:
    return os.waitpid(forked(install), 0)[1] == 0
