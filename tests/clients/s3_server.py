"""Another object store than the one that the Rust tests use: moto's server, a process of its own with an environment of its own.

It keeps objects in memory, so they are there as long as it runs, whatever becomes of the servers that use it. It does not
check signatures; the Rust tests' server does.
"""

import socket
import subprocess
import xml.etree.ElementTree as xml
from pathlib import Path

import requests

from galerie_server import REPOSITORY, wait_until

MOTO = REPOSITORY / "target/venv/s3/bin/moto_server"
BUCKET = "images"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "clients-secret-of-no-worth"}


class ObjectStore:
    def __init__(self, log: Path):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{port}"
        with open(log, "ab") as file:
            self._process = subprocess.Popen(
                [MOTO, "-H", "127.0.0.1", "-p", str(port)], stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )
        wait_until("the object store to be ready", self._make_bucket, timeout_s=60)

    def _make_bucket(self) -> bool:
        assert self._process.poll() is None, "the object store ended while starting"
        try:
            return requests.put(f"{self.endpoint}/{BUCKET}", timeout=10).status_code == 200
        except requests.ConnectionError:
            return False

    def region(self, name: str, prefix: str) -> str:
        """A region's tables in a configuration."""
        return f'[[regions]]\nname = "{name}"\nstore = "s3://{BUCKET}/{prefix}"\n[regions.s3]\nendpoint = "{self.endpoint}"\n'

    def objects(self, prefix: str) -> dict[str, int]:
        """The sizes of the objects below a prefix, by name."""
        sizes, after = {}, ""
        while True:
            query = {"list-type": "2", "prefix": prefix, "start-after": after}
            answer = requests.get(f"{self.endpoint}/{BUCKET}", params=query, timeout=30)
            assert answer.status_code == 200, answer.text
            page = {
                entry.find("{*}Key").text: int(entry.find("{*}Size").text)
                for entry in xml.fromstring(answer.text).findall("{*}Contents")
            }
            if not page:
                return sizes
            sizes |= page
            after = max(page)

    def uploads_under_way(self) -> str:
        """What the store says of multipart uploads that were begun and not ended."""
        return requests.get(f"{self.endpoint}/{BUCKET}?uploads", timeout=30).text

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
