"""Namespaces: the jail, out of reach of everything else, and in it a cell for each program (Linux).

jail  process 1 of process, network, IPC, mount and user namespaces of its own, without any right outside them. It sees
      Python and the system's libraries, read-only, and /dev/null; no /proc, no /etc, no home, no network.
cell  a process in further process, mount, IPC and user namespaces, without any right at all: it sees nobody but
      itself, and an empty folder of 16 MB in memory, which goes with it. Where root started the jail, the cell has a
      user id of its own; an ordinary user has but one to give.

When process 1 ends, the kernel ends all that it started.
"""

import contextlib
import ctypes
import os
import signal
import sys

from .children import forked

NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000  # linux/sched.h
BIND, RECURSIVE, PRIVATE, DETACH = 0x1000, 0x4000, 0x40000, 0x2  # linux/mount.h
READ_ONLY, NO_SUID = 0x1, 0x2
MOUNT_SETATTR = 442  # the same number on every architecture
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
SET_PDEATHSIG, SET_DUMPABLE, SET_NO_NEW_PRIVS = 1, 4, 38  # linux/prctl.h
CAPABILITIES = 0x20080522  # linux/capability.h: version 3 of the interface
KEEPER, NOBODY = 65533, 65534  # user ids: of the jail where root started it, of the programs
WORK = "/work"
SYSTEM = ("/usr", "/lib", "/lib64", "/nix/store")  # where shared libraries are

libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    checked(libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()))


def prctl(option: int, value: int) -> None:
    checked(libc.prctl(option, *(ctypes.c_ulong(each) for each in (value, 0, 0, 0))))


# --- the jail


def enter() -> str:
    """Returns in process 1 of the jail, with the path of the cells' folder; this process waits for it, and goes along.

    Where the system does not allow namespaces (containers often do not) returns "" in this very process: what succeeds
    by half stays behind with the child that tried.
    """
    if sys.platform != "linux":
        return ""
    told, tells = os.pipe()
    child = os.fork()
    if child:
        os.close(tells)
        if os.read(told, 1):
            _end_with(child)
        os.close(told)
        os.waitpid(child, 0)
        return ""
    os.close(told)
    try:
        work = build(os.getcwd())
        try_cell(work)
    except OSError:
        os._exit(1)
    os.write(tells, b"1")
    os.close(tells)
    return work


def build(root: str) -> str:
    """The jail, with what there is to see under root, an empty folder. Returns in its process 1, the cells' folder."""
    by_root = os.getuid() == 0
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    if not by_root:  # who may then have the other namespaces
        own_users(proc, f"{NOBODY} {os.getuid()} 1", f"{NOBODY} {os.getgid()} 1")
    checked(libc.unshare(NEWNS | NEWNET | NEWIPC))
    work = furnish(root)
    if by_root:
        os.setgroups([])
        own_users(proc, f"{KEEPER} {KEEPER} 2", f"{KEEPER} {KEEPER} 2")
        become(KEEPER)
    os.close(proc)
    checked(libc.unshare(NEWPID))
    fork_and_wait()
    return work


def own_users(proc: int, users: str, groups: str) -> None:
    """A user namespace of these ids. A child that stays outside writes them: only there root may name other users.

    proc: /proc, opened.
    """
    told, tells = os.pipe()
    process = os.getpid()

    def write() -> None:
        os.close(tells)
        if os.read(told, 1):
            for name, text in (("setgroups", "deny"), ("uid_map", users), ("gid_map", groups)):
                os.write(os.open(f"{process}/{name}", os.O_WRONLY, dir_fd=proc), text.encode())

    child = forked(write)
    os.close(told)
    checked(libc.unshare(NEWUSER))
    os.write(tells, b"1")
    os.close(tells)
    if os.waitpid(child, 0)[1]:
        raise OSError("the user ids were refused")


def furnish(root: str) -> str:
    """What there is to see, under root, which becomes the root of the file system. Returns the cells' folder."""
    mount("none", "/", "", RECURSIVE | PRIVATE)
    mount("tmpfs", root, "tmpfs", 0, "size=1m,mode=755")
    for path in (*filter(os.path.lexists, SYSTEM), sys.base_prefix):
        if not os.path.lexists(root + path):  # Python often lies under /usr
            show(path, root)
    os.makedirs(root + "/dev")
    os.close(os.open(root + "/dev/null", os.O_CREAT | os.O_WRONLY))
    mount("/dev/null", root + "/dev/null", "", BIND)
    work = WORK
    while os.path.lexists(root + work):  # Python lies under a folder of that name
        work += "_"
    os.mkdir(root + work)
    read_only(root, depth=0)
    os.chdir(root)
    checked(libc.pivot_root(b".", b"."))  # the new root on top of the old one, which goes
    checked(libc.umount2(b".", DETACH))
    os.chdir("/")
    return work


def read_only(path: str, depth: int = AT_RECURSIVE) -> None:
    """Adds flags and takes none away, which an ordinary user may not do."""
    attributes = (ctypes.c_uint64 * 4)(READ_ONLY | NO_SUID, 0, 0, 0)  # set, clear, propagation, user namespace
    checked(libc.syscall(MOUNT_SETATTR, AT_FDCWD, path.encode(), depth, attributes, ctypes.sizeof(attributes)))


def show(path: str, root: str) -> None:
    """The file or folder at the same place under root, read-only."""
    target = root + path
    if os.path.islink(path):
        os.symlink(os.readlink(path), target)
        return
    os.makedirs(target if os.path.isdir(path) else os.path.dirname(target), exist_ok=True)
    if not os.path.isdir(path):
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
    mount(path, target, "", BIND | RECURSIVE)
    read_only(target)


# --- the cell


def cell(work: str) -> None:
    """Returns in a process of a new cell, in its folder; this process waits for it, and ends as it ends."""
    checked(libc.unshare(NEWNS | NEWPID | NEWIPC))
    mount("tmpfs", work, "tmpfs", NO_SUID, "size=16m,nr_inodes=4k,mode=777")
    os.chdir(work)
    if os.getuid() == KEEPER:
        become(NOBODY)
    fork_and_wait()
    checked(libc.unshare(NEWUSER))  # of no ids: nobody in it may have a further one
    drop_capabilities()
    fork_and_wait()  # process 1 itself is deaf to most signals, timers' among them


def try_cell(work: str) -> None:
    if os.waitpid(forked(lambda: cell(work)), 0)[1]:
        raise OSError("no cell can be made")


def drop_capabilities() -> None:
    if sys.platform == "linux":
        header, none = (ctypes.c_uint32 * 2)(CAPABILITIES, 0), (ctypes.c_uint32 * 6)()
        checked(libc.capset(header, none))


def hide() -> None:
    """No other process of this user may read this one's memory, nor take its open files."""
    if sys.platform == "linux":
        prctl(SET_DUMPABLE, 0)


# --- both


def become(user: int) -> None:
    os.setgid(user)
    os.setuid(user)  # which forgets with whom this process is to end, so it comes before the fork


def fork_and_wait() -> None:
    """Returns in the child. This process waits, and takes the child along when it is ended."""
    child = os.fork()
    if child:
        _end_with(child)
    prctl(SET_PDEATHSIG, signal.SIGKILL)
    prctl(SET_NO_NEW_PRIVS, 1)
    os.setsid()


def _end_with(child: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xFF)
    os._exit(1)
