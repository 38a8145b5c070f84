#!/usr/bin/env python3
"""bootable.py OUT.raw [--label TEXT] : a real 64 MiB disk image that boots Linux under QEMU, by BIOS and by UEFI.

The image has a GUID partition table, a FAT boot partition (syslinux for BIOS, systemd-boot for UEFI, Debian's cloud kernel,
an initial RAM disk) and an ext4 root with busybox. Software emulation boots it in a few CPU seconds. The guest then says
on its serial console

    GUEST-READY hostname=.. instance=.. src=.. label=.. boots=N kernel=..

`boots` is counted on the disk, so that a disk that was written to can be told from a fresh one; `label` is --label.

Needs no root and mounts nothing. Debian packages: busybox-static e2fsprogs dosfstools mtools syslinux syslinux-common
systemd-boot-efi, and apt to fetch the kernel package, which is kept in --cache. Two builds with the same label differ in a
few inode times only.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path

import gpt
import initrd
import kernel

MIB = 1 << 20
DISK_BYTES = 64 * MIB
BOOT_START_BYTES, BOOT_BYTES = 1 * MIB, 36 * MIB
ROOT_START_BYTES, ROOT_BYTES = 37 * MIB, 24 * MIB

HERE = Path(__file__).resolve().parent
GUEST = HERE / "guest"
SYSTEM_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"

# Enough to find the root on a virtio disk, to read a seed disk (ISO or FAT) and to have a network.
MODULES = ["virtio_pci", "virtio_blk", "ext4", "isofs", "vfat", "nls_ascii", "virtio_net"]
APPLETS = """sh mount umount cat echo cut hostname ip udhcpc httpd poweroff reboot ls dd md5sum sha256sum grep sed awk sleep
    uname blkid findfs sync df dmesg getty login tr date head tail wget nc rm cp""".split()
COMMAND_LINE = "console=ttyS0 quiet panic=-1 nokaslr mitigations=off no_timer_check"

# Fixed ids and times, so that images differ where their contents do.
DISK_ID = uuid.UUID("6a1e71e0-0000-4000-8000-000000000000")
BOOT_ID = uuid.UUID("6a1e71e0-0000-4000-8000-000000000001")
ROOT_ID = uuid.UUID("6a1e71e0-0000-4000-8000-000000000002")
ROOT_FILE_SYSTEM_ID = "6a1e71e0-0000-4000-8000-000000000003"
BUILD_TIME = "1700000000"


def build(out: Path, label: str, cache: Path) -> None:
    """Makes `out`; it appears whole or not at all."""
    debian_kernel = kernel.obtain(cache)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        work = Path(folder)
        boot = _boot_partition(work, debian_kernel)
        root = _root_partition(work, label)
        disk = work / "disk"
        with open(disk, "wb") as file:
            file.truncate(DISK_BYTES)
            gpt.write(file, DISK_BYTES, DISK_ID, _partitions(), Path("/usr/lib/SYSLINUX/gptmbr.bin").read_bytes())
            _copy_sparse(boot, file, BOOT_START_BYTES)
            _copy_sparse(root, file, ROOT_START_BYTES)
        os.replace(disk, out)


def _partitions() -> list[gpt.Partition]:
    def sectors(size_bytes: int) -> int:
        return size_bytes // gpt.SECTOR_BYTES

    return [
        gpt.Partition(gpt.EFI_SYSTEM, BOOT_ID, sectors(BOOT_START_BYTES), sectors(BOOT_BYTES), gpt.LEGACY_BIOS_BOOTABLE),
        gpt.Partition(gpt.LINUX_DATA, ROOT_ID, sectors(ROOT_START_BYTES), sectors(ROOT_BYTES)),
    ]


def _initial_ram_disk(debian_kernel: kernel.Kernel) -> bytes:
    archive = initrd.Archive()
    for name in ["bin", "dev", "proc", "sys", "newroot", "modules"]:
        archive.directory(name)
    archive.file("bin/busybox", _busybox().read_bytes(), 0o755)
    archive.file("init", (GUEST / "init").read_bytes(), 0o755)
    modules = initrd.modules_in_load_order(debian_kernel.modules, MODULES)
    for name, contents in modules:
        archive.file(f"modules/{name}", contents)
    archive.file("modules/order", "".join(f"{name}\n" for name, _ in modules).encode())
    return archive.packed()


def _boot_partition(work: Path, debian_kernel: kernel.Kernel) -> Path:
    files = {
        "vmlinuz": debian_kernel.image.read_bytes(),
        "initrd": _initial_ram_disk(debian_kernel),
        "syslinux.cfg": f"DEFAULT guest\nPROMPT 0\nLABEL guest\n KERNEL /vmlinuz\n INITRD /initrd\n APPEND {COMMAND_LINE}\n".encode(),
        "loader/loader.conf": b"default guest\ntimeout 0\n",
        "loader/entries/guest.conf": f"title guest\nlinux /vmlinuz\ninitrd /initrd\noptions {COMMAND_LINE}\n".encode(),
        "EFI/BOOT/BOOTX64.EFI": Path("/usr/lib/systemd/boot/efi/systemd-bootx64.efi").read_bytes(),
    }
    image = work / "boot.fat"
    with open(image, "wb") as file:
        file.truncate(BOOT_BYTES)
    _run("mkfs.vfat", "-F", "16", "-n", "BOOT", "-i", "6a1e71e0", "--invariant", image)
    _run("mmd", "-i", image, "::EFI", "::EFI/BOOT", "::loader", "::loader/entries")
    for name, contents in files.items():
        staged = work / "staged"
        staged.write_bytes(contents)
        _run("mcopy", "-i", image, staged, f"::{name}")
    _run("syslinux", "--install", image)
    return image


def _root_partition(work: Path, label: str) -> Path:
    tree = work / "root"
    for name in ["bin", "sbin", "etc", "dev", "proc", "sys", "mnt", "tmp", "var/www", "root"]:
        (tree / name).mkdir(parents=True)
    shutil.copy(_busybox(), tree / "bin/busybox")
    for applet in APPLETS:
        (tree / "bin" / applet).symlink_to("busybox")
    (tree / "sbin/init").symlink_to("../bin/busybox")
    for name, mode in [("boot", 0o755), ("dhcp-lease", 0o755), ("inittab", 0o644)]:
        shutil.copy(GUEST / name, tree / "etc" / name)
        (tree / "etc" / name).chmod(mode)
    texts = {
        "hostname": "guest",
        "passwd": "root::0:0:root:/root:/bin/sh",
        "image-label": label,
        "os-release": f'NAME="Guest"\nID=guest\nVERSION_ID="1"\nPRETTY_NAME="Guest 1 ({label})"',
    }
    for name, text in texts.items():
        (tree / "etc" / name).write_text(text + "\n")
    for path in tree.rglob("*"):
        os.utime(path, (int(BUILD_TIME), int(BUILD_TIME)), follow_symlinks=False)

    image = work / "root.ext4"
    with open(image, "wb") as file:
        file.truncate(ROOT_BYTES)
    _run(
        "mke2fs", "-q", "-t", "ext4", "-L", "galerie-root", "-U", ROOT_FILE_SYSTEM_ID, "-m", "0",
        "-E", f"root_owner=0:0,hash_seed={ROOT_FILE_SYSTEM_ID}", "-O", "^has_journal,^resize_inode", "-d", tree, image,
    )  # fmt: skip
    return image


def _busybox() -> Path:
    found = shutil.which("busybox", path="/bin:/usr/bin")
    if found is None:
        raise SystemExit("busybox is missing (Debian package busybox-static)")
    return Path(found)


def _copy_sparse(source: Path, target, offset_bytes: int) -> None:
    with open(source, "rb") as file:
        while block := file.read(64 * 1024):
            if block.strip(b"\0"):
                target.seek(offset_bytes)
                target.write(block)
            offset_bytes += len(block)


def _run(*command: object) -> None:
    environment = os.environ | {
        "PATH": SYSTEM_PATH,
        "SOURCE_DATE_EPOCH": BUILD_TIME,
        "E2FSPROGS_FAKE_TIME": BUILD_TIME,
        "MTOOLS_SKIP_CHECK": "1",
    }
    done = subprocess.run([str(part) for part in command], env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} failed: {done.stderr or done.stdout}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--label", default="base")
    parser.add_argument("--cache", type=Path, default=HERE.parents[1] / "target/images")
    arguments = parser.parse_args()
    build(arguments.out.resolve(), arguments.label, arguments.cache)


if __name__ == "__main__":
    main()
