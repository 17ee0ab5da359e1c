"""Reads one message after the other with h11, and says what it read.

In: four bytes of length, one of kind (q: a request, r: a response to a GET, h: to a HEAD), the message. Out: a line of JSON, in
which a character is a byte.
"""

import json
import sys

import h11


def text(bytes_like):
    return bytes(bytes_like).decode("latin-1")


def pairs(headers):
    return [[text(name), text(value)] for name, value in headers]


def connection(kind):
    role = h11.SERVER if kind == b"q" else h11.CLIENT
    opened = h11.Connection(role, max_incomplete_event_size=1 << 20)
    if role is h11.CLIENT:
        method = "HEAD" if kind == b"h" else "GET"
        opened.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
        opened.send(h11.EndOfMessage())
    return opened


def read(kind, message):
    said = dict(start=None, fields=[], body="", trailers=[], interim=0, ended="never", error=None)
    opened = connection(kind)
    body = bytearray()
    try:
        for when, piece in (("early", message[:-1]), ("last", message[-1:]), ("close", b"")):
            if piece or when == "close":
                opened.receive_data(piece)
            take(opened, said, body)
            if said["ended"] == "end":
                said["ended"] = when
                break
    except h11.ProtocolError as error:
        said["error"] = str(error)
    said["body"] = text(body)
    return said


def take(opened, said, body):
    while True:
        event = opened.next_event()
        if event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
            return
        if isinstance(event, h11.InformationalResponse):
            said["interim"] += 1
        elif isinstance(event, h11.Request):
            said["start"] = [text(event.method), text(event.target), text(event.http_version)]
            said["fields"] = pairs(event.headers)
        elif isinstance(event, h11.Response):
            said["start"] = [str(event.status_code), text(event.http_version)]
            said["fields"] = pairs(event.headers)
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            said["trailers"] = pairs(event.headers)
            said["ended"] = "end"
            return


def main():
    asked, answers = sys.stdin.buffer, sys.stdout
    while len(start := asked.read(5)) == 5:
        message = asked.read(int.from_bytes(start[:4], "big"))
        answers.write(json.dumps(read(start[4:], message)) + "\n")
        answers.flush()


main()
