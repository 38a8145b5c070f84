"""Disk images for the tests, and the outside judges of them: qemu-img, nbdinfo, nbdcopy, qemu-io, QEMU itself."""

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from galerie_server import REPOSITORY

VHD_FOOTER_BYTES = 512
MIB = 1 << 20
BOOT_TIMEOUT_S = 240


def run(*command: object, timeout_s: int = 300) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def bootable_image(out: Path, label: str) -> Path:
    run(sys.executable, REPOSITORY / "tests/images/bootable.py", out, "--label", label)
    return out


def convert(raw: Path, out: Path, image_format: str) -> Path:
    """`raw` in another format: vhd (fixed), qcow2, qcow2-zlib or qcow2-zstd."""
    options = {
        "vhd": ["-O", "vpc", "-o", "subformat=fixed,force_size=on"],
        "qcow2": ["-O", "qcow2"],
        "qcow2-zlib": ["-O", "qcow2", "-c"],
        "qcow2-zstd": ["-O", "qcow2", "-c", "-o", "compression_type=zstd"],
    }[image_format]
    run("qemu-img", "convert", "-f", "raw", *options, raw, out)
    return out


def sha256(path: Path, length_bytes: int | None = None) -> str:
    digest = hashlib.sha256()
    left = path.stat().st_size if length_bytes is None else length_bytes
    with open(path, "rb") as file:
        while left and (block := file.read(min(MIB, left))):
            digest.update(block)
            left -= len(block)
    assert left == 0, f"{path} is shorter than {length_bytes} bytes"
    return digest.hexdigest()


def assert_vhd_holds(vhd: Path, raw: Path) -> None:
    """`vhd` is a fixed VHD whose guest bytes are those of `raw`, by our own look and by qemu-img's."""
    size_bytes = raw.stat().st_size
    assert vhd.stat().st_size == size_bytes + VHD_FOOTER_BYTES
    assert sha256(vhd, size_bytes) == sha256(raw)
    with open(vhd, "rb") as file:
        file.seek(size_bytes)
        footer = file.read()
    assert footer[:8] == b"conectix"
    assert int.from_bytes(footer[48:56], "big") == size_bytes, "the footer's current size"
    assert int.from_bytes(footer[60:64], "big") == 2, "the footer's disk type: fixed"
    seen = json.loads(run("qemu-img", "info", "-f", "vpc", "--output", "json", vhd))
    assert seen["virtual-size"] == size_bytes
    run("qemu-img", "compare", "-f", "vpc", "-F", "raw", vhd, raw)


def allocated_bytes(path: Path) -> int:
    return path.stat().st_blocks * 512


def boot(drive_options: list[str]) -> dict[str, str]:
    """Boots a machine under software emulation to its GUEST-READY line; what the line says."""
    command = ["qemu-system-x86_64", "-accel", "tcg", "-m", "256", "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot", *drive_options]
    machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    os.set_blocking(machine.stdout.fileno(), False)
    console, deadline = b"", time.monotonic() + BOOT_TIMEOUT_S
    try:
        while not (ready := re.search(rb"GUEST-READY ([^\r\n]+)[\r\n]", console)):
            assert b"GUEST-FAILED" not in console and time.monotonic() < deadline, f"the guest did not get ready:\n{console.decode(errors='replace')}"
            assert machine.poll() is None, f"QEMU ended:\n{console.decode(errors='replace')}"
            console += machine.stdout.read() or b""
            time.sleep(0.05)
    finally:
        machine.kill()
        machine.wait()
        machine.stdout.close()
    return dict(pair.split("=", 1) for pair in ready[1].decode().split())
