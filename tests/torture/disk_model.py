"""A disk that loses power: from what a program wrote and synced, the states it may find afterwards.

The model takes as little for granted as POSIX, ext4 and XFS do together:

- What a file holds survives from the end of an `fsync` or `fdatasync` on, as far as it was written before its beginning. Of later
  writes each page survives or not, each in a state that it once had; its last one may be torn at sectors.
- A name survives from the end of an `fsync` of its folder on. Later changes of a folder survive up to some point, in order; a rename
  between two folders in both or in neither. A file's own sync saves its bytes and not its name.
- A folder that is not named any more takes with it what is below.
"""

import random
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from syscall_trace import Moment, numbers, strings

PAGE_BYTES = 4096
SECTOR_BYTES = 512


@dataclass
class Change:
    """Of a file's bytes; `data` is `None` for a truncation to `offset`."""

    offset: int
    data: bytes | None


@dataclass
class File:
    changes: list[Change] = field(default_factory=list)
    durable: int = 0
    size: int = 0

    def change(self, offset: int, data: bytes | None) -> None:
        self.changes.append(Change(offset, data))
        self.size = offset if data is None else max(self.size, offset + len(data))


@dataclass
class Folder:
    names: dict[str, object] = field(default_factory=dict)
    # How many of the disk's operations its last sync saw.
    durable: int = 0


@dataclass
class Operation:
    """A change of names. `adds` and `removes` are (folder, name, what)."""

    removes: list[tuple[Folder, str]]
    adds: list[tuple[Folder, str, object]]

    @property
    def folders(self) -> list[Folder]:
        return [folder for folder, *_ in self.removes + self.adds]


@dataclass
class Opened:
    """An open file description."""

    node: object
    offset: int = 0
    appends: bool = False


class Disk:
    """Follows a record. What lies outside `root`'s own folder is none of its business.

    One that forgets syncs, of files or of folders, is as a program that lacks them: it shows that a loss would be noticed.
    """

    def __init__(self, root: Path, forgets: str | None = None):
        self._forgotten = {"files": File, "folders": Folder, None: ()}[forgets]
        self.top, self.base = Folder(), PurePosixPath(root.parent)
        self.operations: list[Operation] = []
        self.opened: dict[int, Opened] = {}
        self._syncs: dict[object, tuple[object, int]] = {}

    def follow(self, moment: Moment) -> None:
        handler = getattr(self, f"_{moment.call}", None)
        if handler:
            handler(moment)

    # Names

    def _place(self, path: bytes) -> tuple[Folder, str] | None:
        """The folder of a path and the name in it; `None` outside."""
        try:
            parts = PurePosixPath(path.decode()).relative_to(self.base).parts
        except ValueError:
            return None
        folder = self.top
        for part in parts[:-1]:
            folder = folder.names.get(part)
            if not isinstance(folder, Folder):
                return None
        return (folder, parts[-1]) if parts else None

    def _operate(self, removes: list, adds: list) -> None:
        self.operations.append(Operation(removes, adds))
        for folder, name in removes:
            folder.names.pop(name, None)
        for folder, name, what in adds:
            folder.names[name] = what

    def _openat(self, moment: Moment) -> None:
        if moment.result is None or moment.result < 0:
            return
        path, flags = strings(moment.arguments)[0], numbers(moment.arguments)[2]
        place = self._place(path)
        if path.decode() == str(self.base):
            self.opened[moment.result] = Opened(self.top)
            return
        if not place:
            self.opened.pop(moment.result, None)
            return
        folder, name = place
        node = folder.names.get(name)
        if node is None:
            if b"O_CREAT" not in flags:
                self.opened.pop(moment.result, None)
                return
            node = File()
            self._operate([], [(folder, name, node)])
        elif b"O_TRUNC" in flags and isinstance(node, File):
            node.change(0, None)
        self.opened[moment.result] = Opened(node, appends=b"O_APPEND" in flags)

    def _close(self, moment: Moment) -> None:
        if moment.begins:
            self.opened.pop(int(numbers(moment.arguments)[0]), None)

    def _fcntl(self, moment: Moment) -> None:
        parts = numbers(moment.arguments)
        if parts[1].startswith(b"F_DUPFD") and (moment.result or -1) >= 0 and int(parts[0]) in self.opened:
            self.opened[moment.result] = self.opened[int(parts[0])]

    def _mkdir(self, moment: Moment) -> None:
        if moment.result == 0 and (place := self._place(strings(moment.arguments)[0])):
            self._operate([], [(*place, Folder())])

    def _unlink(self, moment: Moment) -> None:
        if moment.result == 0 and (place := self._place(strings(moment.arguments)[0])):
            self._operate([place], [])

    _rmdir = _unlink

    def _rename(self, moment: Moment) -> None:
        if moment.result == 0:
            source, target = (self._place(path) for path in strings(moment.arguments)[:2])
            if source and target:
                self._operate([source], [(*target, source[0].names[source[1]])])

    _renameat2 = _renameat = _rename

    def _link(self, moment: Moment) -> None:
        if moment.result == 0:
            source, target = (self._place(path) for path in strings(moment.arguments)[:2])
            if source and target:
                self._operate([], [(*target, source[0].names[source[1]])])

    _linkat = _link

    def _refuse(self, moment: Moment) -> None:
        if any(self._place(path) for path in strings(moment.arguments)):
            raise NotImplementedError(f"{moment.call} is not followed")

    _truncate = _symlink = _mkdirat = _creat = _open = _openat2 = _refuse

    def _unlinkat(self, moment: Moment) -> None:
        if moment.result == 0 and moment.arguments.startswith(b"AT_FDCWD"):
            self._unlink(moment)

    # Bytes

    def _file(self, moment: Moment) -> Opened | None:
        opened = self.opened.get(int(numbers(moment.arguments)[0]))
        return opened if opened and isinstance(opened.node, File) else None

    def _write(self, moment: Moment) -> None:
        if moment.begins and (opened := self._file(moment)):
            data = b"".join(strings(moment.arguments))
            if opened.appends:
                opened.offset = opened.node.size
            opened.node.change(opened.offset, data)
            opened.offset += len(data)

    _writev = _write

    def _pwrite64(self, moment: Moment) -> None:
        if moment.begins and (opened := self._file(moment)):
            opened.node.change(int(numbers(moment.arguments)[3]), b"".join(strings(moment.arguments)))

    def _lseek(self, moment: Moment) -> None:
        if (moment.result or -1) >= 0 and (opened := self._file(moment)):
            opened.offset = moment.result
        elif moment.result == 0 and (opened := self._file(moment)):
            opened.offset = 0

    def _ftruncate(self, moment: Moment) -> None:
        if moment.begins and (opened := self._file(moment)):
            length = int(numbers(moment.arguments)[1])
            if length < opened.node.size:
                opened.node.change(length, None)
            elif length > opened.node.size:
                # A hole: the size grows, and nothing is written but that.
                opened.node.change(length - 1, b"\0")

    def _fallocate(self, moment: Moment) -> None:
        if moment.begins and (opened := self._file(moment)):
            parts = numbers(moment.arguments)
            if b"PUNCH_HOLE" in parts[1]:
                opened.node.change(int(parts[2]), bytes(int(parts[3])))

    def _unknown(self, moment: Moment) -> None:
        if self._file(moment):
            raise NotImplementedError(f"{moment.call} is not followed")

    _pwritev = _pwritev2 = _copy_file_range = _sendfile = _splice = _sync_file_range = _unknown

    # Syncs

    def _fsync(self, moment: Moment) -> None:
        if moment.begins and (opened := self.opened.get(int(numbers(moment.arguments)[0]))):
            seen = len(opened.node.changes) if isinstance(opened.node, File) else len(self.operations)
            self._syncs[moment.key] = (opened.node, seen)
        if moment.result is not None:
            node, seen = self._syncs.pop(moment.key, (None, 0))
            if node is not None and moment.result == 0 and not isinstance(node, self._forgotten):
                node.durable = max(node.durable, seen)

    _fdatasync = _fsync

    # The loss

    def lose_power(self, target: Path, draw: random.Random) -> None:
        """Writes one of the states that the disk may have now below `target`, in place of the root's own folder."""
        names_kept, pages_kept = draw.choice([0.0, 0.5, 0.9, 1.0]), draw.choice([0.0, 0.5, 0.9, 1.0])
        tree: dict[int, dict[str, object]] = {id(self.top): {}}
        for operation in self._surviving(names_kept, draw):
            for folder, name in operation.removes:
                tree.setdefault(id(folder), {}).pop(name, None)
            for folder, name, what in operation.adds:
                tree.setdefault(id(folder), {})[name] = what
        self._write_tree(target, self.top, tree, pages_kept, draw)

    def _surviving(self, kept: float, draw: random.Random) -> list[Operation]:
        """The operations that are found afterwards: the durable ones, with those they follow upon, and some others."""
        needed: dict[int, int] = {}
        durable = set()
        for index in range(len(self.operations) - 1, -1, -1):
            folders = self.operations[index].folders
            if any(index < max(folder.durable, needed.get(id(folder), 0)) for folder in folders):
                durable.add(index)
                for folder in folders:
                    needed[id(folder)] = max(needed.get(id(folder), 0), index + 1)
        lost: set[int] = set()
        surviving = []
        for index, operation in enumerate(self.operations):
            folders = {id(folder) for folder in operation.folders}
            if index in durable or (not folders & lost and draw.random() < kept):
                surviving.append(operation)
            else:
                lost |= folders
        return surviving

    def _write_tree(self, target: Path, folder: Folder, tree: dict, kept: float, draw: random.Random) -> None:
        target.mkdir(mode=0o700, exist_ok=True)
        for name, node in tree.get(id(folder), {}).items():
            if isinstance(node, Folder):
                self._write_tree(target / name, node, tree, kept, draw)
            elif name.endswith("-shm"):
                # SQLite's index of its log is shared memory that happens to have a name: anything may be left in it.
                if draw.random() < 0.5:
                    (target / name).write_bytes(draw.randbytes(32768))
            else:
                write_sparse(target / name, surviving_bytes(node, kept, draw))


def surviving_bytes(file: File, kept: float, draw: random.Random) -> bytearray:
    """The bytes of a file: all that was synced, and of what came later each page in a state that it once had."""
    content = bytearray()
    for change in file.changes[: file.durable]:
        apply(content, change.offset, change.data)
    ends: dict[int, int] = {}

    def end_of(page: int) -> int:
        """Up to which change a page is found."""
        if page not in ends:
            ends[page] = len(file.changes) if draw.random() < kept else draw.randint(file.durable, len(file.changes))
        return ends[page]

    for number in range(file.durable, len(file.changes)):
        change = file.changes[number]
        if change.data is None:
            if number < end_of(-1):
                apply(content, change.offset, None)
            continue
        start, stop = change.offset, change.offset + len(change.data)
        for page in range(start // PAGE_BYTES, -(-stop // PAGE_BYTES)):
            first, last = max(start, page * PAGE_BYTES), min(stop, (page + 1) * PAGE_BYTES)
            end = end_of(page)
            if number < end:
                apply(content, first, change.data[first - start : last - start])
            elif number == end and draw.random() < 0.3:
                for sector in range(first - first % SECTOR_BYTES, last, SECTOR_BYTES):
                    if draw.random() < 0.5:
                        low, high = max(first, sector), min(last, sector + SECTOR_BYTES)
                        apply(content, low, change.data[low - start : high - start])
    return content


def apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def write_sparse(path: Path, content: bytearray) -> None:
    zeros = bytes(PAGE_BYTES)
    with open(path, "wb") as file:
        file.truncate(len(content))
        for start in range(0, len(content), PAGE_BYTES):
            page = content[start : start + PAGE_BYTES]
            if page != zeros[: len(page)]:
                file.seek(start)
                file.write(page)
    path.chmod(0o600)
