"""A worker on Python's http.server for `bench replace`: it records what it runs, echoes after an upgrade, and is slow or dies where told."""

import os
import signal
import socket
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler

BODY = f"server {os.environ.get('INSTANCE_ID', '?')}\n".encode()
RECORD = os.environ.get("RECORD")
DELAY = float(os.environ.get("DELAY_MS", 0)) / 1000
COLD_DELAY = DELAY + float(os.environ.get("COLD_MS", 0)) / 1000
if RECORD:
    RECORD = os.open(os.path.join(RECORD, str(os.getpid())), os.O_CREAT | os.O_APPEND | os.O_WRONLY)
lock, cold = threading.Lock(), int(os.environ.get("COLD_REQUESTS", 0))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        global cold
        if RECORD and "X-Test-Id" in self.headers:
            os.write(RECORD, self.headers["X-Test-Id"].encode() + b"\n")
        if self.path == "/crash":
            os.abort()
        if "Upgrade" in self.headers:
            return self.echo()
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with lock:
            wait = COLD_DELAY if cold > 0 else DELAY
            cold -= 1
        if wait:
            time.sleep(wait)
        run = self.path.partition("x-run=")[2]
        # In one piece: a head alone waits for an acknowledgement (RFC 896).
        self.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\nX-Run: {run}\r\n\r\n".encode() + BODY)

    do_POST = do_GET

    def echo(self):
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n")
        while piece := self.rfile.read1(65536):
            self.wfile.write(piece)


class Server(socketserver.ThreadingTCPServer):
    address_family = socket.AF_UNIX if "SOCKET" in os.environ else socket.AF_INET
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 512


# balancer sends TERM once nothing is in flight here any more.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
Server(os.environ.get("SOCKET") or ("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
