"""The proxy breaks connections as it was asked to, and only as it was asked to."""

import socket
import threading
import time
from contextlib import closing, contextmanager

import pytest
from tests.servers.proxy import Proxy


class Echo:
    """A server that answers each line with the same line."""

    def __init__(self):
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = self._listening.getsockname()
        self.received = b""
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection):
        with closing(connection):
            try:
                while data := connection.recv(4096):
                    self.received += data
                    connection.sendall(data)
            except OSError:
                return

    def close(self):
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def echo():
    with closing(Echo()) as server:
        yield server


@pytest.fixture
def proxy(echo):
    with Proxy(echo.address) as proxy:
        yield proxy
    assert not proxy._thread.is_alive()


@contextmanager
def client(proxy):
    with closing(socket.create_connection(proxy.address, timeout=10)) as connection:
        yield connection


def ask(connection, data):
    connection.sendall(data)
    return receive(connection, len(data))


def receive(connection, many):
    found = b""
    while len(found) < many and (data := connection.recv(many - len(found))):
        found += data
    return found


def test_without_faults_all_passes(proxy, echo):
    large = bytes(range(256)) * 2000
    with client(proxy) as one, client(proxy) as other:
        assert ask(one, b"hello") == b"hello"
        threading.Thread(target=other.sendall, args=(large,)).start()
        assert receive(other, len(large)) == large
        one.shutdown(socket.SHUT_WR)
        assert one.recv(10) == b""
    assert proxy.passed == {"to_server": 5 + len(large), "to_client": 5 + len(large)}
    assert (proxy.connections, proxy.struck) == (2, [])


@pytest.mark.parametrize("many", [0, 1, 4, 5, 6, 9])
@pytest.mark.parametrize("ending", ["reset", "close"])
def test_cut_of_the_replies(proxy, echo, many, ending):
    with client(proxy) as connection:
        assert ask(connection, b"before") == b"before"
        proxy.cut_after(many, "to_client", ending)
        found = []
        # What is sent to a closed connection is answered by a reset too.
        with pytest.raises(ConnectionError if ending == "reset" else (ConnectionError, EOFError)):
            ask_until_it_ends(connection, found)
        assert many - 5 <= 5 * len(found) <= many
    assert proxy.struck == ["cut to_client"]
    with client(proxy) as connection:
        assert ask(connection, b"after") == b"after"


def ask_until_it_ends(connection, found):
    while True:
        connection.sendall(b"abcde")
        found.append(receive_to_the_end(connection, 5))


def receive_to_the_end(connection, many):
    """Receive so many bytes; raise EOFError for less."""
    found = receive(connection, many)
    if len(found) < many:
        raise EOFError(found)
    return found


def test_every_byte_before_a_cut_arrives(proxy, echo):
    with client(proxy) as connection:
        proxy.cut_after(3, "to_client", "close")
        assert ask(connection, b"abcde") == b"abc"
        assert connection.recv(1) == b""
    with client(proxy) as connection:
        proxy.cut_after(3, "to_client")
        assert ask(connection, b"abc") == b"abc"
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


@pytest.mark.parametrize("many", [0, 3, 5])
def test_cut_of_the_requests(proxy, echo, many):
    with client(proxy) as connection:
        proxy.cut_after(many, "to_server")
        with pytest.raises(ConnectionError):
            ask_until_it_ends(connection, [])
    until(lambda: echo.received == b"abcde"[:many])  # another thread of the server's reads the next connection
    with client(proxy) as connection:
        assert ask(connection, b"after") == b"after"
    assert echo.received == b"abcde"[:many] + b"after"


def until(condition, seconds=10):
    """Wait for what another thread does."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert condition()


@pytest.mark.parametrize("pieces", [[b"BEGIN; COMMIT;"], [b"BEGIN; COM", b"MIT;"], [b"x" * 100 + b"C", b"OMMIT"]])
def test_the_reply_of_a_commit_is_lost(proxy, echo, pieces):
    with client(proxy) as connection, client(proxy) as other:
        assert ask(connection, b"BEGIN") == b"BEGIN"
        proxy.lose_reply_to(b"COMMIT")
        assert ask(other, b"COM") == b"COM", "not of this connection"
        with pytest.raises(ConnectionResetError):
            ask_in_pieces(connection, pieces)
        assert ask(other, b"COMMIT") == b"COMMIT", "once"
    assert echo.received.count(b"COMMIT") == 2, "the server got it"
    assert proxy.struck == ["lost reply"]


def ask_in_pieces(connection, pieces):
    for piece in pieces:
        connection.sendall(piece)
        receive_to_the_end(connection, len(piece))


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
def test_stall(proxy, echo, direction):
    with client(proxy) as connection:
        assert ask(connection, b"before") == b"before"
        proxy.stall(direction)
        connection.sendall(b"stalled")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        assert echo.received.endswith(b"stalled") == (direction == "to_client")
        proxy.heal()
        connection.settimeout(10)
        assert receive(connection, 7) == b"stalled"


def test_reset_and_refuse(proxy):
    with client(proxy) as one, client(proxy) as other:
        assert ask(one, b"one") == b"one"
        assert ask(other, b"other") == b"other"
        proxy.reset()
        for connection in (one, other):
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
    proxy.refuse()
    with pytest.raises(ConnectionResetError), client(proxy) as connection:
        connection.recv(1)
    proxy.heal()
    with client(proxy) as connection:
        assert ask(connection, b"again") == b"again"


def test_a_server_that_is_down(echo):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        address = taken.getsockname()
    with Proxy(address) as proxy, pytest.raises(ConnectionResetError), client(proxy) as connection:
        connection.recv(1)


def test_leaving_ends_stalled_connections(echo):
    with Proxy(echo.address) as proxy:
        connection = socket.create_connection(proxy.address, timeout=10)
        assert ask(connection, b"hello") == b"hello"
        proxy.stall()
        connection.sendall(b"more")
    with closing(connection), pytest.raises((ConnectionResetError, EOFError)):
        receive_to_the_end(connection, 4)


def test_a_server_on_a_socket_file(tmp_path):
    path = str(tmp_path / "s")
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(path)
        listening.listen()
        with Proxy(path) as proxy, client(proxy) as connection:
            accepted, _ = listening.accept()
            with closing(accepted):
                connection.sendall(b"hello")
                assert accepted.recv(5) == b"hello"
                accepted.sendall(b"yes")
                assert receive(connection, 3) == b"yes"
