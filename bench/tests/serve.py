#!/usr/bin/env python3
"""A scripted origin or balancer: answers BODY (default "hello world") on $PORT, or where the lb.toml it is given says.

Its process id goes to NAME.pid in $NOTES, so that a test can look for it or end it.
"""
import os, re, socket, sys

if "--version" in sys.argv:
    sys.exit("scripted 1.0")
port = int(os.environ.get("PORT", 0))
if "--config" in sys.argv:
    port = int(re.search(r'listen = "127.0.0.1:(\d+)"', open(sys.argv[-1]).read())[1])
name = "balancer" if "--config" in sys.argv else "origin"
body = os.environ.get("BODY", "hello world") if name == "balancer" else "hello world"
listener = socket.create_server(("127.0.0.1", port))
with open(os.path.join(os.environ["NOTES"], name + ".pid"), "w") as file:
    file.write(str(os.getpid()))
while True:
    connection, _ = listener.accept()
    connection.recv(65536)
    connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    connection.close()
