"""A WSGI application for one of several gunicorn workers."""

import os

NAME = f"server {os.environ.get('INSTANCE_ID', '?')}\n".encode()


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(NAME)))])
    return [NAME]
