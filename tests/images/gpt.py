"""A GUID partition table, as UEFI 2.10 section 5 has it: enough for a disk image with a few partitions.

Writes both copies of the table and a protective MBR, whose boot code a BIOS runs. Reads nothing.
"""

import struct
import uuid
import zlib
from dataclasses import dataclass

SECTOR_BYTES = 512
ENTRY_BYTES = 128
ENTRIES = 128
TABLE_SECTORS = ENTRIES * ENTRY_BYTES // SECTOR_BYTES

EFI_SYSTEM = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
LINUX_DATA = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
LEGACY_BIOS_BOOTABLE = 1 << 2


@dataclass(frozen=True)
class Partition:
    kind: uuid.UUID
    id: uuid.UUID
    first_sector: int
    sectors: int
    attributes: int = 0

    def entry(self) -> bytes:
        last = self.first_sector + self.sectors - 1
        head = struct.pack("<16s16sQQQ", self.kind.bytes_le, self.id.bytes_le, self.first_sector, last, self.attributes)
        return head.ljust(ENTRY_BYTES, b"\0")


def write(disk, disk_bytes: int, disk_id: uuid.UUID, partitions: list[Partition], boot_code: bytes) -> None:
    """Writes the table into `disk`, a seekable binary file of `disk_bytes`; `boot_code` is at most 440 bytes."""
    last_sector = disk_bytes // SECTOR_BYTES - 1
    entries = b"".join(partition.entry() for partition in partitions).ljust(ENTRIES * ENTRY_BYTES, b"\0")

    disk.seek(0)
    disk.write(_protective_mbr(last_sector, boot_code))
    disk.write(_header(1, last_sector, 2, last_sector, disk_id, entries))
    disk.write(entries)
    disk.seek((last_sector - TABLE_SECTORS) * SECTOR_BYTES)
    disk.write(entries)
    disk.write(_header(last_sector, 1, last_sector - TABLE_SECTORS, last_sector, disk_id, entries))


def _protective_mbr(last_sector: int, boot_code: bytes) -> bytes:
    assert len(boot_code) <= 440, "boot code would overwrite the partition table"
    whole_disk = struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff\xff\xff", 1, min(last_sector, 0xFFFFFFFF))
    return boot_code.ljust(446, b"\0") + whole_disk.ljust(64, b"\0") + b"\x55\xaa"


def _header(here: int, other: int, table: int, last_sector: int, disk_id: uuid.UUID, entries: bytes) -> bytes:
    def packed(own_checksum: int) -> bytes:
        return struct.pack(
            "<8sIIIIQQQQ16sQIII",
            b"EFI PART", 0x00010000, 92, own_checksum, 0, here, other,
            2 + TABLE_SECTORS, last_sector - TABLE_SECTORS - 1,
            disk_id.bytes_le, table, ENTRIES, ENTRY_BYTES, zlib.crc32(entries),
        )  # fmt: skip

    return packed(zlib.crc32(packed(0))).ljust(SECTOR_BYTES, b"\0")
