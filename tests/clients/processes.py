"""Three `galerie serve` processes on one PostgreSQL catalogue behind HAProxy, from the files in `examples/three-processes`.

Only ports and the clients' name for the proxy's certificate are changed, so that what is documented is what is tested.
"""

import csv
import io
import os
import re
import shutil
import signal
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

import requests

from galerie_server import BINARY, REPOSITORY, START_TIMEOUT_S, Server, database_environment, wait_until

EXAMPLE = REPOSITORY / "examples/three-processes"
NUMBERS = (1, 2, 3)


def free_ports(count: int) -> list[int]:
    """Ports that are free now, all different."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Process:
    """One of the processes."""

    def __init__(self, folder: Path, number: int, port: int, database: dict):
        self.folder, self.number, self.port = folder, number, port
        self.data_dir = folder / f"process-{number}"
        self.log_path = folder / f"process-{number}.log"
        self._database = database
        self._process: subprocess.Popen | None = None

    def start(self) -> "Process":
        command = [BINARY, "serve", "--data-dir", self.data_dir, "--listen", f"127.0.0.1:{self.port}", "--config", self.folder / f"galerie-{self.number}.toml"]
        with open(self.log_path, "ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | self._database)
        wait_until(f"process {self.number} to be ready", lambda: self.readiness() == 200, START_TIMEOUT_S)
        return self

    def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=90)

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def revive(self) -> None:
        """Has it run, also when a test that failed left it stopped or dead."""
        if self.is_running:
            self.send_signal(signal.SIGCONT)
        else:
            self.start()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def endpoint(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> str:
        return str(self.data_dir / "tls/ca.pem")

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def readiness(self) -> int | None:
        """The status of `/healthz/ready`; `None` when there is no answer."""
        assert self.is_running, f"process {self.number} ended:\n{self.log[-4000:]}"
        try:
            return requests.get(f"{self.endpoint}/healthz/ready", verify=self.ca_file, timeout=5).status_code
        except (OSError, requests.RequestException):
            return None


class Gallery(Server):
    """All of them, as a client sees them: through the proxy."""

    def __init__(self, folder: Path):
        super().__init__(folder / "process-1")
        self.folder = folder
        ports = free_ports(7)
        self.proxy_port, *rest = ports
        self._copy_example(dict(zip([8440, 8441, 8442, 8443, 9471, 9472, 9473], ports)))
        self._database = database_environment(folder)
        self.processes = [Process(folder, number, port, self._database) for number, port in zip(NUMBERS, rest)]
        self.metrics_ports = rest[3:]
        self._proxy: subprocess.Popen | None = None

    def _copy_example(self, ports: dict[int, int]) -> None:
        for path in EXAMPLE.iterdir():
            text = re.sub(r"\b\d{4}\b", lambda found: str(ports.get(int(found[0]), found[0])), path.read_text())
            (self.folder / path.name).write_text(text)

    def start(self) -> "Gallery":
        for process in self.processes:
            process.start()
        authorities = {Path(process.ca_file).read_text() for process in self.processes}
        assert len(authorities) == 1, "one authority signs for all"
        (self.folder / "ca.pem").write_text(authorities.pop())
        self._make_certificate()
        self._start_proxy()
        return self

    def _make_certificate(self) -> None:
        """What a gallery's owner has from elsewhere: a certificate for the name that clients use."""
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=proxy"]
        command += ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "proxy.key", "-out", "proxy.pem"]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)
        (self.folder / "gallery.pem").write_text((self.folder / "proxy.pem").read_text() + (self.folder / "proxy.key").read_text())

    def _start_proxy(self) -> None:
        program = shutil.which("haproxy") or "/usr/sbin/haproxy"
        with open(self.folder / "haproxy.log", "ab") as log:
            self._proxy = subprocess.Popen([program, "-db", "-f", "haproxy.cfg"], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until("the proxy to send requests to all", lambda: self.in_service() == set(NUMBERS), START_TIMEOUT_S)

    def in_service(self) -> set[int]:
        """The processes that the proxy sends requests to."""
        assert self._proxy.poll() is None, (self.folder / "haproxy.log").read_text()
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(self.folder / "haproxy.sock"))
                connection.sendall(b"show stat\n")
                text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        except OSError:
            return set()
        rows = csv.DictReader(io.StringIO(text.removeprefix("# ")))
        up = [row["svname"] for row in rows if row["pxname"] == "processes" and row["status"].startswith("UP")]
        return {int(name.removeprefix("process-")) for name in up if name.startswith("process-")}

    def close(self) -> None:
        for process in self.processes:
            if process.is_running:
                process.kill()
        if self._proxy:
            self._proxy.kill()
            self._proxy.wait()

    def metric(self, name: str) -> float:
        """The sum of a counter, all processes and labels together."""
        total = 0.0
        for process, port in zip(self.processes, self.metrics_ports):
            if process.is_running:
                text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
                total += sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))
        return total

    # What a client needs to know: the proxy's name and certificate, the administrator of the first process.

    @property
    def endpoint(self) -> str:
        return f"https://localhost:{self.proxy_port}"

    @property
    def ca_file(self) -> str:
        return str(self.folder / "proxy.pem")

    @property
    def log(self) -> str:
        return "\n".join(process.log for process in self.processes)

    def client_environment(self) -> dict:
        admin = self.admin
        return os.environ | {
            "GALERIE_ENDPOINT": self.endpoint,
            "GALERIE_CA_FILE": self.ca_file,
            "GALERIE_TENANT_ID": admin["tenantId"],
            "GALERIE_SUBSCRIPTION_ID": admin["subscriptionId"],
            "GALERIE_CLIENT_ID": admin["clientId"],
            "GALERIE_CLIENT_SECRET": admin["clientSecret"],
        }


@contextmanager
def serving(folder: Path):
    """A started gallery that must not panic."""
    assert "GALERIE_TEST_POSTGRES" in os.environ, "several processes need PostgreSQL: make test-postgres"
    gallery = Gallery(folder)
    try:
        yield gallery.start()
        assert "panicked" not in gallery.log
    finally:
        gallery.close()
