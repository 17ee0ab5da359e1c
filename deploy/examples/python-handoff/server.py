"""A server that is handed its connections: balancer accepts them and passes each over descriptor 3.

A thread for each connection; one request, one answer, close. The end of the channel means that no more come.
"""

import os
import signal
import socket
import threading

NAME = f"server {os.environ['INSTANCE_ID']}\n".encode()

# Balancer closes its end of the channel when it stops us: what was handed over by then is served.
signal.signal(signal.SIGTERM, lambda *_: None)

channel = socket.socket(fileno=3)
lock = threading.Lock()


def serve(connection):
    with connection:
        try:
            if connection.recv(65536):
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(NAME)}\r\nConnection: close\r\n\r\n"
                connection.sendall(head.encode() + NAME)
        except ConnectionError:
            pass
    try:
        with lock:
            channel.sendall(b'{"closed":1}\n')  # for policy = "least_connections"
    except ConnectionError:
        pass  # balancer is gone


while True:
    line, descriptors, _, _ = socket.recv_fds(channel, 4096, 1)
    if not line:
        break
    for descriptor in descriptors:
        threading.Thread(target=serve, args=[socket.socket(fileno=descriptor)]).start()
