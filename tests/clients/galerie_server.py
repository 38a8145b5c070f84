"""A `galerie serve` process, and raw requests to it.

Everything in this suite talks to the built program through its public faces; nothing reaches into its files.
"""

import base64
import json
import os
import signal
import ssl
import subprocess
import time
import uuid
from pathlib import Path

import requests

REPOSITORY = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("GALERIE_BINARY", REPOSITORY / "target/debug/galerie"))
START_TIMEOUT_S = 30
OPERATION_TIMEOUT_S = 180
POLL_S = 0.05
API_VERSION = {"Microsoft.Compute": "2024-03-03", "Microsoft.Resources": "2024-11-01"}


def wait_until(what: str, check, timeout_s: float = OPERATION_TIMEOUT_S):
    """The first true value of `check()`; fails after `timeout_s`, saying what was waited for."""
    deadline = time.monotonic() + timeout_s
    while not (value := check()):
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain: {what}"
        time.sleep(POLL_S)
    return value


class Server:
    def __init__(self, data_dir: Path, config: Path | None = None, environment: dict | None = None, options: tuple = ()):
        self.data_dir = data_dir
        self.log_path = data_dir.with_suffix(".log")
        self._config = config
        self._environment = environment or {}
        self._options = options
        self._database = database_environment(data_dir)
        self._process: subprocess.Popen | None = None
        self._token: str | None = None

    # The process

    def spawn(self) -> subprocess.Popen:
        command = [BINARY, "serve", "--data-dir", self.data_dir, "--listen", "127.0.0.1:0"]
        if self._config:
            command += ["--config", self._config]
        command += self._options
        with open(self.log_path, "ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | self._database | self._environment)

    def start(self) -> "Server":
        self._token = None
        self._process = self.spawn()
        wait_until("the server to be ready", self._is_ready, START_TIMEOUT_S)
        return self

    def stop(self) -> int:
        """Asks it to end, as an init system does; its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=60)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def _is_ready(self) -> bool:
        assert self.is_running, f"the server ended while starting:\n{self.log[-4000:]}"
        try:
            return requests.get(f"{self.endpoint}/healthz", verify=self.ca_file, timeout=5).status_code == 200
        except (OSError, ValueError, KeyError, requests.RequestException):
            # No admin.json yet, half of a start, or the port of the last one.
            return False

    # What it says about itself

    @property
    def admin(self) -> dict:
        return json.loads((self.data_dir / "admin.json").read_text())

    @property
    def endpoint(self) -> str:
        return self.admin["endpoint"].rstrip("/")

    @property
    def ca_file(self) -> str:
        return str((self.data_dir / self.admin["caFile"]).resolve())

    @property
    def subscription(self) -> str:
        return f"/subscriptions/{self.admin['subscriptionId']}"

    # Requests

    def token(self) -> str:
        if self._token is None:
            self._token = self._ask_token(self.endpoint)
        return self._token

    def token_for_graph(self) -> str:
        return self._ask_token(f"{self.endpoint}/msgraph")

    def _ask_token(self, resource: str) -> str:
        admin = self.admin
        form = {
            "grant_type": "client_credentials",
            "client_id": admin["clientId"],
            "client_secret": admin["clientSecret"],
            "scope": f"{resource}/.default",
        }
        url = f"{self.endpoint}/{admin['tenantId']}/oauth2/v2.0/token"
        reply = requests.post(url, data=form, verify=self.ca_file, timeout=30)
        assert reply.status_code == 200, reply.text
        return reply.json()["access_token"]

    def request(self, method: str, path: str, body=None, *, raw: bytes | None = None, headers: dict | None = None, api_version: str | None = None):
        """One ARM request, not followed: `path` is an ARM path, or an absolute URL that the server gave."""
        url = path if path.startswith("https://") else self.endpoint + path
        if "api-version=" not in url:
            namespace = "Microsoft.Compute" if "Microsoft.Compute" in path else "Microsoft.Resources"
            url += ("&" if "?" in url else "?") + f"api-version={api_version or API_VERSION[namespace]}"
        headers = {"Authorization": f"Bearer {self.token()}"} | (headers or {})
        if body is not None:
            raw = json.dumps(body).encode()
        if raw is not None:
            headers.setdefault("Content-Type", "application/json")
        return requests.request(method, url, data=raw, headers=headers, verify=self.ca_file, timeout=120)

    def get(self, path: str, **options) -> dict:
        reply = self.request("GET", path, **options)
        assert reply.status_code == 200, f"GET {path}: {reply.status_code} {reply.text}"
        return reply.json()

    def settle(self, reply) -> dict:
        """The status document of the operation that `reply` started, once that has ended."""
        url = reply.headers["Azure-AsyncOperation"]

        def ended():
            status = self.get(url)
            return status if status["status"] in ("Succeeded", "Failed", "Canceled") else None

        return wait_until(f"operation {url}", ended)

    def put(self, path: str, body: dict, **options) -> dict:
        """Creates or updates a resource and waits; the finished resource."""
        reply = self.request("PUT", path, body, **options)
        assert reply.status_code in (200, 201, 202), f"PUT {path}: {reply.status_code} {reply.text}"
        if "Azure-AsyncOperation" in reply.headers:
            status = self.settle(reply)
            assert status["status"] == "Succeeded", status
        return self.get(path, **options)

    def group(self, name: str, location: str = "eastus") -> str:
        """A resource group, made when it is not there; its id."""
        return self.put(f"{self.subscription}/resourceGroups/{name}", {"location": location})["id"]

    def grant(self, resource_id: str, access: str, duration_s: int = 3600) -> str:
        """A SAS URL to a disk or snapshot."""
        reply = self.request("POST", f"{resource_id}/beginGetAccess", {"access": access, "durationInSeconds": duration_s}, api_version="2025-01-02")
        assert reply.status_code == 202, reply.text
        assert self.settle(reply)["status"] == "Succeeded"
        result = self.request("GET", reply.headers["Location"])
        assert result.status_code == 200, result.text
        return result.json()["accessSAS"]

    def revoke(self, resource_id: str) -> dict:
        """Ends access; the operation's status document (an import may have failed)."""
        reply = self.request("POST", f"{resource_id}/endGetAccess", api_version="2025-01-02")
        assert reply.status_code == 202, reply.text
        return self.settle(reply)

    # The command line client

    def galerie(self, *arguments: object, check: bool = True, timeout_s: int = 300) -> subprocess.CompletedProcess:
        """Runs a `galerie` command against this server."""
        done = subprocess.run(
            [BINARY, *map(str, arguments)], env=self.client_environment(), capture_output=True, text=True, timeout=timeout_s
        )
        if check:
            assert done.returncode == 0, f"galerie {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def spawn_galerie(self, *arguments: object, log: Path) -> subprocess.Popen:
        with open(log, "ab") as file:
            return subprocess.Popen([BINARY, *map(str, arguments)], env=self.client_environment(), stdin=subprocess.DEVNULL, stdout=file, stderr=file)

    def client_environment(self) -> dict:
        return os.environ | self._database | {"GALERIE_DATA_DIR": str(self.data_dir)}


def database_environment(data_dir: Path) -> dict:
    """A schema of its own for each data directory, when the suite runs on PostgreSQL (`make test-postgres`)."""
    url = os.environ.get("GALERIE_TEST_POSTGRES")
    if not url:
        return {}
    schema = f"server_{uuid.uuid5(uuid.NAMESPACE_URL, str(data_dir)).hex}"
    subprocess.run(["psql", "-q", "-c", f"CREATE SCHEMA IF NOT EXISTS {schema}", url], check=True)
    return {"GALERIE_DATABASE": f"{url}{'&' if '?' in url else '?'}options=-c%20search_path%3D{schema}"}


def tls_context(server: Server) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=server.ca_file)


def token_claims(token: str) -> dict:
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def unique(prefix: str) -> str:
    """A name that no other test uses."""
    return f"{prefix}{uuid.uuid4().hex[:8]}"
