"""Debian's cloud kernel, unpacked from its package into a folder: nothing is installed, and no root is needed."""

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

META_PACKAGE = "linux-image-cloud-amd64"


@dataclass(frozen=True)
class Kernel:
    image: Path
    modules: Path

    @classmethod
    def unpacked_in(cls, folder: Path) -> "Kernel":
        (image,) = (folder / "boot").glob("vmlinuz-*")
        version = image.name.removeprefix("vmlinuz-")
        # A merged /usr puts lib below usr in newer packages.
        (modules,) = [path for path in (folder / "lib/modules" / version, folder / "usr/lib/modules" / version) if path.is_dir()]
        return cls(image, modules)


def obtain(cache: Path) -> Kernel:
    """The kernel in `cache`, fetched there through apt's configured sources the first time."""
    folder = cache / "kernel"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as work:
            _download(Path(work))
            unpacked = Path(work) / "unpacked"
            (package,) = Path(work).glob("*.deb")
            subprocess.run(["dpkg-deb", "-x", package, unpacked], check=True)
            os.rename(unpacked, folder)
    return Kernel.unpacked_in(folder)


def _download(work: Path) -> None:
    # Package lists of our own: a machine's may be missing or old, and renewing those would need root.
    lists = work / "lists"
    (lists / "partial").mkdir(parents=True)
    (work / "archives/partial").mkdir(parents=True)
    options = ["-q", "-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={work}", "-o", "APT::Sandbox::User=", "-o", "Acquire::Languages=none"]
    _quiet(["apt-get", *options, "update"], work)
    depends = _quiet(["apt-cache", *options[1:], "depends", META_PACKAGE], work)
    package = next(line.split()[1] for line in depends.splitlines() if line.strip().startswith("Depends:"))
    _quiet(["apt-get", *options, "download", package], work)


def _quiet(command: list[str], work: Path) -> str:
    done = subprocess.run(command, cwd=work, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout
