"""What a user or an attacker gets wrong: each is told what is wrong, nothing half-made stays, and a second try works."""

import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobClient

import disk_images
import storage
from disk_images import MIB, VHD_FOOTER_BYTES
from galerie_server import BINARY, Server, unique, wait_until

COMPUTE = "providers/Microsoft.Compute"
DISKS = "2025-01-02"


@pytest.fixture(scope="module")
def group(server):
    return server.group("bad-input")


@pytest.fixture(scope="module")
def gallery(server, group):
    return server.put(f"{group}/{COMPUTE}/galleries/badGallery", {"location": "eastus"})["id"]


def definition_body(sku: str) -> dict:
    identifier = {"publisher": "Contoso", "offer": "Web", "sku": sku}
    return {"location": "eastus", "properties": {"osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2", "identifier": identifier}}


@pytest.fixture(scope="module")
def definition(server, gallery):
    return server.put(f"{gallery}/images/web", definition_body("web"))["id"]


@pytest.fixture(scope="module")
def disk(server, group):
    """An empty disk in eastus, to make versions from."""
    return empty_disk(server, group, "eastus")


def empty_disk(server, group: str, location: str) -> str:
    properties = {"creationData": {"createOption": "Empty"}, "diskSizeGB": 1}
    return server.put(f"{group}/{COMPUTE}/disks/{unique('empty-')}", {"location": location, "properties": properties}, api_version=DISKS)["id"]


def version_body(source: str, *regions: str) -> dict:
    profile = {"targetRegions": [{"name": region} for region in regions]} if regions else {}
    return {"location": "eastus", "properties": {"storageProfile": {"osDiskImage": {"source": {"id": source}}}, "publishingProfile": profile}}


def refused(server, path: str, body: dict, status: int, code: str, *words: str, api_version: str | None = None) -> None:
    """A PUT that must be refused, at once or by its operation, and must leave nothing that looks finished."""
    reply = server.request("PUT", path, body, api_version=api_version)
    if reply.status_code in (200, 201, 202):
        ended = server.settle(reply)
        assert ended["status"] == "Failed", f"accepted: {ended}"
        error = ended["error"]
    else:
        assert reply.status_code == status, reply.text
        error = reply.json()["error"]
        assert server.request("GET", path, api_version=api_version).status_code == 404, "a refused PUT leaves nothing"
    assert error["code"] == code, error
    for word in words:
        assert word.lower() in error["message"].lower(), error


# Bodies and names


@pytest.mark.parametrize("raw", [b"this is not JSON", b"{", b"[]", b'"text"', b"\xff\xfe", b'{"location": "eastus",}'])
def test_a_body_that_is_not_a_json_object(server, group, raw):
    reply = server.request("PUT", f"{group}/{COMPUTE}/galleries/neverMade", raw=raw)
    assert reply.status_code == 400, reply.text
    assert reply.json()["error"]["code"] == "InvalidRequestContent"
    assert server.request("GET", f"{group}/{COMPUTE}/galleries/neverMade").status_code == 404


@pytest.mark.parametrize("opening, closing", [(b'{"a":', b"}"), (b"[", b"]")])
def test_a_body_nested_ten_thousand_deep(server, group, opening, closing):
    deep = opening * 10_000 + b"1" + closing * 10_000
    raw = b'{"location": "eastus", "tags": ' + deep + b"}"
    reply = server.request("PUT", f"{group}/{COMPUTE}/galleries/neverMade", raw=raw)
    assert reply.status_code == 400, reply.status_code
    assert "error" in reply.json()


def test_a_body_that_is_far_too_long(server, group):
    raw = b'{"location": "eastus", "tags": {"a": "' + b"x" * (8 * MIB) + b'"}}'
    assert server.request("PUT", f"{group}/{COMPUTE}/galleries/neverMade", raw=raw).status_code in (400, 413)


def test_an_unknown_member_is_named(server, group):
    body = {"location": "eastus", "properties": {"descriptoin": "a slip of the finger"}}
    reply = server.request("PUT", f"{group}/{COMPUTE}/galleries/neverMade", body)
    assert reply.status_code == 400
    assert "Could not find member 'descriptoin'" in reply.json()["error"]["message"]


@pytest.mark.parametrize("name", ["with-dash", "_starts", "ends_", "a" * 81, "sp ace", "umläut"])
def test_a_gallery_name_that_breaks_the_rules(server, group, name):
    refused(server, f"{group}/{COMPUTE}/galleries/{name}", {"location": "eastus"}, 400, "InvalidParameter", "name")


@pytest.mark.parametrize("name", ["-web", "web-", "web.", "a" * 81, "we b"])
def test_a_definition_name_that_breaks_the_rules(server, gallery, name):
    refused(server, f"{gallery}/images/{name}", definition_body(unique("sku")), 400, "InvalidParameter")


@pytest.mark.parametrize("name", ["1", "1.0", "1.0.0.0", "1.0.x", "v1.0.0", "1.0.-1", "2147483648.0.0", "latest", "1..0"])
def test_a_version_name_that_breaks_the_rules(server, definition, disk, name):
    refused(server, f"{definition}/versions/{name}", version_body(disk), 400, "InvalidParameter", "Major(int).Minor(int).Patch(int)")


# Regions and sources


def test_a_region_that_is_not_served(server, group):
    refused(server, f"{group}/{COMPUTE}/galleries/neverMade", {"location": "atlantis"}, 400, "LocationNotAvailableForResourceType", "atlantis")


def test_a_target_region_that_is_not_served(server, definition, disk):
    refused(server, f"{definition}/versions/1.0.0", version_body(disk, "eastus", "atlantis"), 400, "LocationNotAvailableForResourceType", "atlantis")


@pytest.mark.parametrize("twin", ["East US", "EASTUS", "east us", " eastus"])
def test_a_target_region_twice_in_two_spellings(server, definition, disk, twin):
    refused(server, f"{definition}/versions/1.0.0", version_body(disk, "eastus", twin), 400, "InvalidParameter", "duplicate regions")


def test_target_regions_without_the_home_region(server, definition, disk):
    refused(server, f"{definition}/versions/1.0.0", version_body(disk, "westus"), 400, "InvalidParameter", "must contain the location")


def test_a_source_that_does_not_exist(server, group, definition):
    refused(server, f"{definition}/versions/1.0.0", version_body(f"{group}/{COMPUTE}/disks/nobody"), 404, "NotFound", "nobody", "check source exists")


def test_a_source_in_another_region(server, group, definition):
    far = empty_disk(server, group, "westus")
    refused(server, f"{definition}/versions/1.0.0", version_body(far), 404, "NotFound", "same region")


def test_a_source_of_the_wrong_kind(server, definition, gallery):
    refused(server, f"{definition}/versions/1.0.0", version_body(gallery), 400, "InvalidParameter", "must be a managed disk or snapshot")


def test_a_source_that_waits_for_its_upload(server, group, definition):
    disk = upload_disk(server, group)
    reply = server.request("PUT", f"{definition}/versions/1.0.0", version_body(disk))
    assert 400 <= reply.status_code < 500, reply.text


def test_after_all_that_the_same_version_can_be_made(server, definition, disk):
    made = server.put(f"{definition}/versions/1.0.0", version_body(disk, "eastus", "westus"))
    assert made["properties"]["provisioningState"] == "Succeeded"


# Uploads that end badly


def upload_disk(server, group: str, guest_bytes: int = 24 * MIB) -> str:
    creation = {"createOption": "Upload", "uploadSizeBytes": guest_bytes + VHD_FOOTER_BYTES}
    path = f"{group}/{COMPUTE}/disks/{unique('upload-')}"
    return server.put(path, {"location": "eastus", "properties": {"creationData": creation}}, api_version=DISKS)["id"]


def vhd_footer(images, guest_bytes: int = 24 * MIB) -> bytearray:
    raw = images / f"zeros-{guest_bytes}.raw"
    with open(raw, "wb") as file:
        file.truncate(guest_bytes)
    vhd = disk_images.convert(raw, images / f"zeros-{guest_bytes}.vhd", "vhd")
    return bytearray(vhd.read_bytes()[-VHD_FOOTER_BYTES:])


def write_footer(server, disk: str, footer: bytes, guest_bytes: int = 24 * MIB) -> dict:
    with BlobClient.from_blob_url(server.grant(disk, "Write")) as blob:
        blob.upload_page(bytes(footer), offset=guest_bytes, length=VHD_FOOTER_BYTES)
    return server.revoke(disk)


def test_an_upload_without_its_footer_and_the_second_try(server, group, images):
    disk = upload_disk(server, group)
    with BlobClient.from_blob_url(server.grant(disk, "Write")) as blob:
        blob.upload_page(b"x" * 512, offset=0, length=512)
    ended = server.revoke(disk)
    assert ended["status"] == "Failed"
    assert "footer" in ended["error"]["message"].lower()
    assert server.get(disk, api_version=DISKS)["properties"]["diskState"] == "ReadyToUpload"

    # The pages are still there; only the footer has to be sent.
    assert write_footer(server, disk, vhd_footer(images))["status"] == "Succeeded"
    with BlobClient.from_blob_url(server.grant(disk, "Read")) as blob:
        assert blob.download_blob(offset=0, length=1024).readall() == b"x" * 512 + bytes(512)


def test_pages_that_were_never_written_are_zeros(server, group, images):
    disk = upload_disk(server, group)
    assert write_footer(server, disk, vhd_footer(images))["status"] == "Succeeded"
    with BlobClient.from_blob_url(server.grant(disk, "Read")) as blob:
        assert not blob.download_blob(offset=0, length=24 * MIB).readall().strip(b"\0")


def with_checksum(footer: bytearray) -> bytearray:
    footer[64:68] = bytes(4)
    footer[64:68] = struct.pack(">I", ~sum(footer) & 0xFFFFFFFF)
    return footer


@pytest.mark.parametrize(
    "what, change",
    [
        ("checksum", lambda footer: footer.__setitem__(slice(64, 68), b"\0\0\0\0")),
        ("size", lambda footer: (footer.__setitem__(slice(48, 56), struct.pack(">Q", 1 << 40)), with_checksum(footer))),
        ("type", lambda footer: (footer.__setitem__(slice(60, 64), struct.pack(">I", 3)), with_checksum(footer))),
        ("cookie", lambda footer: footer.__setitem__(slice(0, 8), b"notaVHD!")),
    ],
)
def test_a_footer_that_lies(server, group, images, what, change):
    footer = vhd_footer(images)
    change(footer)
    disk = upload_disk(server, group)
    ended = write_footer(server, disk, footer)
    assert ended["status"] == "Failed", what
    assert "footer" in ended["error"]["message"].lower() or "vhd" in ended["error"]["message"].lower()
    assert write_footer(server, disk, vhd_footer(images))["status"] == "Succeeded"


# Image files that lie


def patched(path, changes: dict[int, bytes]):
    with open(path, "r+b") as file:
        for offset, data in changes.items():
            file.seek(offset)
            file.write(data)
    return path


def truncated(path):
    os.truncate(path, path.stat().st_size // 2)
    return path


def be64(value: int) -> bytes:
    return struct.pack(">Q", value)


# Offsets within a qcow2 header: the specification's table (docs/interop/qcow2.txt in QEMU's sources).
LIES = {
    "an empty qcow2 file": ("qcow2", lambda path: (os.truncate(path, 0), path)[1]),
    "a qcow2 header cut short": ("qcow2", lambda path: (os.truncate(path, 60), path)[1]),
    "a truncated qcow2": ("qcow2", truncated),
    "a truncated compressed qcow2": ("qcow2-zstd", truncated),
    "a future qcow2 version": ("qcow2", lambda path: patched(path, {4: struct.pack(">I", 9)})),
    "a backing file": ("qcow2", lambda path: patched(path, {8: be64(4096), 16: struct.pack(">I", 11), 4096: b"/etc/passwd"})),
    "an absurd virtual size": ("qcow2", lambda path: patched(path, {24: be64(1 << 62)})),
    "a cluster size of nothing": ("qcow2", lambda path: patched(path, {20: struct.pack(">I", 0)})),
    "a cluster size past all bounds": ("qcow2", lambda path: patched(path, {20: struct.pack(">I", 40)})),
    "a first-level table of 2^31 entries": ("qcow2", lambda path: patched(path, {36: struct.pack(">I", 1 << 31)})),
    "a first-level table past the end": ("qcow2", lambda path: patched(path, {40: be64(1 << 50)})),
    "an unknown incompatible feature": ("qcow2", lambda path: patched(path, {72: be64(1 << 63)})),
    "an external data file": ("qcow2", lambda path: patched(path, {72: be64(1 << 2)})),
    "a table entry that points past the end": ("qcow2", lambda path: patched(path, {3 << 16: be64(1 << 40)})),
    "a VHD with a wrong checksum": ("vhd", lambda path: patched(path, {path.stat().st_size - 512 + 64: b"\1\2\3\4"})),
    "a VHD whose size is not its file's": ("vhd", lambda path: (os.truncate(path, 8 * MIB), patched(path, {8 * MIB - 512: footer_of_size(24 * MIB)}))[1]),
}


def footer_of_size(guest_bytes: int) -> bytes:
    footer = bytearray(512)
    footer[0:8] = b"conectix"
    footer[8:16] = struct.pack(">II", 2, 0x10000)
    footer[16:24] = be64(0xFFFFFFFFFFFFFFFF)
    footer[28:32] = b"qemu"
    footer[40:56] = be64(guest_bytes) + be64(guest_bytes)
    footer[60:64] = struct.pack(">I", 2)
    return bytes(with_checksum(footer))


@pytest.fixture(scope="module")
def small_raw(images):
    raw = images / "lies.raw"
    with open(raw, "wb") as file:
        file.truncate(24 * MIB)
        for start in range(0, 24 * MIB, 3 * MIB):
            file.seek(start)
            file.write(os.urandom(128 * 1024))
    return raw


@pytest.mark.parametrize("lie", LIES)
def test_an_image_file_that_lies(server, definition, small_raw, tmp_path, lie):
    image_format, spoil = LIES[lie]
    suffix = image_format.split("-")[0]
    path = spoil(disk_images.convert(small_raw, tmp_path / f"lie.{suffix}", image_format))
    before = leftovers(server)
    failed = server.galerie("publish", path, "badGallery/web/6.6.6", "--target-region", "eastus", check=False, timeout_s=60)
    assert failed.returncode not in (0, 101), f"{lie}: {failed.stdout}{failed.stderr}"
    assert failed.stderr.strip() and "panicked" not in failed.stderr
    assert server.request("GET", f"{definition}/versions/6.6.6").status_code == 404
    assert leftovers(server) == before, "the temporary disk is gone"


def leftovers(server) -> set[str]:
    listed = server.get(f"{server.subscription}/{COMPUTE}/disks", api_version=DISKS)
    return {disk["id"] for disk in listed["value"]}


@pytest.mark.parametrize("image_format, options", [("vmdk", []), ("vdi", []), ("vpc", ["-o", "subformat=dynamic"])])
def test_a_format_that_is_not_read_yet_is_named(server, definition, small_raw, tmp_path, image_format, options):
    path = tmp_path / f"image.{image_format}"
    disk_images.run("qemu-img", "convert", "-f", "raw", "-O", image_format, *options, small_raw, path)
    failed = server.galerie("publish", path, "badGallery/web/6.6.7", "--target-region", "eastus", check=False)
    assert failed.returncode != 0
    assert "panicked" not in failed.stderr and failed.stderr.strip()
    assert server.request("GET", f"{definition}/versions/6.6.7").status_code == 404


def test_a_file_that_is_not_there(server, tmp_path):
    failed = server.galerie("publish", tmp_path / "nothing.raw", "badGallery/web/6.6.8", "--target-region", "eastus", check=False)
    assert failed.returncode != 0 and "nothing.raw" in failed.stderr


# Regions whose directory fails them. Mounts are made in the server's own mount namespace, so no root is needed.


def config_with_regions(path, regions: dict[str, object]):
    lines = [f'[[regions]]\nname = "{name}"\npath = "{folder}"\n' for name, folder in regions.items()]
    path.write_text("\n".join(lines))
    return path


class ServerInNamespace(Server):
    """A server that sees `mounts`: directory -> tmpfs options."""

    def __init__(self, *arguments, mounts: dict, **options):
        super().__init__(*arguments, **options)
        self._mounts = mounts

    def spawn(self) -> subprocess.Popen:
        mounts = "".join(f"mount -t tmpfs -o '{options}' none '{folder}' && " for folder, options in self._mounts.items())
        serve = f"exec '{BINARY}' serve --data-dir '{self.data_dir}' --listen 127.0.0.1:0 --config '{self._config}'"
        unshare = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--map-root-user", "--mount"]
        with open(self.log_path, "ab") as log:
            return subprocess.Popen([*unshare, "sh", "-c", mounts + serve], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def in_namespace(self, *command: object) -> None:
        user = [] if os.getuid() == 0 else ["--user", "--preserve-credentials"]
        disk_images.run("nsenter", "--target", self._process.pid, "--mount", *user, *command)


def test_a_full_disk_fails_the_version_and_space_mends_it(tmp_path, small_raw):
    full = tmp_path / "westus"
    full.mkdir()
    regions = {"eastus": tmp_path / "eastus", "westus": full}
    config = config_with_regions(tmp_path / "galerie.toml", regions)
    server = ServerInNamespace(tmp_path / "data", config=config, mounts={full: "size=1m"}).start()
    try:
        group = server.group("full")
        version = f"{group}/{COMPUTE}/galleries/fullGallery/images/web/versions/1.0.0"
        publish = ["publish", small_raw, "fullGallery/web/1.0.0", "--create", "--os-type", "Linux", "--resource-group", "full", "--location", "eastus"]
        server.galerie(*publish, "--target-region", "eastus")

        # Adding the full region fails with Azure's words and names it; the other region goes on serving.
        body = server.get(version)
        body["properties"]["publishingProfile"]["targetRegions"].append({"name": "westus"})
        reply = server.request("PUT", version, body)
        assert reply.status_code == 200, reply.text
        ended = server.settle(reply)
        assert ended["status"] == "Failed"
        assert "Gallery replication jobs failed in one or more regions" in ended["error"]["message"]
        assert "West US" in ended["error"]["message"] or "westus" in ended["error"]["message"]
        shown = server.get(f"{version}?$expand=ReplicationStatus&api-version=2024-03-03")
        assert shown["properties"]["provisioningState"] == "Failed"
        states = {region["region"]: region["state"] for region in shown["properties"]["replicationStatus"]["summary"]}
        assert states == {"East US": "Completed", "West US": "Failed"}
        server.galerie("pull", "fullGallery/web/1.0.0", "-o", tmp_path / "east.raw", "--region", "eastus")
        assert disk_images.sha256(tmp_path / "east.raw") == disk_images.sha256(small_raw)

        # With room, a retry of the same PUT works.
        server.in_namespace("mount", "-o", "remount,size=256m", full)
        mended = server.put(version, body)
        assert mended["properties"]["provisioningState"] == "Succeeded"
        server.galerie("pull", "fullGallery/web/1.0.0", "-o", tmp_path / "west.raw", "--region", "westus")
        assert disk_images.sha256(tmp_path / "west.raw") == disk_images.sha256(small_raw)
    finally:
        server.stop()


def test_a_region_below_its_watermark_takes_nothing_new_and_goes_on_by_itself(tmp_path, images, small_raw):
    """On a volume that is really full: what is there is read, deleted and collected, and then there is room again."""
    volume = tmp_path / "eastus"
    volume.mkdir()
    config = config_with_regions(tmp_path / "galerie.toml", {"eastus": volume})
    config.write_text(config.read_text() + 'min_free_space = "24MiB"\n')
    server = ServerInNamespace(tmp_path / "data", config=config, mounts={volume: "size=96m"}).start()
    try:
        server.galerie("publish", small_raw, "full/web/1.0.0", "--create", "--target-region", "eastus")
        disk = f"{server.group('watermark')}/{COMPUTE}/disks/up"
        size = 20 * MIB + VHD_FOOTER_BYTES
        body = {"location": "eastus", "properties": {"creationData": {"createOption": "Upload", "uploadSizeBytes": size}}}
        server.put(disk, body)
        # It would try again.
        blob = BlobClient.from_blob_url(server.grant(disk, "Write"), connection_verify=server.ca_file, retry_total=0)

        # Somebody else fills the volume to its last byte.
        server.in_namespace("sh", "-c", f"cat /dev/zero > '{volume}/filler' || true")
        with pytest.raises(HttpResponseError) as refused:
            blob.upload_page(b"x" * 512, offset=0, length=512)
        assert refused.value.status_code == 507 and "min_free_space" in str(refused.value), refused.value
        other = f"{disk.rsplit('/', 1)[0]}/other"
        reply = server.request("PUT", other, body)
        assert reply.status_code == 507 and "bytes are free and 25165824 are kept free" in reply.text, reply.text
        assert "galerie store collect" in reply.text
        server.galerie("pull", "full/web/1.0.0", "-o", tmp_path / "back.raw", "--region", "eastus")
        assert disk_images.sha256(tmp_path / "back.raw") == disk_images.sha256(small_raw)
        server.galerie("version", "delete", "full/web/1.0.0", "--yes")

        def collected():
            server.galerie("store", "collect", "--region", "eastus")
            return json.loads(server.galerie("store", "stats", "-o", "json").stdout)[0]["report"]["packs"] == 0

        # The readers' grace is a minute.
        wait_until("the version's packs are collected from the full volume", collected)

        server.in_namespace("rm", volume / "filler")
        blob.upload_page(b"x" * 512, offset=0, length=512)
        server.put(other, body)
    finally:
        server.stop()


def test_publishing_again_over_a_failed_version(tmp_path, small_raw):
    """Regression: it sent everything again, and was refused because the new temporary disk was another source."""
    full = tmp_path / "westus"
    full.mkdir()
    config = config_with_regions(tmp_path / "galerie.toml", {"eastus": tmp_path / "eastus", "westus": full})
    server = ServerInNamespace(tmp_path / "data", config=config, mounts={full: "size=1m"}).start()
    try:
        targets = ["--create", "--location", "eastus", "--target-region", "eastus", "--target-region", "westus"]
        failed = server.galerie("publish", small_raw, "fullGallery/web/1.0.0", *targets, check=False)
        assert failed.returncode != 0 and "replication failed in West US" in failed.stderr, failed.stderr
        other = patched(shutil.copy(small_raw, tmp_path / "other.raw"), {5 * MIB: b"other"})
        refused = server.galerie("publish", other, "fullGallery/web/1.0.0", *targets, check=False)
        assert refused.returncode != 0 and "made from another image" in refused.stderr, refused.stderr

        server.in_namespace("mount", "-o", "remount,size=256m", full)
        again = server.galerie("publish", small_raw, "fullGallery/web/1.0.0", *targets)
        assert " 0 B sent" in again.stdout, again.stdout
        server.galerie("pull", "fullGallery/web/1.0.0", "-o", tmp_path / "west.raw", "--region", "westus")
        assert disk_images.sha256(tmp_path / "west.raw") == disk_images.sha256(small_raw)
        assert leftovers(server) == set()
    finally:
        server.stop()


def test_a_full_disk_while_importing(tmp_path, small_raw):
    full = tmp_path / "eastus"
    full.mkdir()
    config = config_with_regions(tmp_path / "galerie.toml", {"eastus": full})
    server = ServerInNamespace(tmp_path / "data", config=config, mounts={full: "size=512k"}).start()
    try:
        publish = ["publish", small_raw, "fullGallery/web/1.0.0", "--create", "--os-type", "Linux", "--resource-group", "full", "--location", "eastus", "--target-region", "eastus"]
        failed = server.galerie(*publish, check=False)
        assert failed.returncode != 0
        assert "space" in failed.stderr.lower(), failed.stderr
        assert leftovers(server) == set()

        server.in_namespace("mount", "-o", "remount,size=256m", full)
        server.galerie(*publish)
        server.galerie("pull", "fullGallery/web/1.0.0", "-o", tmp_path / "out.raw")
        assert disk_images.sha256(tmp_path / "out.raw") == disk_images.sha256(small_raw)
    finally:
        server.stop()


class ServerOnSmallDisk(ServerInNamespace):
    """A server whose whole data directory is a tmpfs, which is seen from outside through the process."""

    def __init__(self, data_dir, size: str, **options):
        data_dir.mkdir()
        super().__init__(data_dir, mounts={data_dir: f"size={size},mode=700"}, **options)

    def seen(self, path) -> Path:
        return Path(f"/proc/{self._process.pid}/root") / str(path).lstrip("/")

    @property
    def admin(self) -> dict:
        return json.loads(self.seen(self.data_dir / "admin.json").read_text())

    @property
    def ca_file(self) -> str:
        return str(self.seen(self.admin["caFile"]))

    def client_environment(self) -> dict:
        return os.environ | {"GALERIE_DATA_DIR": str(self.seen(self.data_dir)), "GALERIE_CA_FILE": self.ca_file}


def test_a_full_catalogue_is_told_and_room_mends_it(tmp_path, small_raw):
    # By default the catalogue and the regions share a file system.
    config = config_with_regions(tmp_path / "galerie.toml", {"eastus": tmp_path / "data" / "eastus"})
    server = ServerOnSmallDisk(tmp_path / "data", "256m", config=config).start()
    try:
        server.group("before")
        filler = server.data_dir / "filler"
        server.in_namespace("sh", "-c", f"cat /dev/zero > '{filler}' 2>/dev/null || true")
        # The catalogue's log has a little room of its own.
        tags = {f"name{number}": "x" * 256 for number in range(50)}
        for number in range(1000):
            body = {"location": "eastus", "tags": tags}
            reply = server.request("PUT", f"{server.subscription}/resourceGroups/more{number}", body)
            if reply.status_code != 201:
                break
        assert reply.status_code == 507, reply.text
        error = reply.json()["error"]
        assert error["code"] == "InsufficientStorage" and "catalogue is full" in error["message"], error
        assert server.get(f"{server.subscription}/resourceGroups/before")["name"] == "before"
        publish = ["publish", small_raw, "fullGallery/web/1.0.0", "--create", "--os-type", "Linux", "--resource-group", "before", "--location", "eastus", "--target-region", "eastus"]
        failed = server.galerie(*publish, check=False)
        # Images are refused long before the last byte is used.
        assert failed.returncode != 0 and "min_free_space" in failed.stderr, failed.stderr

        server.in_namespace("rm", filler)
        server.group(f"more{number}")
        server.galerie(*publish)
        server.galerie("pull", "fullGallery/web/1.0.0", "-o", tmp_path / "out.raw")
        assert disk_images.sha256(tmp_path / "out.raw") == disk_images.sha256(small_raw)
    finally:
        server.stop()


def refuses_to_start(server: Server, *words: str) -> None:
    process = server.spawn()
    assert process.wait(timeout=30) not in (0, 101), server.log
    for word in words:
        assert word in server.log, server.log


def test_a_region_directory_that_is_not_writable(tmp_path):
    folder = tmp_path / "read-only"
    folder.mkdir()
    config = config_with_regions(tmp_path / "galerie.toml", {"eastus": folder})
    refuses_to_start(ServerInNamespace(tmp_path / "data", config=config, mounts={folder: "ro"}), "eastus", str(folder))


def test_a_region_directory_of_another_catalogue(tmp_path):
    folder = tmp_path / "eastus"
    config = config_with_regions(tmp_path / "galerie.toml", {"eastus": folder})
    owner = Server(tmp_path / "owner", config=config).start()
    assert owner.stop() == 0
    refuses_to_start(Server(tmp_path / "stranger", config=config), str(folder), "catalogue")
    again = Server(tmp_path / "owner", config=config).start()
    assert again.stop() == 0, "its owner still takes it"


@pytest.mark.parametrize("text, word", [("colour = 'blue'", "colour"), ("hosts = 7", "hosts"), ("[[regions]]\nname = 'eastus'\npaht = '/x'", "paht"), ("= =", "galerie.toml")])
def test_a_config_file_with_a_slip_in_it(tmp_path, text, word):
    config = tmp_path / "galerie.toml"
    config.write_text(text)
    refuses_to_start(Server(tmp_path / "data", config=config), word)
