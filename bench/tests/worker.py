#!/usr/bin/env python3
"""A scripted worker on $PORT, or a balancer where the configuration it is given says: answers 200 to everything.

/info tells of no overlaps. Its process id goes to PORT.pid in $NOTES. After $DIE_AFTER requests a balancer ends.
"""
import os, re, socket, sys

is_balancer = "--config" in sys.argv
port = int(os.environ.get("PORT", 0))
if is_balancer:
    port = int(re.search(r'listen = "127.0.0.1:(\d+)"', open(sys.argv[-1]).read())[1])
listener = socket.create_server(("127.0.0.1", port), backlog=1000)
with open(os.path.join(os.environ["NOTES"], f"{port}.pid"), "w") as file:
    file.write(str(os.getpid()))
left = int(os.environ.get("DIE_AFTER", -1)) if is_balancer else -1
while left != 0:
    connection, _ = listener.accept()
    line = connection.recv(65536).split(b"\r\n")[0]
    body = "overlaps: 0\n" if b" /info " in line else "served\n"
    connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    connection.close()
    left -= 1
sys.exit("tired")
