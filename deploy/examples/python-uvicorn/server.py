"""A FastAPI application for one of several uvicorn workers."""

import os

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

app = FastAPI()
NAME = f"server {os.environ.get('INSTANCE_ID', '?')}\n"


@app.get("/", response_class=PlainTextResponse)
async def name():
    return NAME
