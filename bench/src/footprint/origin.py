"""A server on Python's http.server, which writes head and body apart, for `bench footprint`."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY = b"hello world"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
