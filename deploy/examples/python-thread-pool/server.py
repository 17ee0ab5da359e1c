"""A socket server with a pool of threads: one accepts, ten serve, each one connection, one request, one answer.

Usage: server.py PORT
"""

import os
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

PORT = int(sys.argv[1])
THREADS = 10
NAME = os.environ.get("INSTANCE_ID", PORT)


def serve(connection):
    with connection:
        connection.settimeout(60)
        try:
            request = connection.recv(65536)
            if request:
                body = f"server {NAME}\n".encode()
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                connection.sendall(head.encode() + body)
        except (ConnectionError, TimeoutError):
            pass  # a client that only looked, or said nothing


class Stop(Exception):
    """TERM came."""


def stop(*_):
    raise Stop


signal.signal(signal.SIGTERM, stop)
with socket.create_server(("127.0.0.1", PORT), backlog=100) as listener:
    # Leaving the pool waits for the answers that are being made.
    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        try:
            while True:
                pool.submit(serve, listener.accept()[0])
        except Stop:
            pass
