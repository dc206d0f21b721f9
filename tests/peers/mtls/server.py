"""server.py CERTIFICATE KEY CA: a token endpoint over TLS that demands a client certificate of this CA.

Prints one JSON line with its URL, answers until its standard input closes. The token tells whose certificate it was and
what was posted, so that a test sees that both have arrived.
"""

import http.server
import json
import socket
import ssl
import sys
import threading


class Endpoint(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        subject = dict(pair for part in self.connection.getpeercert()["subject"] for pair in part)
        answer = json.dumps({"access_token": f"{subject['commonName']} {body}", "expires_in": 600}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    """Shakes hands in the thread of the connection.

    What a refused client has sent already is read before the connection is closed, as nginx does it (lingering_close):
    otherwise the system resets the connection, and the client may never see why it was refused.
    """

    def __init__(self, context):
        super().__init__(("127.0.0.1", 0), Endpoint)
        self._context = context

    def finish_request(self, request, client_address):
        tls = self._context.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        try:
            tls.do_handshake()
        except ssl.SSLError:
            with socket.socket(fileno=tls.detach()) as plain:
                plain.shutdown(socket.SHUT_WR)
                while plain.recv(4096):
                    pass
            return
        with tls:
            super().finish_request(tls, client_address)

    def shutdown_request(self, request):
        """finish_request has closed it."""


def main(certificate, key, ca):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    server = Server(context)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"url": f"https://127.0.0.1:{server.server_port}/token"}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
