"""A server that is made to die: on one port for good, asked over connections that stay, and, if need be, under strace."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import requests

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "clients"))

from galerie_server import API_VERSION, BINARY, Server  # noqa: E402

REGIONS = ("eastus", "westus", "westeurope")
# With clock jumps a token may be over, or not begun, before it is used.
TOKENS_TRIED = 8
REQUEST_TIMEOUT_S = 60
# Longer than a killed process takes to end.
DEATH_S = 2
GONE = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, ConnectionError)


class Gone(Exception):
    """The server died before it answered."""


class TortureServer(Server):
    def __init__(self, data_dir: Path, config: Path, port: int | None = None):
        super().__init__(data_dir, config)
        self.port = port or free_port()
        # Put before the command, such as strace and its options.
        self.prefix: list[str] = []
        self.extra_environment: dict[str, str] = {}
        self._sessions = threading.local()
        self._ready = False

    def spawn(self) -> subprocess.Popen:
        serve = ["serve", "--data-dir", self.data_dir, "--listen", f"127.0.0.1:{self.port}", "--config", self._config]
        environment = os.environ | self._database | self.extra_environment
        with open(self.log_path, "ab") as log:
            command = [*self.prefix, BINARY, *serve]
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)

    def start(self) -> "TortureServer":
        """Starts and waits until it is ready.

        Raises `Gone` when it was killed meanwhile; whatever else ends it is a finding.
        """
        self.begin()
        return self.await_ready()

    def begin(self) -> None:
        # Another start, another token; the endpoint and its key stay, so that an old one would do, too.
        self._token = None
        self._process = self.spawn()

    def await_ready(self) -> "TortureServer":
        try:
            self.wait_for_health()
        except AssertionError:
            if self._process.poll() == -9:
                raise Gone from None
            raise
        return self

    def is_dead(self, process: subprocess.Popen) -> bool:
        """Whether this process is, or is about to be: its connections end before it does."""
        try:
            process.wait(DEATH_S)
            return True
        except subprocess.TimeoutExpired:
            return False

    def wait_for_health(self) -> None:
        from galerie_server import START_TIMEOUT_S, wait_until

        wait_until("the server to be ready", self._is_ready, START_TIMEOUT_S)

    def _is_ready(self) -> bool:
        assert self.is_running, f"the server ended while starting:\n{self.log[-4000:]}"
        try:
            return self.session.get(f"https://localhost:{self.port}/healthz", verify=self.ca_file, timeout=5).status_code == 200
        except (OSError, ValueError, KeyError, requests.RequestException):
            return False

    @property
    def ca_file(self) -> str:
        return str(self.data_dir / "tls/ca.pem")

    @property
    def endpoint(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def session(self) -> requests.Session:
        if not hasattr(self._sessions, "session"):
            self._sessions.session = requests.Session()
            self._sessions.session.trust_env = False
        return self._sessions.session

    def request(self, method: str, path: str, body=None, *, headers: dict | None = None, api_version: str | None = None):
        url = path if path.startswith("https://") else self.endpoint + path
        if "api-version=" not in url:
            namespace = "Microsoft.Compute" if "Microsoft.Compute" in path else "Microsoft.Resources"
            url += ("&" if "?" in url else "?") + f"api-version={api_version or version_of(path, namespace)}"
        try:
            for _ in range(TOKENS_TRIED):
                reply = self._send(method, url, body, headers)
                if reply.status_code != 401:
                    break
                # Tokens end after an hour, and the clock may have moved by more, again since this one was asked for.
                self._token = None
            return reply
        except GONE as error:
            raise Gone(f"{method} {path}") from error

    def _send(self, method: str, url: str, body, headers: dict | None):
        headers = {"Authorization": f"Bearer {self.token()}"} | (headers or {})
        return self.session.request(method, url, json=body, headers=headers, verify=self.ca_file, timeout=REQUEST_TIMEOUT_S)

    def blob(self, method: str, sas: str, data: bytes | None = None, headers: dict | None = None, query: str = ""):
        """A request to a SAS URL."""
        try:
            return self.session.request(method, sas + query, data=data, headers=headers, verify=self.ca_file, timeout=REQUEST_TIMEOUT_S)
        except GONE as error:
            raise Gone(f"{method} of a blob") from error

    def token(self) -> str:
        if self._token is None:
            admin = self.admin
            form = {
                "grant_type": "client_credentials",
                "client_id": admin["clientId"],
                "client_secret": admin["clientSecret"],
                "scope": f"{self.endpoint}/.default",
            }
            reply = self.session.post(f"{self.endpoint}/{admin['tenantId']}/oauth2/v2.0/token", data=form, verify=self.ca_file, timeout=30)
            assert reply.status_code == 200, reply.text
            self._token = reply.json()["access_token"]
        return self._token

    def drop_database(self) -> None:
        """Removes the schema that this directory had to itself on PostgreSQL."""
        if url := os.environ.get("GALERIE_TEST_POSTGRES"):
            schema = self._database["GALERIE_DATABASE"].rsplit("%3D", 1)[1]
            subprocess.run(["psql", "-q", "-c", f"DROP SCHEMA {schema} CASCADE", url], check=True, stderr=subprocess.DEVNULL)


def version_of(path: str, namespace: str) -> str:
    return "2025-01-02" if "/disks" in path or "/snapshots" in path else API_VERSION[namespace]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
