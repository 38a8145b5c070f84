"""Judging a server by the history: what is there, whole and equal, and that nothing is left over."""

import hashlib
import random
from pathlib import Path

import exchange
from exchange import COMPUTE, expect, wait_for
from guest import GUEST_BYTES
from history import NEVER, History, Lost, Wrong
from torture_server import REGIONS, Gone, TortureServer

# What `galerie publish` uploads through; when the client is killed, too, they stay.
TEMPORARY = "galerie-publish-"


def listed(server: TortureServer) -> dict[str, dict]:
    """Everything that the subscription has, by its id."""
    found = {}

    def add(path: str) -> list[dict]:
        values, url = [], path
        while url:
            # What is above it may be gone since it was listed.
            page = expect(server.request("GET", url), 200, 404).json()
            values += page.get("value", [])
            url = page.get("nextLink")
        found.update({value["id"]: value for value in values})
        return values

    subscription = server.subscription
    add(f"{subscription}/resourceGroups")
    for kind in ("disks", "snapshots", "images"):
        add(f"{subscription}/{COMPUTE}/{kind}")
    for gallery in add(f"{subscription}/{COMPUTE}/galleries"):
        for definition in add(f"{gallery['id']}/images"):
            add(f"{definition['id']}/versions")
    return found


def check_presence(server: TortureServer, history: History, at: float = NEVER) -> dict[str, dict]:
    """Whatever was acknowledged is there or gone, and settled; nothing else is there. What is there."""

    def problems():
        found = listed(server)
        wrong = []
        for path in history.paths(at):
            there = path in found
            if not any(write.there == there for write in history.allowed(path, at)):
                wrong.append(f"{path} is {'there' if there else 'not there'}")
            elif there and (state := found[path]["properties"].get("provisioningState")) != "Succeeded":
                wrong.append(f"{path} is {state}")
        known = set(history.paths(at))
        wrong += [f"{path} is there and nobody made it" for path in found if path not in known and TEMPORARY not in path]
        return found, wrong

    last = []

    def is_right():
        found, wrong = problems()
        last[:] = wrong
        return None if wrong else (found,)

    try:
        (found,) = wait_for("not as it was acknowledged", is_right, server)
        return found
    except Lost as lost:
        raise Lost(f"{lost}\n" + "\n".join(last)) from None


def contents(history: History, path: str, at: float) -> set[str] | None:
    """The hashes that a resource's bytes may have; `None` when nothing is known of them."""
    there = [write for write in history.allowed(path, at) if write.there]
    if not there or any(write.content is None for write in there):
        return None
    return {write.content.sha256 for write in there}


def check_content(server: TortureServer, history: History, path: str, scratch: Path, at: float = NEVER, regions=None) -> int:
    """A resource has the bytes it was made with, in every region that must have it; how often it was read."""
    wanted = contents(history, path, at)
    if wanted is None:
        return 0
    if "/versions/" not in path:
        if "/images/" not in path:
            assert_equal(path, exchange.read_disk(server, path), wanted)
            return 1
        return 0
    for region in (wanted_in := regions or complete_regions(server, history, path, at)):
        assert_equal(f"{path} in {region}", pull(server, path, region, scratch), wanted)
    return len(wanted_in)


def complete_regions(server: TortureServer, history: History, path: str, at: float) -> list[str]:
    """Where a version is complete, which must be where some allowed write wants it."""

    def completed():
        status = expect(server.request("GET", f"{path}?$expand=ReplicationStatus"), 200).json()["properties"]["replicationStatus"]
        states = {replica["region"].replace(" ", "").lower(): replica["state"] for replica in status["summary"]}
        return states if set(states.values()) == {"Completed"} else None

    states = wait_for(f"{path} to be replicated", completed, server)
    if not any(write.there and set(write.regions) == set(states) for write in history.allowed(path, at)):
        raise Lost(f"{path} is in {sorted(states)}")
    return sorted(states)


def pull(server: TortureServer, path: str, region: str, scratch: Path) -> str:
    out = scratch / f"{random.getrandbits(64):x}.raw"
    process = server._process
    done = server.galerie("pull", path, "-o", out, "--region", region, check=False, timeout_s=120)
    if done.returncode:
        if server.is_dead(process):
            raise Gone("pull")
        raise Lost(f"pull {path} from {region}: {done.stderr}")
    data = out.read_bytes()
    out.unlink()
    if len(data) != GUEST_BYTES:
        raise Wrong(f"{path} in {region} has {len(data)} bytes")
    return hashlib.sha256(data).hexdigest()


def assert_equal(what: str, found: str, wanted: set[str]) -> None:
    if found not in wanted:
        raise Wrong(f"{what} has other bytes: {found}, not {wanted}")


def check_stores(server: TortureServer, regions=REGIONS) -> None:
    """Every pack reads as it was written, and every image in the regions is complete."""
    for region in regions:
        report = expect(server.request("POST", f"/galerie/store/{region}/verify"), 200).json()
        if not report["sound"]:
            raise Lost(f"the store of {region} is damaged: {report}")


def remove_temporary_disks(server: TortureServer, group: str) -> None:
    """What killed clients left."""
    for disk in expect(server.request("GET", f"{group}/{COMPUTE}/disks"), 200, 404).json().get("value", []):
        if TEMPORARY in disk["id"]:
            if disk["properties"]["diskState"] == "ActiveUpload":
                reply = expect(server.request("POST", f"{disk['id']}/endGetAccess"), 200, 202)
                # A part of an upload is no VHD.
                exchange.settle(server, reply, refusal="InvalidDiskImage")
            exchange.settle(server, expect(server.request("DELETE", disk["id"]), 200, 202, 204))


def check_nothing_is_left(server: TortureServer) -> None:
    """With everything deleted and the server stopped: a collection leaves no pack, no damaged pack's record, no part of a file."""
    for _ in range(2):
        server.galerie("store", "collect", "--offline", "--config", server._config)
    for region in REGIONS:
        root = server.data_dir / "regions" / region
        left = [path for folder in ("tenants", ".tmp") for path in (root / folder).rglob("*") if path.is_file()]
        if left:
            raise Lost(f"{region} keeps what nothing needs: {left}")


def staged(server: TortureServer) -> list[Path]:
    """The pages of uploads that are still there."""
    return [path for region in REGIONS for path in (server.data_dir / "regions" / region / "staging").iterdir()]
