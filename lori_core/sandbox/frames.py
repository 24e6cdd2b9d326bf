"""Frames: how a program comes through the pipe from run.py to warden.py.

length and seconds of the program (HEAD) · the program · a secret of SECRET characters

The head is for the warden; the program is read by the process that judges it, and by no other; the secret, which goes
back with the verdict, is read by the warden when the program is gone.
"""

import os
import struct

HEAD = struct.Struct(">Id")  # bytes, seconds
SECRET = 32


def packed(program: bytes, seconds: float, secret: str) -> bytes:
    return HEAD.pack(len(program), seconds) + program + secret.encode()


def read_exactly(size: int, file: int = 0) -> bytes:
    """Not a byte more, since another process reads on; b"" where the file ends before."""
    read = bytearray()
    while len(read) < size and (more := os.read(file, min(size - len(read), 2**20))):
        read += more
    return bytes(read) if len(read) == size else b""
