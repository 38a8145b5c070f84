#!/usr/bin/env python3
"""Failing disks and a failing object store, together with kills: a real server, real work, and a model of what was acknowledged.

    tests/torture/faults.py [--seed N] [--rounds N] [--jobs N] [--only LIFE] [--lie]

As `kills.py`, with three regions of which one lies in a bucket. In each round syncs and writes below the data directory fail
(EIO, ENOSPC, writes that are cut short) or take long, and the bucket throttles, fails, drops connections before and after it
did what was asked, and answers late; then the server is killed, or told to stop. Sometimes it starts on a failing disk, which
it may refuse, but not spoil. While things fail requests may fail, too, with the one exception that no other bytes are served.
With everything well again, what was interrupted must succeed, and what was acknowledged must be there.

With `--lie` writes are said to be done and are not, and the run succeeds only if that is noticed.

Which call fails is drawn from the seed by its number, in `faults.c` and the bucket; `--seed N --only LIFE` replays a life as
far as threads allow.
"""

import argparse
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import checks
from history import Lost, Wrong
from kills import Life, Totals
from torture_server import Gone, TortureServer

REPOSITORY = Path(__file__).resolve().parents[2]
BUCKET = REPOSITORY / "target/debug/examples/bucket"
ROUNDS_PER_LIFE = (2, 4)
WORK_S = (0.7, 3.0)
# How a call fails, as `faults.c` counts: EIO, ENOSPC, cut short.
KINDS = [1, 2, 1 | 2, 1 | 2 | 4]
LIE = 8
CALM = (0, 0, 0, 0)


class Disk:
    """The data directory's disk: `faults.c`, and the numbers that it looks at."""

    def __init__(self, library: Path, rates: Path, folder: Path, seed: int):
        self.rates = rates
        self.fail(CALM)
        self.environment = {
            "LD_PRELOAD": str(library),
            "GALERIE_FAULT_FOLDER": str(folder),
            "GALERIE_FAULT_RATES": str(rates),
            "GALERIE_FAULT_SEED": str(seed),
        }

    def fail(self, rates: tuple[int, int, int, int]) -> None:
        """Syncs, writes, slow calls (of a thousand), and the kinds. In place: the server has the file mapped."""
        with open(self.rates, "r+b" if self.rates.exists() else "w+b") as file:
            file.write(struct.pack("=4I", *rates))


class Bucket:
    """The object store, in a process of its own."""

    def __init__(self):
        self.process = subprocess.Popen([BUCKET], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.endpoint, folder = self.process.stdout.readline().split(maxsplit=1)
        self.folder = Path(folder.strip())

    def fail(self, seed: int, *per_mille: int) -> None:
        """Throttled, failed, dropped, unanswered, slow."""
        self.process.stdin.write(" ".join(map(str, (seed, *per_mille))) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "ok\n"

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


class FaultyLife(Life):
    def __init__(self, seed: int, number: int, folder: Path, totals: Totals, library: Path):
        self.bucket = Bucket()
        super().__init__(seed, number, folder, totals, is_hasty=True)
        self.disk = Disk(library, self.folder / "rates", self.server.data_dir, self.random.getrandbits(63))
        self.server.extra_environment = self.disk.environment

    def _config(self) -> Path:
        keys = self.folder / "keys"
        keys.write_text("[default]\naws_access_key_id = AKIDTEST\naws_secret_access_key = test-secret-of-no-worth\n")
        path = self.folder / "galerie.toml"
        path.write_text(
            'metrics_listen = "off"\ncollect_every_s = 1\ncollect_grace_s = 0\nmin_free_space = "1MiB"\n'
            'log_level = "info,galerie_api=warn"\n[[regions]]\nname = "eastus"\n[[regions]]\nname = "westeurope"\ncompression = "lz4"\n'
            f'[[regions]]\nname = "westus"\nstore = "s3://images/life{self.number}"\n'
            f'[regions.s3]\nendpoint = "{self.bucket.endpoint}"\npath_style = true\ncredentials_file = "{keys}"\n'
        )
        return path

    def live(self, rounds: int) -> None:
        for _ in range(rounds):
            self._start_perhaps_in_vain()
            self._check()
            self._work_while_things_fail()
            self.totals.add(kills=1)
        self._end()
        self.bucket.close()

    def _start_perhaps_in_vain(self) -> None:
        """On a disk that fails a start may be refused; once it is well it must succeed."""
        if self.random.random() < 0.3:
            self.disk.fail((self.random.choice([20, 100, 300]), self.random.choice([0, 20]), 0, self.random.choice(KINDS)))
            self.server.begin()
            try:
                self.server.await_ready()
            except (Gone, AssertionError):
                self.totals.add(kills_while_starting=1)
            if self.server.is_running:
                self.server.kill()
            self.disk.fail(CALM)
        self.server.start()

    def _work_while_things_fail(self) -> None:
        draw = self.random
        syncs, writes, slow = draw.choice([0, 2, 10, 50, 200]), draw.choice([0, 2, 10, 50]), draw.choice([0, 20])
        self.disk.fail((0, 50, 0, LIE) if self.totals.lies else (syncs, writes, slow, draw.choice(KINDS)))
        self.bucket.fail(draw.getrandbits(32), *(draw.choice([0, 20, 60]) for _ in range(5)))
        is_killed = draw.random() < 0.8
        ending = threading.Timer(draw.uniform(*WORK_S), self.server.kill if is_killed else self.server.stop)
        ending.start()
        before = sum(actor.done for actor in self.actors)
        try:
            self._in_parallel([lambda actor=actor: self._act(actor) for actor in self.actors])
        except Gone:
            pass
        finally:
            ending.join()
            self.disk.fail(CALM)
            self.bucket.fail(0, 0, 0, 0, 0, 0)
            self.totals.add(actions=sum(actor.done for actor in self.actors) - before)

    def _act(self, actor) -> None:
        """Works until the server is gone; what fails is tried again, by the same actor, until it succeeds."""
        while True:
            try:
                actor.work()
            except Wrong:
                raise
            except AssertionError:
                if not self.server.is_running:
                    raise Gone from None
                self.totals.add(refused=1)
                actor.failures = 0
                time.sleep(0.02)

    def _finish(self) -> None:
        super()._finish()
        left = [path for path in self.bucket.folder.rglob("packs/*") if path.is_file()]
        if left:
            raise Lost(f"the bucket keeps what nothing needs: {left}")


class FaultTotals(Totals):
    """Counts refusals, too."""

    refused: int = 0
    lies: bool = False


def compile_library(folder: Path) -> Path:
    library = folder / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    return library


def plan(seed: int, rounds: int) -> list[tuple[int, int]]:
    """The lives' numbers, and how many rounds each has."""
    lengths, lives = random.Random(seed), []
    while (left := rounds - sum(length for _, length in lives)) > 0:
        lives.append((len(lives), min(lengths.randint(*ROUNDS_PER_LIFE), left)))
    return lives


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=2, help="lives at once")
    parser.add_argument("--only", type=int, help="this life alone")
    parser.add_argument("--lie", action="store_true", help="a disk that forgets writes: it must be noticed")
    options = parser.parse_args()
    database = "PostgreSQL" if os.environ.get("GALERIE_TEST_POSTGRES") else "SQLite"
    print(f"failing disks and buckets, {options.rounds} rounds, on {database}; seed {options.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="galerie-faults-"))
    library, totals, began = compile_library(folder), FaultTotals(), time.monotonic()
    totals.lies = options.lie

    def live(planned: tuple[int, int]) -> None:
        number, rounds = planned
        if totals.defects or options.only not in (None, number):
            return
        life = FaultyLife(options.seed, number, folder, totals, library)
        try:
            life.live(rounds)
        except BaseException:  # noqa: BLE001: every end of a life but its own is a finding
            life.report()

    with ThreadPoolExecutor(options.jobs) as jobs:
        list(jobs.map(live, plan(options.seed, options.rounds)))
    print(
        f"{totals.kills} rounds ({totals.kills_while_starting} starts refused) in {totals.lives} lives, {time.monotonic() - began:.0f} s: "
        f"{totals.actions} actions, {totals.refused} failed and tried again, {totals.acknowledged} writes, {totals.read_back} images read "
        f"back; {len(totals.defects)} defects"
    )
    if options.lie:
        shutil.rmtree(folder, ignore_errors=True)
        return 0 if totals.defects else 1
    if totals.defects:
        print(f"replay: {sys.argv[0]} --seed {options.seed} --rounds {options.rounds}, with --only LIFE for one life")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
