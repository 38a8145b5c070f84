"""Requests that are sent until they are done: what a patient client does, and what the history keeps of it."""

import hashlib
import time

from guest import GUEST_BYTES, Guest
from history import NEVER, History, Lost, Pages, Upload
from torture_server import TortureServer

PATIENCE_S = 60
POLL_S = 0.01
COMPUTE = "providers/Microsoft.Compute"


def wait_for(what: str, look, server: TortureServer):
    """The first true value of `look()`; a server that does not get there in time has stuck."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := look()):
        if time.monotonic() > deadline:
            raise Lost(f"stuck: {what} for {PATIENCE_S} s\n{server.log[-3000:]}")
        time.sleep(POLL_S)
    return value


def expect(reply, *codes: int):
    if reply.status_code not in codes:
        raise Lost(f"{reply.request.method} {reply.request.path_url.split('?')[0]}: {reply.status_code} {reply.text[:600]}")
    return reply


def settle(server: TortureServer, reply, refusal: str | None = None) -> None:
    """Waits for the operation that an answer names, if it names one. It succeeds, or fails with that code."""
    if not (url := reply.headers.get("Azure-AsyncOperation")):
        if reply.status_code == 202:
            # A group's deletion: its result's place answers 202 until it has ended.
            location = reply.headers["Location"]
            (last,) = wait_for(f"operation {location}", lambda: ended_at(server, location), server)
            expect(last, 200, 204)
        return

    def ended():
        status = expect(server.request("GET", url), 200).json()
        return status if status["status"] in ("Succeeded", "Failed", "Canceled") else None

    status = wait_for(f"operation {url}", ended, server)
    if status["status"] != "Succeeded" and not (refusal and status["error"]["code"] == refusal):
        raise Lost(f"{reply.request.method} {reply.request.path_url}: the operation ended so: {status}")


def ended_at(server: TortureServer, location: str):
    reply = server.request("GET", location)
    # Not `reply` itself: one that is no success counts as false.
    return [reply] if reply.status_code != 202 else None


def put(server: TortureServer, history: History, path: str, body: dict, content: Guest | None = None, regions=()) -> None:
    write = history.record(path, True, content, regions)
    reply = expect(server.request("PUT", path, body), 200, 201, 202)
    write.ack()
    settle(server, reply)


def delete(server: TortureServer, history: History, path: str, below: list[str] = ()) -> None:
    """Deletes a resource, or a group with what is in it."""
    writes = [history.record(gone, False) for gone in (path, *below)]
    # 404: an interrupted deletion had succeeded; only groups say so.
    reply = expect(server.request("DELETE", path), 200, 202, 204, 404)
    for write in writes:
        write.ack()
    settle(server, reply)


def find(server: TortureServer, path: str) -> dict | None:
    reply = expect(server.request("GET", path), 200, 404)
    return reply.json() if reply.status_code == 200 else None


def grant(server: TortureServer, path: str, access: str) -> str:
    body = {"access": access, "durationInSeconds": 86400}
    reply = expect(server.request("POST", f"{path}/beginGetAccess", body), 202)
    settle(server, reply)
    return expect(server.request("GET", reply.headers["Location"]), 200).json()["accessSAS"]


def end_access(server: TortureServer, path: str) -> None:
    settle(server, expect(server.request("POST", f"{path}/endGetAccess"), 200, 202))


def read_disk(server: TortureServer, path: str) -> str:
    """The SHA-256 of a disk's or snapshot's bytes, as a download gives them."""
    if (find(server, path) or {}).get("properties", {}).get("diskState") == "ActiveSAS":
        # A reader died with the server, and left its access behind.
        end_access(server, path)
    sas = grant(server, path, "Read")
    reply = expect(server.blob("GET", sas), 200)
    if len(reply.content) != GUEST_BYTES + 512:
        raise Lost(f"{path} has {len(reply.content)} bytes")
    end_access(server, path)
    return hashlib.sha256(reply.content[:GUEST_BYTES]).hexdigest()


def new_upload(path: str, body: dict, guest: Guest, block_bytes: int) -> Upload:
    """An upload to be carried out by `finish_upload`. Blocks of zeros are left out, as upload tools do."""
    vhd = guest.vhd()
    offsets = [offset for offset in range(0, len(vhd), block_bytes) if any(vhd[offset : offset + block_bytes])]
    return Upload(path, body, guest, [Pages(offset, min(block_bytes, len(vhd) - offset)) for offset in offsets])


def finish_upload(server: TortureServer, history: History, upload: Upload, at: float = NEVER) -> None:
    """Does what of an upload was not acknowledged before `at`; its end is that the disk has the guest's bytes.

    What was acknowledged is never sent again, so that a page that was lost is seen in the disk.
    """
    if upload.created_acked >= at:
        put(server, history, upload.path, upload.body)
        upload.created_acked = min(upload.created_acked, time.time())
        history.began(upload)
    disk = wait_for(f"{upload.path} to be there", lambda: find(server, upload.path), server)
    state = disk["properties"]["diskState"]
    if state in ("ReadyToUpload", "ActiveUpload") and upload.end_acked >= at:
        write_pages(server, upload, state, at)
        write = history.record(upload.path, True, upload.guest)
        upload.end_sent = min(upload.end_sent, time.time())
        reply = expect(server.request("POST", f"{upload.path}/endGetAccess"), 200, 202)
        write.ack()
        upload.end_acked = min(upload.end_acked, time.time())
        settle(server, reply)
    elif upload.end_sent >= at:
        raise Lost(f"{upload.path} is {state} though nobody ended its access")

    def is_imported():
        return find(server, upload.path)["properties"]["diskState"] in ("Unattached", "ActiveSAS")

    wait_for(f"{upload.path} to be imported", is_imported, server)
    history.record(upload.path, True, upload.guest).ack()


def write_pages(server: TortureServer, upload: Upload, state: str, at: float) -> None:
    if upload.granted >= at:
        if state == "ActiveUpload":
            # A SAS that never arrived. Nothing was written by it, so there is nothing to import, and the disk says so.
            reply = expect(server.request("POST", f"{upload.path}/endGetAccess"), 200, 202)
            settle(server, reply, refusal="InvalidDiskImage")
        upload.sas = grant(server, upload.path, "Write")
        upload.granted = min(upload.granted, time.time())
    vhd = upload.guest.vhd()
    for page in upload.pages:
        if page.acked >= at:
            data = vhd[page.offset : page.offset + page.length]
            headers = {"x-ms-page-write": "update", "x-ms-range": f"bytes={page.offset}-{page.offset + page.length - 1}"}
            expect(server.blob("PUT", upload.sas, data, headers, "&comp=page"), 201)
            page.acked = min(page.acked, time.time())
