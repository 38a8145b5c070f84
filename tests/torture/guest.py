"""Guests' disks for the torture: a few MiB of data each, partly fresh, partly what other disks hold, with holes between."""

import hashlib
import random
from dataclasses import dataclass, field
from pathlib import Path

MIB = 1 << 20
# Azure's smallest disk for an upload.
GUEST_BYTES = 20 * MIB
# What one page-blob write carries at most (Azure Storage, "Put Page").
PAGE_WRITE_BYTES = 4 * MIB
BLOCK_BYTES = MIB // 2
SHARED_BLOCKS = 8


@dataclass(frozen=True)
class Guest:
    """One disk's bytes, kept as a raw file."""

    raw: Path
    sha256: str

    def read(self) -> bytes:
        return self.raw.read_bytes()

    def vhd(self) -> bytes:
        """As a fixed VHD, which is what an upload is."""
        return self.read() + vhd_footer(GUEST_BYTES)


@dataclass
class GuestMaker:
    """Makes guests that share blocks with each other."""

    folder: Path
    random: random.Random
    shared: list[bytes] = field(default_factory=list)
    made: int = 0

    def make(self) -> Guest:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.shared:
            self.shared = [self.random.randbytes(BLOCK_BYTES) for _ in range(SHARED_BLOCKS)]
        disk = bytearray(GUEST_BYTES)
        # Off the blocks' own grid, as files move between two builds of a machine.
        for block in self.random.sample(self.shared, self.random.randint(0, 4)):
            self._put(disk, block)
        for _ in range(self.random.randint(1, 3)):
            self._put(disk, self.random.randbytes(self.random.randrange(4096, BLOCK_BYTES)))
        self.made += 1
        raw = self.folder / f"{self.made}.raw"
        raw.write_bytes(disk)
        return Guest(raw, hashlib.sha256(disk).hexdigest())

    def _put(self, disk: bytearray, block: bytes) -> None:
        offset = self.random.randrange(0, (GUEST_BYTES - len(block)) // 4096) * 4096
        disk[offset : offset + len(block)] = block


def vhd_footer(disk_bytes: int) -> bytes:
    """The footer of a fixed disk ("Virtual Hard Disk Image Format Specification", 1.0)."""
    footer = bytearray(512)
    for offset, value in [
        (0, b"conectix"),
        (8, (2).to_bytes(4, "big")),
        (12, (0x0001_0000).to_bytes(4, "big")),
        (16, b"\xff" * 8),
        (28, b"test"),
        (32, (0x0001_0000).to_bytes(4, "big")),
        (36, b"Wi2k"),
        (40, disk_bytes.to_bytes(8, "big")),
        (48, disk_bytes.to_bytes(8, "big")),
        (56, bytes([0xFF, 0xFF, 16, 255])),
        (60, (2).to_bytes(4, "big")),
        (68, b"\x07" * 16),
    ]:
        footer[offset : offset + len(value)] = value
    footer[64:68] = (~sum(footer) & 0xFFFF_FFFF).to_bytes(4, "big")
    return bytes(footer)
