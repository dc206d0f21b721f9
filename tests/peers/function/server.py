"""A function realm's function: a small program of the operator's own that is POSTed a secret and answers a token.

Prints one JSON line with its URL, answers until its standard input closes. The token is made of the secret, so that a
test can tell that the function was given it; `key_2` is checked, as a real one would check a credential.
"""

import http.server
import json
import sys
import threading

CALLS = []


class Function(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        secret = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        CALLS.append(secret["key"])
        if secret.get("key_2") != "right":
            return self.answer(200, {"error": "wrong_credential", "message": "key_2 is not right"})
        region = secret["credentials"].get("region", "none")
        token = f"function-{secret['realm']}-{secret['key']}-{region}-{len(CALLS)}"
        self.answer(200, {"token": token, "expires_in": 120})

    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Function)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}"}), flush=True)
sys.stdin.read()
