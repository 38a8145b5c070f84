#!/usr/bin/env python3
"""The parts of corpus.sh that a shell is no good at.

corpus_files.py list TREE                   a line per path of a tree: what `change` compares with
corpus_files.py change TREE BEFORE EXT4     brings EXT4, made from the tree BEFORE lists, up to TREE, in place
corpus_files.py disk EXT4 OUT               a disk image: partition table, an empty boot partition, the file system
corpus_files.py synth MIB OUT               random extents, half of them zeros
"""

import json
import os
import random
import stat
import subprocess
import sys
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests/images"))

MIB = 1 << 20
ROOT_START_BYTES = 65 * MIB
SKIPPED = {"proc", "sys", "dev", "run", "tmp"}


def entries(tree: Path):
    """(path from the tree's root, its lstat), parents before children, not crossing into what is mounted there."""
    for folder, folders, files in os.walk(tree):
        relative = Path(folder).relative_to(tree)
        if relative == Path("."):
            folders[:] = [name for name in folders if name not in SKIPPED]
        for name in sorted(folders) + sorted(files):
            yield relative / name, os.lstat(Path(folder) / name)


def fingerprint(status: os.stat_result) -> list[int]:
    # A directory's own size and time change with its children; its owner and mode are what matters.
    if stat.S_ISDIR(status.st_mode):
        return [status.st_mode, status.st_uid, status.st_gid]
    return [status.st_mode, status.st_uid, status.st_gid, status.st_size, status.st_mtime_ns, status.st_ino]


def list_tree(tree: Path) -> None:
    json.dump({str(path): fingerprint(status) for path, status in entries(tree)}, sys.stdout)


def change(tree: Path, before_file: Path, ext4: Path) -> None:
    """Deletes and rewrites with debugfs, so that what did not change stays where it is; then discards what is free."""
    before = json.loads(before_file.read_text())
    after = {str(path): status for path, status in entries(tree)}
    gone = [path for path in before if path not in after]
    changed = [path for path in after if before.get(path) != fingerprint(after[path])]

    commands = []
    for path in sorted(gone, reverse=True):
        commands.append(f'{"rmdir" if stat.S_ISDIR(before[path][0]) else "rm"} "/{path}"')
    for path in changed:
        commands += _rewritten(tree, path, after[path], existed=path in before)
    done = subprocess.run(["debugfs", "-w", "-f", "-", ext4], input="\n".join(commands), capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"debugfs failed: {done.stderr}")
    # debugfs does not keep every count that a full check wants (exit code 1: mended); only a clean one discards.
    for options in (["-f", "-y"], ["-f", "-y", "-E", "discard"]):
        checked = subprocess.run(["e2fsck", *options, ext4], capture_output=True, text=True)
        if checked.returncode not in (0, 1):
            raise SystemExit(f"e2fsck ended with {checked.returncode}:\n{checked.stdout}{checked.stderr}")
    print(f"changed {len(changed)} paths and removed {len(gone)}", file=sys.stderr)


def _rewritten(tree: Path, path: str, status: os.stat_result, existed: bool) -> list[str]:
    mode, quoted = status.st_mode, f'"/{path}"'
    if stat.S_ISDIR(mode):
        made = [] if existed else [f"mkdir {quoted}"]
    elif stat.S_ISLNK(mode):
        made = ([f"rm {quoted}"] if existed else []) + [f'symlink {quoted} "{os.readlink(tree / path)}"']
    elif stat.S_ISREG(mode):
        made = ([f"rm {quoted}"] if existed else []) + [f'write "{tree / path}" {quoted}']
    else:
        return []
    if stat.S_ISLNK(mode):
        return made
    owner = [f"sif {quoted} uid {status.st_uid}", f"sif {quoted} gid {status.st_gid}"]
    return made + owner + [f"sif {quoted} mode 0{mode:o}", f"sif {quoted} mtime @{int(status.st_mtime):x}"]


def disk(ext4: Path, out: Path) -> None:
    import gpt

    length = ext4.stat().st_size
    total = ROOT_START_BYTES + length + MIB
    names = [uuid.uuid5(uuid.NAMESPACE_OID, f"{out.name}-{part}") for part in range(3)]
    partitions = [
        gpt.Partition(gpt.EFI_SYSTEM, names[1], 2048, 64 * MIB // gpt.SECTOR_BYTES),
        gpt.Partition(gpt.LINUX_DATA, names[2], ROOT_START_BYTES // gpt.SECTOR_BYTES, length // gpt.SECTOR_BYTES),
    ]
    with open(ext4, "rb") as source, open(out, "wb") as target:
        target.truncate(total)
        gpt.write(target, total, names[0], partitions, b"")
        copy_sparse(source, target, ROOT_START_BYTES)


def copy_sparse(source, target, start_bytes: int) -> None:
    zeros = bytes(64 * 1024)
    offset = 0
    while block := source.read(len(zeros)):
        if block != zeros[: len(block)]:
            target.seek(start_bytes + offset)
            target.write(block)
        offset += len(block)


def synth(mib: int, out: Path) -> None:
    """The same bytes every time."""
    source, at, end = random.Random(7), 0, mib * MIB
    with open(out, "wb") as file:
        file.truncate(end)
        while at < end:
            length = min(source.choice([4, 16, 64, 256, 1024, 4096]) * 1024, end - at)
            if source.random() < 0.5:
                file.seek(at)
                file.write(source.randbytes(length))
            at += length


def main() -> None:
    match sys.argv[1:]:
        case ["list", tree]:
            list_tree(Path(tree))
        case ["change", tree, before, ext4]:
            change(Path(tree), Path(before), Path(ext4))
        case ["disk", ext4, out]:
            disk(Path(ext4), Path(out))
        case ["synth", mib, out]:
            synth(int(mib), Path(out))
        case _:
            raise SystemExit(__doc__)


main()
