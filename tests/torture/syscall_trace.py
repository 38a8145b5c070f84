"""What a program did to files, as strace recorded it: the calls that write, name and sync, with all their bytes.

A line of the record is a whole call, or its beginning (`<unfinished ...>`), or its end (`<... resumed>`). Both ends matter: a
write may be on its way from its beginning on; a sync holds from its end on, for what was written before its beginning.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CALLS = (
    "open,openat,openat2,creat,close,dup,dup2,dup3,fcntl,lseek,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,"
    "fsync,fdatasync,sync_file_range,msync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,symlink,"
    "copy_file_range,sendfile,splice"
)
LINE = re.compile(rb"^(\d+) +(\d+\.\d+) (.*)$")
RESUMED = re.compile(rb"^<\.\.\. (\w+) resumed>(.*)$")
CALL = re.compile(rb"^(\w+)\((.*)$", re.S)
RESULT = re.compile(rb"\) += (-?\d+|\?|0x[0-9a-f]+)[^\"]*$")
UNFINISHED = b" <unfinished ...>"


def recorder(trace: Path) -> list[str]:
    """What is put before a command to record it."""
    return ["strace", "-f", "-qqq", "--seccomp-bpf", "-ttt", "-xx", "-v", "-s", "1000000000", "-o", str(trace), "-e", f"trace={CALLS}", "-e", "signal=none"]


@dataclass
class Moment:
    """The beginning or the end of a call, or both at once."""

    line: int
    time: float
    call: str
    # As strace writes them, without the closing parenthesis; the same at both moments.
    arguments: bytes
    begins: bool
    # What it returned; `None` at its beginning, and negative when it failed.
    result: int | None
    # What a call's beginning and end have in common.
    key: object = None


def read(trace: Path) -> Iterator[Moment]:
    """The moments in the order in which they were seen."""
    begun: dict[bytes, tuple[str, bytes, object]] = {}
    with open(trace, "rb") as file:
        for number, line in enumerate(file):
            match = LINE.match(line.rstrip(b"\n"))
            if not match:
                continue
            process, time, text = match[1], float(match[2]), match[3]
            if text.startswith((b"+++", b"---")):
                continue
            if resumed := RESUMED.match(text):
                if process not in begun:
                    continue
                call, arguments, key = begun.pop(process)
                ended = RESULT.search(b")" + resumed[2].rpartition(b")")[2] if b")" in resumed[2] else resumed[2])
                if ended and ended[1] != b"?":
                    yield Moment(number, time, call, arguments + resumed[2].rpartition(b")")[0], False, int(ended[1], 0), key)
                continue
            found = CALL.match(text)
            if not found:
                continue
            call, rest, key = found[1].decode(), found[2], object()
            if rest.endswith(UNFINISHED):
                arguments = rest[: -len(UNFINISHED)]
                begun[process] = (call, arguments, key)
                yield Moment(number, time, call, arguments, True, None, key)
            else:
                arguments, _, tail = rest.rpartition(b") ")
                value = tail.strip().removeprefix(b"=").split()[0] if tail else b"?"
                if value != b"?":
                    yield Moment(number, time, call, arguments, True, int(value, 0), key)


def strings(arguments: bytes) -> list[bytes]:
    """The quoted strings among a call's arguments."""
    return [bytes.fromhex(text.replace(b"\\x", b"").decode()) for text in arguments.split(b'"')[1::2]]


def numbers(arguments: bytes) -> list[bytes]:
    """The arguments, with strings left out."""
    return [part.strip() for part in b"".join(arguments.split(b'"')[::2]).split(b",")]
