"""Several processes on one catalogue: what `docs/processes.md` promises, with its own files (`make test-postgres`)."""

import itertools
import json
import os
import signal
import subprocess
import threading
from urllib.parse import urlsplit

import pytest
import requests

import disk_images
from disk_images import MIB
from galerie_server import BINARY, unique, wait_until
from processes import NUMBERS, Gallery, serving

COMPUTE = "providers/Microsoft.Compute"
REGIONS = ["eastus", "westus", "westeurope"]
TARGETS = [argument for region in REGIONS for argument in ("--target-region", region)]
PUBLISH = [*TARGETS, "--create", "--os-type", "Linux", "--resource-group", "many", "--location", "eastus"]


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("processes")) as gallery:
        yield gallery


@pytest.fixture(autouse=True)
def all_serve(gallery):
    """Each test finds all processes serving, whatever the one before left behind."""
    for process in gallery.processes:
        process.revive()
    wait_until("the proxy to send requests to all", lambda: gallery.in_service() == set(NUMBERS), 30)


@pytest.fixture(scope="module")
def raw(images):
    """Incompressible, with holes."""
    return random_image(images / "random.raw", 64)


@pytest.fixture(scope="module")
def web(gallery, raw):
    """A version in every region that holds `raw`; its name."""
    gallery.galerie("publish", raw, "manyGallery/web/1.0.0", *PUBLISH)
    return "manyGallery/web/1.0.0"


def random_image(path, mib: int):
    with open(path, "wb") as file:
        file.truncate(mib * MIB)
        for start in range(0, mib * MIB, 4 * MIB):
            file.seek(start)
            file.write(os.urandom(2 * MIB))
    return path


def pull(gallery: Gallery, version: str, expected, tmp_path) -> None:
    for region in REGIONS:
        out = tmp_path / f"{region}.raw"
        gallery.galerie("pull", version, "-o", out, "--region", region)
        assert disk_images.sha256(out) == disk_images.sha256(expected), region
        out.unlink()


def upload_disk(gallery: Gallery, group: str, size: int) -> str:
    """A disk to upload to; its id."""
    body = {"location": "eastus", "properties": {"creationData": {"createOption": "Upload", "uploadSizeBytes": size}}}
    return gallery.put(f"{group}/{COMPUTE}/disks/{unique('d')}", body, api_version="2025-01-02")["id"]


def put_page(gallery: Gallery, url: str, offset: int, page: bytes) -> requests.Response:
    headers = {"x-ms-page-write": "update", "x-ms-range": f"bytes={offset}-{offset + len(page) - 1}"}
    return requests.put(f"{url}&comp=page", data=page, headers=headers, verify=gallery.ca_file, timeout=60)


def download(gallery: Gallery, disk: str) -> bytes:
    reply = requests.get(gallery.grant(disk, "Read"), verify=gallery.ca_file, timeout=60)
    assert reply.status_code == 200, reply.text
    return reply.content


def vhd_footer(tmp_path) -> bytes:
    """Of a fixed VHD of 24 MiB."""
    raw = tmp_path / "empty.raw"
    with open(raw, "wb") as file:
        file.truncate(24 * MIB)
    return disk_images.convert(raw, tmp_path / "empty.vhd", "vhd").read_bytes()[-disk_images.VHD_FOOTER_BYTES :]


def restart(gallery: Gallery, number: int) -> None:
    process = gallery.processes[number - 1]
    assert process.stop() == 0, process.log[-4000:]
    process.start()
    wait_until("the proxy to send requests to all", lambda: gallery.in_service() == set(NUMBERS), 30)


def test_one_gallery(gallery, web, raw, tmp_path):
    """Publish, upload, replicate and pull, each request to whichever process comes next."""
    pull(gallery, web, raw, tmp_path)
    for region in REGIONS:
        gallery.galerie("store", "verify", "--region", region)
    shown = json.loads(gallery.galerie("admin", "processes", "--output", "json").stdout)
    assert [process["state"] for process in shown] == ["Serving"] * 3, shown

    vhd = disk_images.convert(raw, tmp_path / "up.vhd", "vhd")
    disk = upload_disk(gallery, gallery.group("many"), vhd.stat().st_size)
    gallery.galerie("upload", vhd, gallery.grant(disk, "Write"))
    assert gallery.revoke(disk)["status"] == "Succeeded"
    out = tmp_path / "down.vhd"
    out.write_bytes(download(gallery, disk))
    disk_images.assert_vhd_holds(out, raw)
    assert gallery.metric("galerie_forwarded_requests_total") > 0, "an upload's pages came to all processes, and one has them"
    assert gallery.metric("galerie_forward_failures_total") == 0


def test_offline_commands_are_refused(gallery, tmp_path):
    command = [BINARY, "admin", "reset", "--data-dir", tmp_path / "other", "--config", gallery.folder / "galerie-1.toml"]
    refused = subprocess.run(command, env=os.environ | gallery._database, capture_output=True, text=True, timeout=60)
    assert refused.returncode != 0 and "while no server runs" in refused.stderr, refused.stderr


class Clients:
    """Requests without a pause and without a second try, until the block ends; every answer must be a good one."""

    def __init__(self, gallery: Gallery, raw):
        self.gallery, self.raw = gallery, raw
        self.group = gallery.group("rolling")
        self.disk = upload_disk(gallery, self.group, 24 * MIB + 512)
        self.sas = gallery.grant(self.disk, "Write")
        self.failures: list[str] = []
        self.answered = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(work,)) for work in (self.read, self.write, self.upload, self.pull, self.publish)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        # What it holds is no VHD, so that its import fails and its pages are kept: only without its disk is it not one more upload
        # that is carried on when its process is killed.
        self.gallery.revoke(self.disk)
        deleted = self.gallery.request("DELETE", self.disk, api_version="2025-01-02")
        assert self.gallery.settle(deleted)["status"] == "Succeeded"

    def _run(self, work):
        for turn in itertools.count():
            if self._stop.is_set():
                return
            try:
                work(turn)
                self.answered += 1
            except Exception as error:  # noqa: BLE001 - whatever a client would see
                self.failures.append(f"{work.__name__} {turn}: {error}")

    def read(self, _):
        self.gallery.get(self.disk, api_version="2025-01-02")

    def write(self, turn):
        path = f"{self.group}/{COMPUTE}/galleries/rolling"
        reply = self.gallery.request("PUT", path, {"location": "eastus", "tags": {"turn": str(turn)}})
        assert reply.status_code in (200, 201), f"{reply.status_code} {reply.text}"

    def upload(self, turn):
        reply = put_page(self.gallery, self.sas, turn % 4096 * 4096, turn.to_bytes(4, "big") * 1024)
        assert reply.status_code == 201, f"{reply.status_code} {reply.text}"

    def pull(self, _):
        version = f"{self.gallery.subscription}/resourceGroups/many/{COMPUTE}/galleries/manyGallery/images/web/versions/1.0.0"
        headers = {"Authorization": f"Bearer {self.gallery.token()}"}
        url = f"{self.gallery.endpoint}/content{version}/manifest?region=westus"
        reply = requests.get(url, headers=headers, verify=self.gallery.ca_file, timeout=60)
        assert reply.status_code == 200, f"{reply.status_code} {reply.text}"

    def publish(self, turn):
        self.gallery.galerie("publish", self.raw, f"manyGallery/rolling/1.0.{turn}", *PUBLISH)


@pytest.mark.usefixtures("web")
def test_restarted_one_by_one_without_a_failed_request(gallery, raw, tmp_path):
    with Clients(gallery, raw) as clients:
        for number in NUMBERS:
            before = clients.answered
            restart(gallery, number)
            wait_until("clients to be answered again", lambda: clients.answered > before + 20, 60)
    assert clients.failures == []
    pull(gallery, "manyGallery/rolling/latest", raw, tmp_path)


def test_pages_of_a_killed_process_are_carried_on(gallery, tmp_path):
    """What it acknowledged is there, and the upload goes on with another process that sees the same folder."""
    second = gallery.processes[1]
    size = 24 * MIB + 512
    disk = upload_disk(gallery, gallery.group("many"), size)
    # Straight to one process: the upload is its own.
    access = {"access": "Write", "durationInSeconds": 3600}
    begun = to_process(gallery, second, "POST", f"{disk}/beginGetAccess?api-version=2025-01-02", json=access)
    assert begun.status_code == 202, begun.text
    location = urlsplit(begun.headers["Location"])
    sas = gallery.get(f"{gallery.endpoint}{location.path}?{location.query}")["accessSAS"]
    ours, rest = os.urandom(MIB), os.urandom(MIB)
    assert put_page(gallery, sas, 0, ours).status_code == 201
    second.kill()
    adopted = gallery.metric("galerie_uploads_adopted_total")
    # The next request waits until the process is taken for dead.
    assert put_page(gallery, sas, MIB, rest).status_code == 201
    assert put_page(gallery, sas, 24 * MIB, vhd_footer(tmp_path)).status_code == 201
    assert gallery.metric("galerie_uploads_adopted_total") == adopted + 1
    assert gallery.revoke(disk)["status"] == "Succeeded"
    assert download(gallery, disk)[: 2 * MIB] == ours + rest
    second.start()
    wait_until("the proxy to send requests to all", lambda: gallery.in_service() == set(NUMBERS), 30)


def test_work_of_killed_processes_is_finished_by_the_third(gallery, images, tmp_path):
    """Two processes are killed while they copy a version to two regions. Theirs were the leases; the third does the work."""
    first, second, third = gallery.processes
    raw = random_image(images / "large.raw", 256)
    gallery.galerie("publish", raw, "manyGallery/large/1.0.0", "--target-region", "eastus", *PUBLISH[len(TARGETS) :])
    path = f"{gallery.subscription}/resourceGroups/many/{COMPUTE}/galleries/manyGallery/images/large/versions/1.0.0"
    body = gallery.get(path)
    body["properties"]["publishingProfile"]["targetRegions"] = [{"name": name} for name in REGIONS]
    # While it sleeps, it can take no work.
    first.send_signal(signal.SIGSTOP)
    accepted = to_process(gallery, second, "PUT", f"{path}?api-version=2024-03-03", json=body)
    assert accepted.status_code == 200, accepted.text
    wait_until("both copies to be begun", lambda: leased_copies(gallery) == 2)
    second.kill()
    third.kill()
    assert leased_copies(gallery) > 0, "the copies were over before the processes were killed"
    first.send_signal(signal.SIGCONT)

    def is_finished() -> bool:
        """It did not answer the proxy's checks while it slept, so that for a moment there is no process to send requests to."""
        reply = gallery.request("GET", path)
        assert reply.status_code in (200, 503), reply.text
        return reply.status_code == 200 and reply.json()["properties"]["provisioningState"] == "Succeeded"

    wait_until("the version to be finished", is_finished)
    pull(gallery, "manyGallery/large/1.0.0", raw, tmp_path)
    second.start()
    third.start()
    wait_until("the proxy to send requests to all", lambda: gallery.in_service() == set(NUMBERS), 30)


def test_a_publish_outlives_the_process_that_has_its_upload(gallery, images, tmp_path):
    raw = random_image(images / "outlives.raw", 512)
    command = [BINARY, "publish", raw, "manyGallery/outlives/1.0.0", *PUBLISH]
    packs = stored_packs(gallery)
    publish = subprocess.Popen(command, env=gallery.client_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until("a part of it to be stored", lambda: stored_packs(gallery) > packs)
    has_it = next(process for process in gallery.processes if str(process.port) in process_of_upload(gallery))
    has_it.kill()
    _, said = publish.communicate(timeout=300)
    assert publish.returncode == 0 and "Sending all of it" in said, said
    pull(gallery, "manyGallery/outlives/1.0.0", raw, tmp_path)


def stored_packs(gallery: Gallery) -> int:
    """In the region that images are sent to."""
    return len(list((gallery.folder / "stores/eastus/tenants").glob("*/packs/*")))


def process_of_upload(gallery: Gallery) -> str:
    """The address of the process that has the chunks of the only upload that is under way. Nothing public says so."""
    from_where = "uploads u JOIN processes p ON p.id = u.process JOIN resources r ON r.uid = u.upload JOIN disks d ON d.key = r.key"
    statement = f"SELECT p.url FROM {from_where} WHERE d.state = 'ActiveUpload'"
    done = subprocess.run(["psql", "-qtA", "-c", statement, gallery._database["GALERIE_DATABASE"]], capture_output=True, text=True, check=True)
    return done.stdout


def leased_copies(gallery: Gallery) -> int:
    """Copies that a process has claimed. Nothing public says so, and the test must not kill before it is so."""
    statement = "SELECT COUNT(*) FROM replicas WHERE state = 'Replicating' AND lease_owner IS NOT NULL"
    done = subprocess.run(["psql", "-qtA", "-c", statement, gallery._database["GALERIE_DATABASE"]], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_a_region_is_served_where_its_store_is(gallery, raw, tmp_path):
    """A process that serves one region answers for all of them, as long as somebody serves the rest."""
    first, second, third = gallery.processes
    config = gallery.folder / "galerie-3.toml"
    whole = config.read_text()
    config.write_text(whole.replace("[[regions]]", 'serves = ["westus"]\n\n[[regions]]', 1))
    restart(gallery, 3)
    try:
        before = gallery.metric("galerie_forwarded_requests_total")
        for region in REGIONS:
            stats = to_process(gallery, third, "POST", f"/galerie/store/{region}/stats?api-version=2024-03-03")
            assert stats.status_code == 200 and stats.json()["region"] == region, stats.text
        assert gallery.metric("galerie_forwarded_requests_total") == before + 2
        gallery.galerie("publish", raw, "manyGallery/apart/1.0.0", *PUBLISH)
        pull(gallery, "manyGallery/apart/1.0.0", raw, tmp_path)

        first.stop()
        second.stop()
        wait_until("the proxy to notice", lambda: gallery.in_service() == {3}, 30)
        away = to_process(gallery, third, "POST", "/galerie/store/eastus/stats?api-version=2024-03-03")
        assert away.status_code == 503 and "eastus" in away.json()["error"]["message"], away.text
        assert "Retry-After" in away.headers
        assert to_process(gallery, third, "POST", "/galerie/store/westus/stats?api-version=2024-03-03").status_code == 200
        # What the catalogue knows is answered all the same.
        assert gallery.galerie("version", "list", "manyGallery/apart").returncode == 0
    finally:
        config.write_text(whole)
        for process in (first, second):
            if not process.is_running:
                process.start()
    restart(gallery, 3)


def to_process(gallery: Gallery, process, method: str, path: str, **options) -> requests.Response:
    """One request straight to a process, past the proxy."""
    headers = {"Authorization": f"Bearer {gallery.token()}"}
    return requests.request(method, process.endpoint + path, headers=headers, verify=process.ca_file, timeout=60, **options)
