"""An initial RAM disk: kernel modules in dependency order, packed as a `newc` cpio archive.

busybox's insmod resolves no dependencies, and an unpacked kernel package has no modules.dep yet, so the order is worked
out here from what each module says about itself.
"""

import gzip
import lzma
import stat
from pathlib import Path


def module_name(path: Path) -> str:
    """virtio-net.ko.xz and virtio_net are the same module."""
    return path.name.split(".")[0].replace("-", "_")


def modules_in_load_order(modules: Path, wanted: list[str]) -> list[tuple[str, bytes]]:
    """(file name, contents) of `wanted` and what they depend on, dependencies first; what the kernel has built in is left out."""
    built_in = {module_name(Path(line)) for line in (modules / "modules.builtin").read_text().split()}
    files = {module_name(path): path for path in modules.rglob("*.ko*")}
    order: dict[str, bytes] = {}

    def add(name: str) -> None:
        if name in order or name in built_in:
            return
        path = files[name]
        contents = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
        for dependency in _dependencies(contents):
            add(dependency)
        order[name] = contents

    for name in wanted:
        add(name)
    return [(f"{name}.ko", contents) for name, contents in order.items()]


def _dependencies(contents: bytes) -> list[str]:
    # The .modinfo section is NUL-terminated key=value strings; every module has exactly one `depends`.
    value = contents.split(b"\0depends=", 1)[1].split(b"\0", 1)[0].decode()
    return [name.replace("-", "_") for name in value.split(",") if name]


class Archive:
    """Collects entries, then packs them; the same entries give the same bytes."""

    def __init__(self) -> None:
        self._entries: list[tuple[str, int, bytes]] = []

    def directory(self, name: str) -> None:
        self._entries.append((name, stat.S_IFDIR | 0o755, b""))

    def file(self, name: str, contents: bytes, mode: int = 0o644) -> None:
        self._entries.append((name, stat.S_IFREG | mode, contents))

    def packed(self) -> bytes:
        entries = [*self._entries, ("TRAILER!!!", 0, b"")]
        newc = b"".join(self._record(number, *entry) for number, entry in enumerate(entries, 1))
        return gzip.compress(newc, 9, mtime=0)

    @staticmethod
    def _record(inode: int, name: str, mode: int, contents: bytes) -> bytes:
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = [inode, mode, 0, 0, links, 0, len(contents), 0, 0, 0, 0, len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        return _padded(head) + _padded(contents)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
