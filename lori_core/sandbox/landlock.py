"""Landlock: the kernel keeps a process to the files that it is granted, where there are no namespaces (Linux 5.13 on).

Behind it a program finds Python's own files and the system's libraries, to read, and its working folder. No other file
can be opened or made, /proc and what it says of other processes included; and the kernel lets it trace nobody, nor
reach another's memory, whatever the files' permissions say.
"""

import ctypes
import os
import struct
import sys

from . import jail
from .children import forked

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same numbers on every machine
VERSION, BENEATH = 1, 1  # linux/landlock.h
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
READ = EXECUTE | READ_FILE | READ_DIR
RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # version of the interface -> how many rights it knows, a bit each


def install() -> None:
    """From here on this process has the files of its working folder, and for reading those of Python and the system.

    Raises OSError where the kernel has no Landlock.
    """
    version = jail.checked(jail.libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION))
    every = (1 << RIGHTS.get(version, RIGHTS[max(RIGHTS)])) - 1
    ruleset = jail.checked(jail.libc.syscall(CREATE_RULESET, struct.pack("Q", every), ctypes.c_size_t(8), 0))
    granted = dict.fromkeys((*jail.SYSTEM, sys.base_prefix), READ)
    for path, rights in (granted | {os.devnull: READ_FILE | WRITE_FILE, os.getcwd(): every}).items():
        if os.path.exists(path):
            _grant(ruleset, path, rights & every)
    jail.prctl(jail.SET_NO_NEW_PRIVS, 1)
    jail.checked(jail.libc.syscall(RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


def works() -> bool:
    return sys.platform == "linux" and os.waitpid(forked(install), 0)[1] == 0


def _grant(ruleset: int, path: str, rights: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        beneath = struct.pack("=Qi", rights, place)  # struct landlock_path_beneath_attr is packed
        jail.checked(jail.libc.syscall(ADD_RULE, ruleset, BENEATH, beneath, 0))
    finally:
        os.close(place)
