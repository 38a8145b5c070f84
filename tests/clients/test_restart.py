"""The server's own life: a clean end, a second start, two on one directory, and `kill -9` at the worst moments."""

import http.client
import os
import signal
import socket
import stat
import subprocess
import time
from urllib.parse import urlsplit

import pytest
import requests

import disk_images
from disk_images import MIB
from galerie_server import BINARY, Server, tls_context, wait_until

COMPUTE = "providers/Microsoft.Compute"
VERSION = "crashGallery/web/1.0.0"
TARGETS = ["--target-region", "eastus", "--target-region", "westus", "--target-region", "westeurope"]
PUBLISH = [*TARGETS, "--create", "--os-type", "Linux", "--resource-group", "crash", "--location", "eastus"]


@pytest.fixture
def own_server(tmp_path):
    server = Server(tmp_path / "data").start()
    yield server
    if server.is_running:
        server.kill()


@pytest.fixture(scope="module")
def big_raw(images):
    """Enough bytes that a publish is still running when the server is killed: incompressible, with holes."""
    raw = images / "big.raw"
    with open(raw, "wb") as file:
        file.truncate(256 * MIB)
        for start in range(0, 256 * MIB, 4 * MIB):
            file.seek(start)
            file.write(os.urandom(2 * MIB))
    return raw


def version_path(server: Server) -> str:
    return f"{server.subscription}/resourceGroups/crash/{COMPUTE}/galleries/crashGallery/images/web/versions/1.0.0"


def test_a_second_start_finds_everything(own_server):
    group = own_server.group("kept")
    gallery = own_server.put(f"{group}/{COMPUTE}/galleries/keptGallery", {"location": "eastus", "tags": {"a": "b"}})
    token, before = own_server.token(), own_server.admin
    assert own_server.stop() == 0

    own_server.start()
    after = own_server.admin
    assert {**after, "endpoint": None} == {**before, "endpoint": None}, "only the port is new"
    assert own_server.get(gallery["id"]) == gallery
    reply = own_server.request("GET", gallery["id"], headers={"Authorization": f"Bearer {token}"})
    assert reply.status_code in (200, 401), "an old token is for the old endpoint's audience"


def test_admin_json_is_the_owners_alone(own_server):
    path = own_server.data_dir / "admin.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert set(own_server.admin) >= {"endpoint", "caFile", "tenantId", "subscriptionId", "clientId", "clientSecret"}
    secret = own_server.admin["clientSecret"]
    assert secret not in own_server.log
    found = [path for path in own_server.data_dir.rglob("*") if path.is_file() and path.name != "admin.json" and secret.encode() in path.read_bytes()]
    assert found == [], "the secret is in no other file"


def test_two_servers_on_one_directory(own_server):
    done = subprocess.run(
        [BINARY, "serve", "--data-dir", own_server.data_dir, "--listen", "127.0.0.1:0"],
        capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode not in (0, 101)
    said = done.stdout + done.stderr
    assert str(own_server.data_dir) in said and str(own_server._process.pid) in said, said
    assert requests.get(f"{own_server.endpoint}/healthz", verify=own_server.ca_file, timeout=5).status_code == 200


def test_a_new_administrator_is_made_offline(own_server):
    old = own_server.admin
    refused = subprocess.run([BINARY, "admin", "reset", "--data-dir", own_server.data_dir], env=own_server.client_environment(), capture_output=True, text=True)
    assert refused.returncode != 0, "not while the server runs"
    assert own_server.stop() == 0
    done = subprocess.run([BINARY, "admin", "reset", "--data-dir", own_server.data_dir], env=own_server.client_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    own_server.start()
    assert own_server.admin["clientSecret"] != old["clientSecret"]
    assert own_server.get("/subscriptions?api-version=2022-12-01")["value"]


def test_requests_in_flight_are_answered_before_the_end(own_server):
    """SIGTERM drains: an upload of one page that has begun gets its answer."""
    group = own_server.group("drain")
    body = {"location": "eastus", "properties": {"creationData": {"createOption": "Upload", "uploadSizeBytes": 24 * MIB + 512}}}
    disk = own_server.put(f"{group}/{COMPUTE}/disks/drained", body, api_version="2025-01-02")["id"]
    sas = own_server.grant(disk, "Write")

    url = urlsplit(f"{sas}&comp=page")
    connection = http.client.HTTPSConnection(url.hostname, url.port, context=tls_context(own_server), timeout=30)
    connection.putrequest("PUT", f"{url.path}?{url.query}")
    for header in [("x-ms-page-write", "update"), ("x-ms-range", "bytes=0-511"), ("Content-Length", "512")]:
        connection.putheader(*header)
    connection.endheaders(b"a" * 256)
    # One more request, there and back: by then the server has taken up the one before.
    own_server.get(disk, api_version="2025-01-02")
    own_server._process.send_signal(signal.SIGTERM)
    wait_until("new connections to be refused", lambda: not accepts(url.hostname, url.port), timeout_s=10)
    connection.send(b"b" * 256)
    assert connection.getresponse().status == 201
    connection.close()
    assert own_server._process.wait(timeout=60) == 0


def accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
        return True
    except ConnectionRefusedError:
        return False


@pytest.mark.parametrize("moment_s", [0.1, 0.6, 1.5, 3.0])
def test_killed_while_publishing(own_server, big_raw, tmp_path, moment_s):
    """`kill -9` in the middle of a publish: what is visible afterwards is whole, and the same command succeeds."""
    publishing = own_server.spawn_galerie("publish", big_raw, VERSION, *PUBLISH, log=tmp_path / "publish.log")
    time.sleep(moment_s)
    own_server.kill()
    own_server.start()
    publishing.wait(timeout=120)

    seen = own_server.request("GET", version_path(own_server))
    if seen.status_code == 200:
        wait_until("the interrupted operation to end", lambda: version_state(own_server) in ("Succeeded", "Failed"))
        if version_state(own_server) == "Succeeded":
            return holds(own_server, big_raw, tmp_path)
    own_server.galerie("publish", big_raw, VERSION, *PUBLISH)
    holds(own_server, big_raw, tmp_path)


@pytest.mark.parametrize("moment_s", [0.0, 0.05, 0.3])
def test_killed_while_replicating(own_server, big_raw, tmp_path, moment_s):
    """The copy goes on by itself after the restart, without anybody asking again."""
    own_server.galerie("publish", big_raw, VERSION, "--target-region", "eastus", *PUBLISH[len(TARGETS) :])
    body = own_server.get(version_path(own_server))
    body["properties"]["publishingProfile"]["targetRegions"] = [{"name": name} for name in ["eastus", "westus", "westeurope"]]
    assert own_server.request("PUT", version_path(own_server), body).status_code == 200
    time.sleep(moment_s)
    own_server.kill()

    own_server.start()
    wait_until("the version to be finished", lambda: version_state(own_server) == "Succeeded")
    holds(own_server, big_raw, tmp_path)


def version_state(server: Server) -> str:
    return server.get(version_path(server))["properties"]["provisioningState"]


def holds(server: Server, raw, tmp_path) -> None:
    for region in ["eastus", "westus", "westeurope"]:
        out = tmp_path / f"{region}.raw"
        server.galerie("pull", VERSION, "-o", out, "--region", region)
        assert disk_images.sha256(out) == disk_images.sha256(raw), region
        server.galerie("store", "verify", "--region", region)
    listed = server.get(f"{server.subscription}/{COMPUTE}/disks", api_version="2025-01-02")["value"]
    states = {disk["name"]: disk["properties"]["provisioningState"] for disk in listed}
    assert all(state == "Succeeded" for state in states.values()), states
