"""Addresses that are none, and ports where something else than an OpenAI-compatible server listens."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import StreamRequestHandler, TCPServer

import pytest

from lori_core.errors import ModelError
from lori_core.serving.endpoint import endpoint

CHUNKED = b"Transfer-Encoding: chunked\r\n\r\nff\r\n{"  # a chunk of 255 bytes, cut off behind the first
NOT_HTTP = {
    "another protocol": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "no line": b"\x00\xff\x15\x03\x01",
    "an endless header": b"HTTP/1.1 200 OK\r\nServer: " + b"x" * 2**17,
    "an answer cut off": b"HTTP/1.1 200 OK\r\n" + CHUNKED,
    "an error cut off": b"HTTP/1.1 500 Internal Server Error\r\n" + CHUNKED,
}


@contextmanager
def saying(answer: bytes) -> Iterator[str]:
    """The address of a port that answers every request so and hangs up."""

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():  # what was sent and not read would reset the connection
                pass
            self.wfile.write(answer)

    with TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def refused(url: str) -> ModelError:
    with pytest.raises(ModelError) as caught:
        endpoint(url, None, "math")
    assert caught.value.key == "served_unreachable"
    return caught.value


@pytest.mark.parametrize("said", NOT_HTTP)
def test_a_port_that_does_not_speak_HTTP_is_no_server(said):
    with saying(NOT_HTTP[said]) as address:
        refused(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:80a",
        "http://localhost:" + "9" * 20,
        "http://[",
        "HTTP://[::1",
        "http://a b",
        "http://",
        "ftp:a",
    ],
)
def test_an_address_that_is_none_is_refused_by_name(url):
    assert url.rstrip("/") in str(refused(url))
