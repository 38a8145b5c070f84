"""A tap between the clients and a server: it passes everything on, and writes down what Azure Resource Manager was asked and answered.

`check_exchanges` (crates/testkit) then holds the record against Azure's own description, as the wire tests do.
"""

import http.client
import json
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from galerie_server import REPOSITORY, Server

CHECKER = REPOSITORY / "target/debug/examples/check_exchanges"
RECORDED = ("/subscriptions", "/providers", "/tenants")
# RFC 9110, section 7.6.1: what is between two hops.
HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
PIECE_BYTES = 1 << 16
TIMEOUT_S = 600


class Tap:
    """Listens with the server's own certificate."""

    def __init__(self, server: Server, record: Path):
        self.record = record
        self.upstream_port = int(server.endpoint.rsplit(":", 1)[1])
        self.upstream_tls = ssl.create_default_context(cafile=server.ca_file)
        self._lock = threading.Lock()
        self._file = open(record, "a", encoding="utf-8")
        self._listener = Listener(("127.0.0.1", 0), type("Handler", (Passage,), {"tap": self}))
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(self._certificate(server))
        self._tls.set_alpn_protocols(["http/1.1"])
        self.port = self._listener.server_address[1]
        threading.Thread(target=self._listener.serve_forever, daemon=True).start()

    def _certificate(self, server: Server) -> Path:
        """The server's certificate and key, as one file that Python's TLS reads."""
        issued = json.loads((server.data_dir / "tls/server.json").read_text())
        path = self.record.with_suffix(".pem")
        path.touch(mode=0o600)
        path.write_text(issued["keyPem"] + issued["certificatePem"])
        return path

    def wrap(self, connection):
        return self._tls.wrap_socket(connection, server_side=True)

    def write(self, exchange: dict) -> None:
        with self._lock:
            self._file.write(json.dumps(exchange) + "\n")
            self._file.flush()

    def close(self) -> None:
        self._listener.shutdown()
        self._listener.server_close()
        self._file.close()

    def violations(self) -> str:
        """What is not as Azure describes it; empty when everything is."""
        assert self.record.stat().st_size, "nothing was asked through the tap, so nothing was held against anything"
        done = subprocess.run([CHECKER, self.record], capture_output=True, text=True)
        assert done.returncode in (0, 1), done.stderr
        return done.stdout if done.returncode else ""


class Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A client that goes away in between, or does not trust the certificate, is a test's business."""


class Passage(BaseHTTPRequestHandler):
    """One connection of a client. Each request has a connection of its own to the server, which may close idle ones."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    tap: Tap

    def setup(self):
        self.request.settimeout(TIMEOUT_S)
        self.request = self.tap.wrap(self.request)
        super().setup()

    def log_message(self, *_):
        pass

    def __getattr__(self, name):
        # Any method is passed on.
        if name.startswith("do_"):
            return self.pass_on
        raise AttributeError(name)

    def pass_on(self):
        is_recorded = self.path.startswith(RECORDED)
        upstream = http.client.HTTPSConnection("localhost", self.tap.upstream_port, context=self.tap.upstream_tls, timeout=TIMEOUT_S)
        try:
            asked = self._send(upstream, is_recorded)
            answer = upstream.getresponse()
            answered = self._answer(answer, is_recorded)
        finally:
            upstream.close()
        if is_recorded:
            headers = [name.lower() for name, _ in answer.getheaders()]
            exchange = {"method": self.command, "target": self.path, "status": answer.status, "headers": headers}
            self.tap.write(exchange | {"request": asked, "response": answered})

    def _send(self, upstream: http.client.HTTPSConnection, is_recorded: bool) -> str:
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in HOP_BY_HOP | {"expect"}:
                upstream.putheader(name, value)
        is_chunked = self._is_chunked()
        if is_chunked:
            upstream.putheader("Transfer-Encoding", "chunked")
        upstream.endheaders()
        kept = bytearray()
        for piece in self._body_of_request():
            upstream.send(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
            if is_recorded:
                kept += piece
        if is_chunked:
            upstream.send(b"0\r\n\r\n")
        return kept.decode(errors="replace")

    def _is_chunked(self) -> bool:
        return "chunked" in self.headers.get("Transfer-Encoding", "").lower()

    def _body_of_request(self):
        if self._is_chunked():
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            piece = self.rfile.read(min(left, PIECE_BYTES))
            if not piece:
                raise ConnectionError("the client went away")
            left -= len(piece)
            yield piece

    def _answer(self, answer: http.client.HTTPResponse, is_recorded: bool) -> str:
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        has_body = self.command != "HEAD" and answer.status not in (204, 304)
        is_chunked = has_body and answer.getheader("Content-Length") is None
        if is_chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        kept = bytearray()
        while piece := answer.read(PIECE_BYTES):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
            if is_recorded:
                kept += piece
        if is_chunked:
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
        return kept.decode(errors="replace")


class TappedServer(Server):
    """A server whose clients go through a tap."""

    tap: Tap | None = None

    def start(self) -> "TappedServer":
        super().start()
        self.tap = Tap(self, self.data_dir.with_suffix(".exchanges"))
        self._token = None
        return self

    @property
    def endpoint(self) -> str:
        return f"https://localhost:{self.tap.port}" if self.tap else super().endpoint

    def client_environment(self) -> dict:
        return super().client_environment() | {"GALERIE_ENDPOINT": self.endpoint}
