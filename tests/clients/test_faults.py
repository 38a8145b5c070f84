"""`galerie serve --fault`: what az, the Python SDK and `galerie` see of each kind of trouble, and that it is loud."""

import os
import subprocess

import pytest
import requests
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import SansIOHTTPPolicy

from az_cli import Az
from galerie_server import BINARY, Server, wait_until
from sdk_clients import SdkClients

GROUP = "faultRG"


@pytest.fixture
def serve(tmp_path):
    """Starts a server with faults; it must end in order."""
    started = []

    def start(*faults: str) -> Server:
        options = tuple(part for fault in faults for part in ("--fault", fault))
        server = Server(tmp_path / f"data{len(started)}", options=options).start()
        started.append(server)
        return server

    yield start
    for server in started:
        assert server.stop() == 0, server.log[-4000:]
        assert "panicked" not in server.log


@pytest.fixture
def az_of(tmp_path, monkeypatch):
    opened = []

    def connect(server: Server) -> Az:
        monkeypatch.setitem(os.environ, "REQUESTS_CA_BUNDLE", server.ca_file)
        opened.append(Az(server, tmp_path / "az"))
        return opened[-1]

    yield connect
    for az in opened:
        az.close()


class Seen(SansIOHTTPPolicy):
    """Every answer that the SDK gets, those that it tries again among them."""

    def __init__(self):
        self.statuses = []
        self.faults = []

    def on_response(self, request, response):
        self.statuses.append(response.http_response.status_code)
        self.faults.append(response.http_response.headers.get("x-galerie-fault"))


def walk(clients: SdkClients) -> list[str]:
    """A gallery with definitions, as a pipeline makes one; the definitions that a list has."""
    clients.resources.resource_groups.create_or_update(GROUP, {"location": "eastus"})
    clients.compute.galleries.begin_create_or_update(GROUP, "faulty", {"location": "eastus"}).result()
    for number in range(4):
        definition = {
            "location": "eastus",
            "properties": {
                "osType": "Linux",
                "osState": "Generalized",
                "identifier": {"publisher": "p", "offer": "o", "sku": str(number)},
            },
        }
        clients.compute.gallery_images.begin_create_or_update(GROUP, "faulty", f"i{number}", definition).result()
    clients.compute.gallery_images.begin_delete(GROUP, "faulty", "i3").result()
    return [image.name for image in clients.compute.gallery_images.list_by_gallery(GROUP, "faulty")]


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("throttle,every=3,retry-after=1s", 429),
        ("error=503,share=20%,seed=7,retry-after=1s", 503),
        ("error=500,every=4,after", 500),
        ("latency=20ms..60ms", 200),
    ],
)
def test_the_sdk_gets_through(serve, fault, status):
    server = serve(fault)
    seen = Seen()
    assert walk(SdkClients(server, per_retry_policies=[seen])) == ["i0", "i1", "i2"]
    struck = [(found, said) for found, said in zip(seen.statuses, seen.faults) if said]
    assert struck and {said for _, said in struck} == {fault}
    assert status in {found for found, _ in struck}, struck


def test_az_gets_through(serve, az_of):
    az = az_of(serve("throttle,every=3,retry-after=1s", "error=503,every=5,method=GET,retry-after=1s"))
    az(f"group create -n {GROUP} -l eastus")
    az(f"sig create -g {GROUP} -r faulty")
    az(f"sig image-definition create -g {GROUP} -r faulty -i web --publisher p --offer o --sku s --os-type Linux")
    assert [image["name"] for image in az(f"sig image-definition list -g {GROUP} -r faulty")] == ["web"]
    az(f"sig image-definition delete -g {GROUP} -r faulty -i web")
    az(f"sig delete -g {GROUP} -r faulty")


def publish(server: Server, image, version: str, *more: str):
    server.galerie(
        "publish", image, version, "--create", "--os-type", "Linux", "--resource-group", GROUP, "--location", "eastus",
        "--target-region", "eastus", *more,
    )  # fmt: skip


def test_a_copy_that_fails_is_waited_for(serve, az_of, raw_image):
    """The copy fails, the version is `Failed` with a word about the region, and later it is complete by itself."""
    server = serve("region=westeurope,fail=1,retry=10s")
    az = az_of(server)
    server.group(GROUP)
    publish(server, raw_image, "faulty/web/1.0.0")
    of = f"-g {GROUP} -r faulty -i web"
    source = az(f"sig image-version show {of} -e 1.0.0")["id"]
    create = f"sig image-version create {of} -e 2.0.0 -l eastus --target-regions eastus westeurope"
    failure = az.fails(create, "--managed-image", source)
    assert "replication jobs failed" in failure.message and "injected fault" in failure.message

    # While the version is `Failed`, az does not wait, whatever for.
    assert "operation failed" in az.fails(f"sig image-version wait {of} -e 2.0.0 --updated --interval 1 --timeout 120").message
    wait_until("the server to try again", lambda: az(f"sig image-version show {of} -e 2.0.0")["provisioningState"] != "Failed")
    az(f"sig image-version wait {of} -e 2.0.0 --updated --interval 1 --timeout 120")
    shown = az(f"sig image-version show {of} -e 2.0.0 --expand ReplicationStatus")["replicationStatus"]
    assert {region["region"]: region["state"] for region in shown["summary"]} == {"East US": "Completed", "West Europe": "Completed"}


def test_a_copy_that_fails_is_asked_for_again(serve, raw_image):
    """Without waiting for the server to try again, an update repeats what failed; another region was never hurt."""
    server = serve("region=westeurope,fail=1")
    clients = SdkClients(server)
    server.group(GROUP)
    publish(server, raw_image, "faulty/web/1.0.0")
    versions = clients.compute.gallery_image_versions
    regions = {"properties": {"publishingProfile": {"targetRegions": [{"name": "eastus"}, {"name": "westeurope"}]}}}
    with pytest.raises(HttpResponseError, match="injected fault"):
        versions.begin_update(GROUP, "faulty", "web", "1.0.0", regions).result()
    states = lambda: {  # noqa: E731
        region.region: region.state
        for region in versions.get(GROUP, "faulty", "web", "1.0.0", expand="ReplicationStatus").replication_status.summary
    }
    assert states() == {"East US": "Completed", "West Europe": "Failed"}
    assert versions.begin_update(GROUP, "faulty", "web", "1.0.0", regions).result().provisioning_state == "Succeeded"
    assert states() == {"East US": "Completed", "West Europe": "Completed"}


def test_a_region_is_slow_and_another_is_down(serve, raw_image, tmp_path):
    server = serve("region=westeurope,slow=1s", "region=westus,down")
    server.group(GROUP)
    publish(server, raw_image, "faulty/web/1.0.0", "--target-region", "westeurope")
    path = f"{server.subscription}/resourceGroups/{GROUP}/providers/Microsoft.Compute/galleries/faulty/images/web/versions/1.0.0"
    everywhere = [{"name": name} for name in ("eastus", "westeurope", "westus")]
    reply = server.request("PATCH", path, {"properties": {"publishingProfile": {"targetRegions": everywhere}}})
    assert reply.status_code == 200, reply.text

    def in_westus() -> dict:
        summary = server.get(f"{path}?$expand=ReplicationStatus")["properties"]["replicationStatus"]["summary"]
        return {region["region"]: region for region in summary}["West US"]

    details = wait_until("the first attempt to fail", lambda: in_westus().get("details"))
    assert "the region is down" in details and in_westus()["state"] == "Replicating"
    pulled = server.galerie("pull", "faulty/web/1.0.0", "-o", tmp_path / "web.raw", "--region", "westeurope")
    assert pulled.returncode == 0


@pytest.mark.skipif("GALERIE_TEST_POSTGRES" in os.environ, reason="a server on PostgreSQL goes by the database's clock")
def test_the_clock_is_moved(serve, raw_image):
    server = serve("clock")
    server.group(GROUP)
    publish(server, raw_image, "faulty/web/1.0.0")
    server.galerie("admin", "clock", "show")
    gallery = f"{server.subscription}/resourceGroups/{GROUP}/providers/Microsoft.Compute/galleries/faulty"
    server.put(gallery, {"location": "eastus", "properties": {"softDeletePolicy": {"isSoftDeleteEnabled": True}}})
    reply = server.request("DELETE", f"{gallery}/images/web/versions/1.0.0")
    assert server.settle(reply)["status"] == "Succeeded"

    def deleted() -> str:
        return server.galerie("version", "list", "faulty/web", "--deleted").stdout

    assert "1.0.0" in deleted()
    old = server.token()
    moved = server.galerie("admin", "clock", "advance", "8d").stdout
    assert "8 d 0 h" in moved
    wait_until("the version to be purged", lambda: "1.0.0" not in deleted())
    reply = server.request("GET", gallery, headers={"Authorization": f"Bearer {old}"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "ExpiredAuthenticationToken")

    # A restart does not take time back, and one without the flag is refused.
    assert server.stop() == 0
    without = subprocess.run(
        [BINARY, "serve", "--data-dir", server.data_dir, "--listen", "127.0.0.1:0"], capture_output=True, text=True, timeout=60
    )
    assert without.returncode != 0 and "--fault clock" in without.stderr
    server.start()
    assert "8 d 0 h" in server.galerie("admin", "clock", "show").stdout


def test_it_is_loud(serve):
    fault = "region=westus,down"
    server = serve(fault, "latency=1ms")
    said = requests.get(f"{server.endpoint}/healthz", verify=server.ca_file, timeout=10).text
    assert said == f"ok\nfault {fault}\nfault latency=1ms\n"
    assert "WARN" in server.log and fault in server.log
    reply = server.request("GET", f"{server.subscription}/resourceGroups")
    assert reply.headers["x-galerie-fault"] == "latency=1ms"


def test_what_is_no_fault_is_refused():
    for fault, complaint in [("weather", "is no fault"), ("error=404", "one of [500"), ("throttle,often", "nothing that this fault knows")]:
        refused = subprocess.run([BINARY, "serve", "--fault", fault], capture_output=True, text=True, timeout=60)
        assert refused.returncode == 2 and complaint in refused.stderr, refused.stderr
