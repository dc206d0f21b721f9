"""Keeps a real SDK on this machine, and writes down what it sends.

A script beside this calls drive() with a function for each preset: it is given the preset's values and uses the SDK as
its manual says. Whatever host the SDK asks, the name resolves to a recorder here, which shows a certificate of the
test's own CA; the clock stands still and uuid4 gives what the test says. Nothing of the SDK is changed.

    stdin   {"preset", "values", "now", "uuid", "nonce", "answers": [{"status", "headers", "body"}],
             "certificate", "key", "ca": file names}
    stdout  {"requests": [{"method", "url", "headers", "body"}], "result": what the function returned}
"""

import http.server
import json
import os
import socket
import ssl
import sys
import threading
import traceback
import uuid

import time_machine


class Recorder(http.server.BaseHTTPRequestHandler):
    """Answers what the test says, one answer for each request; the last one for those that come after."""

    protocol_version = "HTTP/1.1"
    requests = []
    answers = []
    #: Requests whose path contains one of these are answered with its document and not written down.
    aside = {}

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        for part, document in self.aside.items():
            if part in self.path:
                return self.send(200, {}, document)
        scheme = "https" if isinstance(self.connection, ssl.SSLSocket) else "http"
        # A name that comes twice would be lost here; none of these SDKs does that.
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.requests.append(
            {
                "method": self.command,
                "url": f"{scheme}://{self.headers['Host']}{self.path}",
                "headers": headers,
                "body": body,
            }
        )
        told = self.answers[min(len(self.requests), len(self.answers)) - 1]
        self.send(told.get("status", 200), told.get("headers") or {}, told.get("body"))

    do_GET = do_POST = do_PUT = do_HEAD = answer

    def send(self, status, headers, body):
        is_text = isinstance(body, str)
        data = body.encode() if is_text else json.dumps(body).encode()
        self.send_response(status)
        if not any(name.lower() == "content-type" for name in headers):
            self.send_header("Content-Type", "text/plain" if is_text else "application/json")
        for name, value in headers.items():
            for one in value if isinstance(value, list) else [value]:
                self.send_header(name, one)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def serve(context=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    server.daemon_threads = True
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def stay_here(task):
    """From now on every name is this machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(task["certificate"], task["key"])
    ports = {80: serve(), 443: serve(context)}
    resolve = socket.getaddrinfo

    def resolve_here(host, port, *_, **__):
        port = {"http": 80, "https": 443}.get(port, port)
        return resolve("127.0.0.1", ports.get(int(port), ports[443]), socket.AF_INET, socket.SOCK_STREAM)

    socket.getaddrinfo = resolve_here
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "AWS_CA_BUNDLE"):
        os.environ[name] = task["ca"]
    try:
        import certifi
    except ImportError:
        return
    certifi.where = lambda: task["ca"]


def drive(**by_preset):
    task = json.load(sys.stdin)
    Recorder.answers = task["answers"] or [{"status": 200, "body": {}}]
    stay_here(task)
    time_machine.travel(task["now"], tick=False).start()
    uuid.uuid4 = lambda: uuid.UUID(task["uuid"])
    result = why = None
    try:
        result = by_preset[task["preset"].replace("-", "_")](task["values"] | {"now": task["now"], "nonce": task["nonce"]})
    except Exception:
        # It may have sent what is wanted, and not like the answer.
        why = traceback.format_exc()
    print(json.dumps({"requests": Recorder.requests, "result": result, "error": why}))
