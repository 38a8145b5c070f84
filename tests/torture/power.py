#!/usr/bin/env python3
"""Power loss: the real server, found again with only what it had synced at an instant.

    tests/torture/power.py [--seed N] [--cuts N]

strace records every byte that a session of work writes, every name it makes or takes away, and every sync. At each *cut*, an
instant of that record, `disk_model` draws one of the states that a disk may have then, the server is started on it, and the
history is asked: what was acknowledged before the cut is there and reads back equal, uploads go on where they were, nothing
else has appeared, every store is sound, and after the last deletion nothing is left.

The seed draws the work and the cuts. When threads meet is the machine's doing, so a replay of a defect is best made from the
record, which is kept: `--record FOLDER` cuts it again. SQLite only: PostgreSQL answers for its own syncs.
"""

import argparse
import os
import pickle
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

import checks
from actor import Actor
from disk_model import Disk
from exchange import delete, finish_upload
from guest import GuestMaker
from history import History, Lost
from kills import guests_of
from syscall_trace import read, recorder
from torture_server import TortureServer

ACTORS = 2
ACTIONS = 14
# Calls after and before which states differ most.
TURNS = {"fsync", "fdatasync", "rename", "renameat2", "unlink", "mkdir", "pwrite64"}


def record(folder: Path, seed: int) -> tuple[History, int]:
    """A session of work, recorded in `folder`; the history and the server's port."""
    config = folder / "galerie.toml"
    config.write_text('metrics_listen = "off"\ncollect_every_s = 1\ncollect_grace_s = 0\nlog_level = "info,galerie_api=warn"\n')
    server = TortureServer(folder / "data", config)
    server.prefix = recorder(folder / "trace")
    history = History()
    guests = GuestMaker(folder / "guests", random.Random(f"{seed}/guests"))
    actors = [
        Actor(f"actor{index}", server, history, guests_of(guests, index), random.Random(f"{seed}/{index}"), folder) for index in range(ACTORS)
    ]
    server.start()
    failures: list[BaseException] = []

    def work(actor: Actor) -> None:
        try:
            for _ in range(ACTIONS):
                actor.attempt(*actor.choose())
        except BaseException as error:  # noqa: BLE001: raised below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(actor,)) for actor in actors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # strace, whose child the server is, ends its record with it.
    os.kill(int((folder / "data/lock").read_text()), signal.SIGKILL)
    server._process.wait()
    if failures:
        raise failures[0]
    return history, server.port


def choose_cuts(trace: Path, count: int, draw: random.Random) -> list[int]:
    """Lines of the record, in order; half of them anywhere, half where something becomes durable or is taken away."""
    lines, turns = 0, []
    for moment in read(trace):
        lines = moment.line
        if moment.call in TURNS:
            turns.append(moment.line)
    anywhere = [draw.randrange(lines) for _ in range(count // 2)]
    return sorted(anywhere + [draw.choice(turns) + draw.randint(0, 1) for _ in range(count - len(anywhere))])


class Cuts:
    def __init__(self, folder: Path, history: History, port: int, seed: int, forgets: str | None):
        self.forgets = forgets
        self.folder, self.history, self.port, self.seed = folder, history, port, seed
        self.read_back = 0
        self.required = 0
        self.done = 0
        self.defects: list[str] = []

    def make(self, cuts: list[int]) -> None:
        """Follows the record from its beginning and stops at each cut."""
        disk = Disk(self.folder / "data", self.forgets)
        waiting = list(enumerate(cuts))
        for moment in read(self.folder / "trace"):
            while waiting and moment.line >= waiting[0][1]:
                number, _ = waiting.pop(0)
                self._cut(disk, number, moment.line, moment.time)
            if not waiting:
                return
            disk.follow(moment)

    def _cut(self, disk: Disk, number: int, line: int, at: float) -> None:
        draw = random.Random(f"{self.seed}/cut/{line}/{number}")
        target = self.folder / f"cut{number}"
        disk.lose_power(target, draw)
        target.joinpath("data").mkdir(exist_ok=True)
        server = TortureServer(target / "data", self.folder / "galerie.toml", self.port)
        try:
            self._judge(server, self.history.copy(), at, draw)
            shutil.rmtree(target)
        except BaseException as error:  # noqa: BLE001: every end but a good one is a finding
            text = f"cut {number} at line {line} (kept in {target}):\n{traceback.format_exc()}"
            self.defects.append(text)
            print(text, flush=True)
            if isinstance(error, KeyboardInterrupt):
                raise
        finally:
            if server.is_running:
                server.kill()
        self.done += 1

    def _judge(self, server: TortureServer, history: History, at: float, draw: random.Random) -> None:
        server.start()
        self.required += sum(write.acked < at for writes in history.writes.values() for write in writes)
        # Moments of this judgement are after the cut.
        for upload in history.unfinished_uploads(at):
            finish_upload(server, history, upload, at)
        found = checks.check_presence(server, history, at)
        for path in sorted(found):
            if history.writes.get(path):
                self.read_back += checks.check_content(server, history, path, self.folder, at)
        checks.check_stores(server)
        if draw.random() < 0.25:
            for path in sorted(found):
                if path.count("/") == 4:
                    delete(server, history, path)
            server.stop()
            checks.check_nothing_is_left(server)
        if "panicked" in server.log:
            raise Lost(f"a panic:\n{server.log[-3000:]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--record", type=Path, help="the folder of a record that a former run kept, to be cut again")
    parser.add_argument("--forget", choices=["files", "folders"], help="forget these syncs, and succeed only if that is noticed")
    parser.add_argument("--folder", help="where data directories are made [default: the temporary folder]")
    options = parser.parse_args()
    print(f"power loss, {options.cuts} cuts; seed {options.seed}", flush=True)
    began = time.monotonic()
    folder = options.record or Path(tempfile.mkdtemp(prefix="galerie-power-", dir=options.folder))
    if options.record:
        history, port = pickle.loads((folder / "history").read_bytes())
    else:
        history, port = record(folder, options.seed)
        (folder / "history").write_bytes(pickle.dumps((history, port)))
    cuts = Cuts(folder, history, port, options.seed, options.forget)
    cuts.make(choose_cuts(folder / "trace", options.cuts, random.Random(f"{options.seed}/cuts")))
    print(
        f"{cuts.done} cuts of {(folder / 'trace').stat().st_size >> 20} MiB of record in {time.monotonic() - began:.0f} s: {cuts.required} "
        f"acknowledged writes asked for, {cuts.read_back} images read back; {len(cuts.defects)} defects"
    )
    if options.forget:
        shutil.rmtree(folder, ignore_errors=True)
        return 0 if cuts.defects else 1
    if cuts.defects:
        print(f"replay: tests/torture/power.py --seed {options.seed} --cuts {options.cuts} --record {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
