#!/usr/bin/env python3
"""Clock jumps: the wall clock goes hours forward and back, between the server's starts and while it works.

    tests/torture/clock.py [--seed N] [--kills N] [--only LIFE]

As `kills.py`, with libfaketime between the server and the wall clock (the monotonic clock goes on as it does). Clients stay
with the real time, as they would. Nothing is lost, and nothing waits for a clock that was put back.
"""

import random
import sys
import threading
from pathlib import Path

import kills

LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
# Together less than the day that certificates are backdated and that a SAS lives.
FARTHEST_H = 10


class ClockLife(kills.Life):
    """A life whose clock is moved before most starts, and twice a second or so while the server works."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.clock = self.folder / "clock"
        self.server.extra_environment = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
        self.jumps = random.Random(self.random.random())
        self._jump()

    def _jump(self) -> None:
        """In place, so that nobody reads half of it."""
        beside = self.clock.with_suffix(".new")
        beside.write_text(f"{self.jumps.randint(-FARTHEST_H * 3600, FARTHEST_H * 3600):+d}\n")
        beside.replace(self.clock)

    def _start(self) -> None:
        if self.jumps.random() < 0.7:
            self._jump()
        super()._start()

    def _work(self) -> None:
        working = threading.Event()

        def jump() -> None:
            while not working.wait(self.jumps.uniform(0.05, 1.0)):
                self._jump()

        thread = threading.Thread(target=jump)
        thread.start()
        try:
            super()._work()
        finally:
            working.set()
            thread.join()


if __name__ == "__main__":
    if not LIBRARY.exists():
        sys.exit(f"{LIBRARY} is missing; the Debian package is called libfaketime")
    kills.Life = ClockLife
    print("with clock jumps: ", end="")
    sys.exit(kills.main())
