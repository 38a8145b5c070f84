#!/usr/bin/env python3
"""How long a killed server with a large catalogue is away: measured and printed, never judged.

    tests/torture/recovery.py [--versions N] [--kills N]

One version is published; the others are copies of its rows, written while the server is stopped. Then versions are made in
three regions, the server is killed among them, and started: how long until it answers at all, until it answers for one of
the versions, and until what was interrupted is finished. On PostgreSQL when GALERIE_TEST_POSTGRES is set.
"""

import argparse
import os
import random
import shutil
import signal
import sqlite3
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from actor import Actor, targets
from exchange import expect, find, wait_for
from guest import GuestMaker
from history import History
from torture_server import REGIONS, Gone, TortureServer

VERSIONS_AT_ONCE = 40

# Copies of version 1.0.1 as 1.1.n: its resource, its number, its replicas.
NUMBERS = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {versions})"
COPY = [
    "INSERT INTO resources SELECT r.parent || '/versions/1.1.' || n, {uid}, substr(r.id, 1, length(r.id) - 5) || '1.1.' || n, r.type, "
    "r.tenant, r.subscription, r.resource_group, r.parent, '1.1.' || n, r.location, NULL, r.provisioning_state, r.generation, r.etag, "
    "r.document, r.created_ms, r.updated_ms FROM n, resources r WHERE r.name = '1.0.1'",
    "INSERT INTO image_versions SELECT v.definition || '/versions/1.1.' || n, v.definition, 1, 1, n, 0, v.published_ms "
    "FROM n, image_versions v WHERE v.minor = 0",
    "INSERT INTO replicas SELECT v.definition || '/versions/1.1.' || n, p.region, {uid}, p.state, p.replica_count, "
    "p.storage_account_type, p.exclude_from_latest, p.total_bytes, p.copied_bytes, p.details, p.attempts, p.next_attempt_ms, "
    "p.lease_owner, p.lease_until_ms, p.generation, p.completed_ms "
    "FROM n, image_versions v JOIN replicas p ON p.version = v.key WHERE v.minor = 0",
]


def fill(server: TortureServer, versions: int) -> None:
    numbers = NUMBERS.format(versions=versions)
    if database := server._database.get("GALERIE_DATABASE"):
        uid = "replace(gen_random_uuid()::text, '-', '')"
        statements = "".join(f"{numbers} {statement.format(uid=uid)};" for statement in COPY)
        subprocess.run(["psql", "-q", "-v", "ON_ERROR_STOP=1", "-c", statements + "ANALYZE", database], check=True)
        return
    with sqlite3.connect(server.data_dir / "catalogue.db") as connection:
        for statement in COPY:
            connection.execute(f"{numbers} {statement.format(uid='lower(hex(randomblob(16)))')}")


class Recovery:
    def __init__(self, folder: Path, versions: int):
        config = folder / "galerie.toml"
        config.write_text('metrics_listen = "off"\nlog_level = "warn"\n')
        self.server, self.versions = TortureServer(folder / "data", config), versions
        self.actor = Actor("recovery", self.server, History(), GuestMaker(folder / "guests", random.Random(1)), random.Random(1), folder)
        self.made = 0

    def prepare(self) -> None:
        self.server.start()
        # There will be more versions than Azure lets a subscription have.
        query = f"tenant={self.server.admin['tenantId']}&azureLimits=off"
        expect(self.server.request("POST", f"/galerie/quota/set?{query}"), 200)
        self.actor.furnish()
        self.actor.upload()()
        (self.source,) = self.actor.held["disks"]
        region = self.actor.held["disks"][self.source].region
        self.body = {
            "location": region,
            "properties": {"storageProfile": {"osDiskImage": {"source": {"id": self.source}}}, "publishingProfile": targets(REGIONS)},
        }
        path = f"{self.actor.definition}/versions/1.0.1"
        expect(self.server.request("PUT", path, self.body), 201)
        self._wait_for([path])
        self.server.stop()
        fill(self.server, self.versions)
        self.server.start()

    def _wait_for(self, paths: list[str]) -> None:
        for path in paths:
            wait_for(f"{path} to be made", lambda: find(self.server, path)["properties"]["provisioningState"] == "Succeeded", self.server)

    def kill_and_start(self, draw: random.Random) -> tuple[float, float, float]:
        """Kills it among its work; the seconds from the start to the three moments."""
        process, accepted = self.server._process, []
        threading.Timer(draw.uniform(0.05, 0.5), process.send_signal, [signal.SIGKILL]).start()
        try:
            for _ in range(VERSIONS_AT_ONCE):
                self.made += 1
                path = f"{self.actor.definition}/versions/2.0.{self.made}"
                expect(self.server.request("PUT", path, self.body), 201)
                accepted.append(path)
        except Gone:
            pass
        process.wait()
        began = time.monotonic()
        self.server.begin()
        while not self.server._is_ready():
            time.sleep(0.002)
        answered = time.monotonic() - began
        path = f"{self.actor.definition}/versions/1.1.{draw.randint(1, self.versions)}"
        expect(self.server.request("GET", path), 200)
        served = time.monotonic() - began
        self._wait_for(accepted)
        return answered, served, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--versions", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder, draw = Path(tempfile.mkdtemp(prefix="galerie-recovery-")), random.Random(options.seed)
    recovery = Recovery(folder, options.versions)
    try:
        recovery.prepare()
        database = "PostgreSQL" if os.environ.get("GALERIE_TEST_POSTGRES") else "SQLite"
        print(f"{options.kills} kills of a server with {options.versions} versions in {database}; from its start, in ms, median (longest):")
        times = [recovery.kill_and_start(draw) for _ in range(options.kills)]
        for name, values in zip(("it answers", "it answers for a version", "what was interrupted is finished"), zip(*times)):
            print(f"  {name:<34} {statistics.median(values) * 1000:6.0f} ({max(values) * 1000:.0f})")
    finally:
        recovery.server.kill()
        recovery.server.drop_database()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
