"""Jail: starts a script out of reach of everything else, `python -I -S jail.py SCRIPT`, by run.py. Linux only.

The script is process 1 of process, network, IPC and mount namespaces of its own, and nobody, without any capability.
It sees Python and the system's libraries, read-only, /dev/null, and an empty folder of 16 MB in memory; no /proc, no
/etc, no home, no network. When it ends, the kernel ends all that it started.

Where the system does not allow namespaces (containers often do not) the script runs all the same, in the folder it was
started in; it can tell by its process id, which then is not 1.
"""

import contextlib
import ctypes
import os
import signal
import sys

NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000  # linux/sched.h
BIND, RECURSIVE, PRIVATE = 0x1000, 0x4000, 0x40000  # linux/mount.h
READ_ONLY, NO_SUID = 0x1, 0x2
MOUNT_SETATTR = 442  # the same number on every architecture
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
SET_PDEATHSIG, SET_NO_NEW_PRIVS = 1, 38  # linux/prctl.h
NOBODY = 65534
WORK = "/work"
SYSTEM = ("/usr", "/lib", "/lib64", "/nix/store")  # where shared libraries are

libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    checked(libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()))


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


def become_nobody() -> None:
    """The namespaces; an ordinary user needs one of users too, to be allowed the others. The fork is by the caller."""
    uid, gid = os.getuid(), os.getgid()
    checked(libc.unshare(NEWNS | NEWNET | NEWIPC | (NEWUSER if uid else 0)))
    if uid:
        for file, text in (("setgroups", "deny"), ("uid_map", f"{NOBODY} {uid} 1"), ("gid_map", f"{NOBODY} {gid} 1")):
            with open(f"/proc/self/{file}", "w") as out:
                out.write(text)


def build(root: str, script: str) -> None:
    """What there is to see, under root, an empty folder."""
    mount("none", "/", "", RECURSIVE | PRIVATE)
    mount("tmpfs", root, "tmpfs", 0, "size=1m,mode=755")
    for path in (*filter(os.path.lexists, SYSTEM), sys.base_prefix, script):
        if not os.path.lexists(root + path):  # Python often lies under /usr
            show(path, root)
    os.makedirs(root + "/dev")
    os.close(os.open(root + "/dev/null", os.O_CREAT | os.O_WRONLY))
    mount("/dev/null", root + "/dev/null", "", BIND)
    work = WORK
    while os.path.lexists(root + work):  # Python or the script lies under a folder of that name
        work += "_"
    os.mkdir(root + work)
    mount("tmpfs", root + work, "tmpfs", NO_SUID, "size=16m,mode=777")
    read_only(root, depth=0)
    checked(libc.unshare(NEWPID))
    os.chroot(root)
    os.chdir(work)


def wait_for_child() -> None:
    """Returns in the child, process 1. This process waits, and takes the child along when it is ended."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    checked(libc.prctl(SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    checked(libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    os.setsid()


def main() -> None:
    python, script = os.path.realpath(sys.executable), os.path.realpath(sys.argv[1])
    with contextlib.suppress(OSError):  # no namespaces here
        become_nobody()
        build(os.getcwd(), script)
        wait_for_child()
    os.execv(python, [python, "-I", "-S", script])  # a user other than root loses all capabilities here


if __name__ == "__main__":
    main()
