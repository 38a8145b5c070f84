#!/usr/bin/env python3
"""`kill -9` again and again: a real server, real work, and a model of what was acknowledged.

    tests/torture/kills.py [--seed N] [--kills N] [--jobs N] [--only LIFE]

A *life* is a data directory with some kills: three actors work at once, the server is killed at a random instant or just
before the n-th system call of a kind (strace does that), also while it starts and recovers, and is started again. After
each kill everything that was interrupted is begun again and must succeed, everything acknowledged must be there, and a
sample is read back; at a life's end everything is read back, deleted, collected, and nothing may be left.

A life is drawn from the seed and its number alone, so `--seed N --only LIFE` replays one. When threads meet is the
machine's doing: a defect may need a few replays. With GALERIE_TEST_POSTGRES the catalogue is in PostgreSQL.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import checks
from actor import Actor
from exchange import delete
from guest import GuestMaker
from history import History, Lost
from torture_server import REGIONS, Gone, TortureServer

ACTORS = 3
KILLS_PER_LIFE = (4, 12)
# Before which a kill may come: those by which bytes and names become durable, or are taken away.
SYSTEM_CALLS = ["fdatasync", "fsync", "renameat2", "unlink", "pwrite64", "writev", "ftruncate", "mkdir", "fallocate", "sendto"]
# Counted by each thread; the few first ones are those of a start.
CALLS_MAX_LOG10 = 1.8
WORK_MAX_S = 2.0
# Twice the staging reconciler's period, and some.
STAGING_PATIENCE_S = 150


@dataclass
class Totals:
    """Counted by several lives at once; `add` keeps the counts right."""

    kills: int = 0
    kills_while_starting: int = 0
    kills_before_a_call: int = 0
    actions: int = 0
    acknowledged: int = 0
    read_back: int = 0
    lives: int = 0
    afterlives: list[threading.Thread] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, **counts: int) -> None:
        with self.lock:
            for name, count in counts.items():
                setattr(self, name, getattr(self, name) + count)


class Life:
    def __init__(self, seed: int, number: int, folder: Path, totals: Totals, is_hasty: bool):
        self.is_hasty = is_hasty
        self.random = random.Random(f"{seed}/{number}")
        self.number, self.folder, self.totals = number, folder / f"life{number}", totals
        self.folder.mkdir()
        self.server = TortureServer(self.folder / "data", self._config())
        self.history = History()
        guests = GuestMaker(self.folder / "guests", random.Random(f"{seed}/{number}/guests"))
        self.actors = [
            Actor(f"l{number}a{index}", self.server, self.history, guests_of(guests, index), random.Random(f"{seed}/{number}/{index}"), self.folder)
            for index in range(ACTORS)
        ]

    def _config(self) -> Path:
        """Garbage goes at once, or soon: the collector works against everybody else."""
        path = self.folder / "galerie.toml"
        grace_s = self.random.choice([0, 0, 1])
        regions = '[[regions]]\nname = "eastus"\n[[regions]]\nname = "westus"\ncompression = "lz4"\n[[regions]]\nname = "westeurope"\n'
        path.write_text(f'metrics_listen = "off"\ncollect_every_s = 1\ncollect_grace_s = {grace_s}\nlog_level = "info,galerie_api=warn"\n{regions}')
        return path

    def live(self, kills: int) -> None:
        """Until it was killed so often; then to its end."""
        done = 0
        while done < kills:
            self._start()
            try:
                if self._died_early():
                    raise Gone
                self._check()
                self._work()
            except Gone:
                pass
            self.server._process.wait()
            done += 1
            self.totals.add(kills=1, kills_before_a_call=not self.was_timed)
            if self.random.random() < 0.1:
                self._collect_offline()
        self._end()

    # One start

    def _start(self) -> None:
        """Starts the server, with what will kill it already on its way or not."""
        draw = self.random.random()
        self.server.prefix, self.killer, self.was_timed = [], None, False
        if draw < 0.35:
            call, count = self.random.choice(SYSTEM_CALLS), int(10 ** self.random.uniform(0, CALLS_MAX_LOG10))
            # -D: the process that is started is the server, and strace its child. (With --seccomp-bpf strace 6.1 misses the count.)
            inject = f"inject={call}:signal=SIGKILL:when={count}"
            self.server.prefix = ["strace", "-D", "-f", "-qqq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject]
        self.server.begin()
        if draw > 0.8:
            self._kill_after(self.random.uniform(0.0, 0.25))

    def _died_early(self) -> bool:
        try:
            self.server.await_ready()
            return False
        except Gone:
            self.totals.add(kills_while_starting=1)
            return True

    def _kill_after(self, delay_s: float) -> None:
        process = self.server._process

        def kill() -> None:
            if process.poll() is None:
                self.was_timed = True
                process.send_signal(signal.SIGKILL)

        timer = threading.Timer(delay_s, kill)
        timer.daemon = True
        timer.start()
        self.killer = timer

    def _check(self) -> None:
        """What was interrupted succeeds, what was acknowledged is there, and a sample reads back."""
        self._in_parallel([actor.recover for actor in self.actors])
        for actor in self.actors:
            if actor.client is None:
                checks.remove_temporary_disks(self.server, actor.group)
        found = checks.check_presence(self.server, self.history)
        for path in self.random.sample(sorted(found), min(3, len(found))):
            if self.history.writes.get(path):
                region = None
                if "/versions/" in path:
                    region = [self.random.choice(checks.complete_regions(self.server, self.history, path, time.time()))]
                self.totals.add(read_back=checks.check_content(self.server, self.history, path, self.folder, regions=region))
        checks.check_stores(self.server, [self.random.choice(REGIONS)])

    def _work(self) -> None:
        if not self.server.prefix and not self.killer:
            self._kill_after(10 ** self.random.uniform(-2.5, -0.1))
        elif self.server.prefix:
            # The call may never come.
            self._kill_after(WORK_MAX_S)
        before = sum(actor.done for actor in self.actors)
        try:
            self._in_parallel([actor.work for actor in self.actors])
        finally:
            self.totals.add(actions=sum(actor.done for actor in self.actors) - before)
            if self.killer:
                self.killer.cancel()

    def _in_parallel(self, pieces: list) -> None:
        raised: list[BaseException] = []

        def run(piece) -> None:
            try:
                piece()
            except BaseException as error:  # noqa: BLE001: handed on below
                raised.append(error)

        threads = [threading.Thread(target=run, args=(piece,)) for piece in pieces]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for error in sorted(raised, key=lambda error: isinstance(error, Gone)):
            raise error

    def _collect_offline(self) -> None:
        """Collects without a server, perhaps not to the end."""
        command = ("store", "collect", "--offline", "--config", self.server._config)
        client = self.server.spawn_galerie(*command, log=self.folder / "collect.log")
        if self.random.random() < 0.5:
            time.sleep(self.random.uniform(0.0, 0.1))
            client.kill()
        if (code := client.wait()) > 0 and not self._is_new():
            raise Lost(f"collecting offline: {code}\n{(self.folder / 'collect.log').read_text()[-2000:]}")

    def _is_new(self) -> bool:
        """Killed before it ever was ready: there is no administrator yet."""
        return not (self.server.data_dir / "admin.json").exists()

    # The end

    def _end(self) -> None:
        self.server.prefix = []
        self.server.start()
        self._in_parallel([actor.recover for actor in self.actors])
        for actor in self.actors:
            checks.remove_temporary_disks(self.server, actor.group)
        found = checks.check_presence(self.server, self.history)
        for path in sorted(found):
            if self.history.writes.get(path):
                self.totals.add(read_back=checks.check_content(self.server, self.history, path, self.folder))
        checks.check_stores(self.server)
        self.totals.add(acknowledged=self.history.acknowledged)
        for actor in self.actors:
            if actor.group in found:
                below = [path for path in self.history.paths() if path.startswith(f"{actor.group}/")]
                delete(self.server, self.history, actor.group, below)
        checks.check_presence(self.server, self.history)
        if checks.staged(self.server) and self.is_hasty:
            self._finish()
        elif checks.staged(self.server):
            # Two looks of the reconciler; the next life need not wait for them.
            thread = threading.Thread(target=self._afterlife)
            thread.start()
            self.totals.afterlives.append(thread)
        else:
            self._finish()

    def _afterlife(self) -> None:
        try:
            deadline = time.monotonic() + STAGING_PATIENCE_S
            while left := checks.staged(self.server):
                if time.monotonic() > deadline:
                    raise Lost(f"staged pages of disks that are gone stay: {left}")
                time.sleep(0.5)
            self._finish()
        except BaseException:  # noqa: BLE001: reported with the others
            self.report()

    def _finish(self) -> None:
        code = self.server.stop()
        if code:
            raise Lost(f"SIGTERM: exit code {code}")
        checks.check_nothing_is_left(self.server)
        if "panicked" in self.server.log:
            raise Lost(f"a panic:\n{self.server.log[-3000:]}")
        self.server.drop_database()
        shutil.rmtree(self.folder)
        self.totals.add(lives=1)

    def report(self) -> None:
        pending = ", ".join(f"{actor.name}: {actor.pending.name}" for actor in self.actors if actor.pending)
        text = f"life {self.number} (kept in {self.folder}; interrupted: {pending or 'nothing'}):\n{traceback.format_exc()}"
        self.totals.defects.append(text)
        print(text, flush=True)
        if self.server.is_running:
            self.server.kill()


def plan(seed: int, kills: int) -> list[tuple[int, int]]:
    """The lives' numbers, and how often each is killed."""
    lengths, lives = random.Random(seed), []
    while (left := kills - sum(length for _, length in lives)) > 0:
        lives.append((len(lives), min(lengths.randint(*KILLS_PER_LIFE), left)))
    return lives


def guests_of(shared: GuestMaker, index: int) -> GuestMaker:
    """An actor's own maker, with the life's shared blocks."""
    if not shared.shared:
        shared.make()
    return GuestMaker(shared.folder / str(index), random.Random(shared.random.random()), shared.shared)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--jobs", type=int, default=2, help="lives at once")
    parser.add_argument("--only", type=int, help="this life alone")
    parser.add_argument("--hasty", action="store_true", help="do not wait minutes for the pages of uploads that a kill has orphaned")
    parser.add_argument("--folder", help="where data directories are made [default: the temporary folder]")
    options = parser.parse_args()
    database = "PostgreSQL" if os.environ.get("GALERIE_TEST_POSTGRES") else "SQLite"
    replay = f"{sys.argv[0]} --seed {options.seed} --kills {options.kills}"
    print(f"kill -9, {options.kills} times, on {database}; seed {options.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="galerie-torture-", dir=options.folder))
    totals, began = Totals(), time.monotonic()

    def live(planned: tuple[int, int]) -> None:
        number, kills = planned
        if totals.defects or options.only not in (None, number):
            return
        life = Life(options.seed, number, folder, totals, options.hasty)
        try:
            life.live(kills)
        except BaseException:  # noqa: BLE001: every end of a life but its own is a finding
            life.report()

    with ThreadPoolExecutor(options.jobs) as jobs:
        list(jobs.map(live, plan(options.seed, options.kills)))
    for thread in totals.afterlives:
        thread.join()
    took_s = time.monotonic() - began
    print(
        f"{totals.kills} kills ({totals.kills_while_starting} while starting, {totals.kills_before_a_call} before a chosen system call) "
        f"in {totals.lives} lives, {took_s:.0f} s: {totals.actions} actions, {totals.acknowledged} writes, {totals.read_back} images "
        f"read back; {len(totals.defects)} defects"
    )
    if totals.defects:
        print(f"replay: {replay}, with --only LIFE for one life")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
