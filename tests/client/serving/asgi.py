"""Calls an ASGI application without a socket."""

import json


async def call(app, body, content_type):
    """POST /invocations; returns the status, and the answer: of an error its code, else what the JSON says."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/invocations",
        "raw_path": b"/invocations",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    sent = []
    begun = False

    async def receive():
        nonlocal begun
        if begun:
            return {"type": "http.disconnect"}
        begun = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    try:
        await app(scope, receive, send)
    except Exception:
        return [500, None]
    status = sent[0]["status"]
    text = b"".join(message.get("body", b"") for message in sent[1:])
    if status == 200:
        return [200, json.loads(text)]
    if status == 400:
        return [400, json.loads(text)["error_code"]]
    return [status, None]
