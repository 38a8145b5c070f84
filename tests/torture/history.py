"""What was asked of the server and what it acknowledged: the model that every restart is judged by.

A *write* says that a resource is to be there, with certain bytes, or gone. It is *acknowledged* when its answer, a 2xx, has
arrived. At any moment a resource must be as its last acknowledged write says, or as one says that was sent after that and
was not acknowledged yet: wholly one or wholly the other.
"""

import threading
import time
from dataclasses import dataclass, field, replace

from guest import Guest

NEVER = float("inf")


class Lost(AssertionError):
    """The server broke a promise. What this says is the finding."""


class Wrong(Lost):
    """Bytes were served that are not those that were put. No fault of disk or network excuses that."""


@dataclass
class Write:
    there: bool
    # Its bytes, once it has all of them; `None`: nothing is said about them.
    content: Guest | None
    # Where it has them; for image versions the target regions.
    regions: tuple[str, ...]
    sent: float
    acked: float = NEVER

    def ack(self) -> None:
        self.acked = min(self.acked, time.time())


@dataclass
class Pages:
    """One page-blob write of an upload."""

    offset: int
    length: int
    acked: float = NEVER


@dataclass
class Upload:
    """A disk that is being uploaded, and how far it was acknowledged."""

    path: str
    body: dict
    guest: Guest
    pages: list[Pages]
    created_acked: float = NEVER
    sas: str | None = None
    granted: float = NEVER
    end_sent: float = NEVER
    end_acked: float = NEVER


@dataclass
class History:
    writes: dict[str, list[Write]] = field(default_factory=dict)
    uploads: list[Upload] = field(default_factory=list)
    acknowledged: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, path: str, there: bool, content: Guest | None = None, regions: tuple[str, ...] = ()) -> Write:
        """About to be sent."""
        write = Write(there, content, tuple(regions), time.time())
        with self.lock:
            self.writes.setdefault(path, []).append(write)
            self.acknowledged += 1
        return write

    def allowed(self, path: str, at: float = NEVER) -> list[Write]:
        """What the resource may be, of what was asked before `at`; the acknowledged first."""
        with self.lock:
            writes = [write for write in self.writes.get(path, []) if write.sent < at]
        acked = [index for index, write in enumerate(writes) if write.acked < at]
        first = acked[-1] if acked else None
        base = writes[first] if acked else Write(False, None, (), 0.0, 0.0)
        return [base, *(writes[first + 1 :] if acked else writes)]

    def paths(self, at: float = NEVER) -> list[str]:
        with self.lock:
            return [path for path, writes in self.writes.items() if any(write.sent < at for write in writes)]

    def copy(self) -> "History":
        """Another one, to go on with."""
        with self.lock:
            writes = {path: [replace(write) for write in writes] for path, writes in self.writes.items()}
            uploads = [replace(upload, pages=[replace(page) for page in upload.pages]) for upload in self.uploads]
        return History(writes, uploads, self.acknowledged)

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name != "lock"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state, lock=threading.Lock())

    def began(self, upload: Upload) -> None:
        with self.lock:
            if upload not in self.uploads:
                self.uploads.append(upload)

    def unfinished_uploads(self, at: float) -> list[Upload]:
        """Uploads that were there at `at`, and whose end was not acknowledged yet."""
        with self.lock:
            return [upload for upload in self.uploads if upload.created_acked < at <= upload.end_acked]
