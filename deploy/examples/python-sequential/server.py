"""A sequential socket server, as in a textbook: one connection, one recv, one answer, close.

Usage: server.py PORT
"""

import os
import socket
import sys

PORT = int(sys.argv[1])
NAME = os.environ.get("INSTANCE_ID", PORT)

with socket.create_server(("127.0.0.1", PORT)) as listener:
    while True:
        connection, _ = listener.accept()
        with connection:
            # A connection that only looks whether somebody listens sends nothing, or ends in a reset.
            try:
                request = connection.recv(65536)
                if request:
                    body = f"server {NAME}\n".encode()
                    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                    connection.sendall(head.encode() + body)
            except ConnectionError:
                pass
