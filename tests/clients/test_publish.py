"""`galerie publish`, `pull` and `nbd`: a bootable image in each format goes in, and comes out the same in every region.

Outside judges: qemu-img and qemu-io, libnbd's nbdinfo and nbdcopy.
"""

import json
import stat
import subprocess
import sys

import pytest

import disk_images
import storage
from galerie_server import BINARY, unique, wait_until

FORMATS = ["raw", "vhd", "qcow2", "qcow2-zlib", "qcow2-zstd"]
GALLERY = "publishGallery"
DEFINITION = "ubuntu-web"
REGIONS = ["eastus", "westus", "westeurope"]
TARGETS = [option for region in ("eastus=2", "westus", "westeurope") for option in ("--target-region", region)]


def reference(version: str, definition: str = DEFINITION) -> str:
    return f"{GALLERY}/{definition}/{version}"


@pytest.fixture(scope="module")
def published(server, images, raw_image):
    """One version per format, all of the same bytes: version number by format."""
    numbers = {}
    for patch, image_format in enumerate(FORMATS):
        numbers[image_format] = f"1.0.{patch}"
        path = raw_image if image_format == "raw" else disk_images.convert(raw_image, images / f"publish.{image_format}", image_format)
        if image_format == "vhd":
            path = path.rename(images / "publish-web.vhd")
        server.galerie(
            "publish", path, reference(numbers[image_format]), *TARGETS, "--create", "--os-type", "Linux",
            "--resource-group", "publish", "--location", "eastus",
        )  # fmt: skip
    return numbers


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("region", REGIONS)
def test_a_raw_pull_holds_the_same_bytes(server, published, raw_image, tmp_path, image_format, region):
    out = tmp_path / "pulled.raw"
    server.galerie("pull", reference(published[image_format]), "-o", out, "--region", region)
    assert disk_images.sha256(out) == disk_images.sha256(raw_image)
    assert disk_images.allocated_bytes(out) < raw_image.stat().st_size, "zeros are holes"


def test_the_vhd_is_the_same_to_the_last_byte_from_every_region(server, published, raw_image, tmp_path):
    digests = set()
    for region in REGIONS:
        out = tmp_path / f"{region}.vhd"
        server.galerie("pull", reference(published["qcow2"]), "-o", out, "--region", region)
        disk_images.assert_vhd_holds(out, raw_image)
        digests.add(disk_images.sha256(out))
    assert len(digests) == 1


def test_latest_is_pulled(server, published, raw_image, tmp_path):
    server.galerie("pull", reference("latest"), "-o", tmp_path / "latest.raw")
    assert disk_images.sha256(tmp_path / "latest.raw") == disk_images.sha256(raw_image)


def test_a_pull_replaces_nothing(server, published, tmp_path):
    out = tmp_path / "kept.raw"
    out.write_text("precious")
    failed = server.galerie("pull", reference("1.0.0"), "-o", out, check=False)
    assert failed.returncode != 0 and "exists already" in failed.stderr
    assert out.read_text() == "precious"
    server.galerie("pull", reference("1.0.0"), "-o", out, "--force")
    assert list(tmp_path.iterdir()) == [out], "nothing temporary stays"


def test_a_pull_of_what_is_not_there(server, published, tmp_path):
    no_gallery = "no gallery of this subscription that you may list is called 'noGallery'"
    for missing, why in [
        (reference("7.7.7"), "NotFound"),
        (reference("latest", "nothing"), "NotFound"),
        ("noGallery/web/1.0.0", no_gallery),
    ]:
        failed = server.galerie("pull", missing, "-o", tmp_path / "out.raw", check=False)
        assert failed.returncode != 0 and why in failed.stderr, failed.stderr
    assert list(tmp_path.iterdir()) == []


def test_publishing_again_sends_only_what_changed(server, published, images, next_raw_image, tmp_path):
    """The next build of the same machine: nearly all of its bytes are known already."""
    before = stored_bytes(server)
    server.galerie("publish", next_raw_image, reference("1.1.0"), *TARGETS)
    added = stored_bytes(server) - before
    allocated = disk_images.allocated_bytes(next_raw_image)
    assert added < allocated // 4, f"{added} of {allocated} bytes were stored anew"
    server.galerie("pull", reference("1.1.0"), "-o", tmp_path / "next.raw", "--region", "westeurope")
    assert disk_images.sha256(tmp_path / "next.raw") == disk_images.sha256(next_raw_image)


def stored_bytes(server) -> int:
    """All regular files below the data directory: the packs are most of it."""
    return sum(path.stat().st_size for path in server.data_dir.rglob("*") if path.is_file() and "pack" in str(path))


def test_an_upload_of_a_file_to_a_sas(server, images, raw_image, tmp_path):
    """`galerie upload` writes any format as the fixed VHD that an upload disk takes."""
    group = server.group("publish")
    for image_format in ["raw", "vhd", "qcow2"]:
        source = raw_image if image_format == "raw" else disk_images.convert(raw_image, tmp_path / f"up.{image_format}", image_format)
        creation = {"createOption": "Upload", "uploadSizeBytes": raw_image.stat().st_size + disk_images.VHD_FOOTER_BYTES}
        path = f"{group}/providers/Microsoft.Compute/disks/{unique('upload-')}"
        disk = server.put(path, {"location": "eastus", "properties": {"creationData": creation}}, api_version="2025-01-02")["id"]
        server.galerie("upload", source, server.grant(disk, "Write"))
        assert server.revoke(disk)["status"] == "Succeeded"
        vhd = storage.download(server.grant(disk, "Read"), tmp_path / "down.vhd")
        disk_images.assert_vhd_holds(vhd, raw_image)


class Nbd:
    """A running `galerie nbd`."""

    def __init__(self, server, version: str, region: str, folder):
        self.socket = folder / "s" / "disk.sock"
        self.socket.parent.mkdir(mode=0o700)
        self.uri = f"nbd+unix:///?socket={self.socket}"
        self._log = folder / "nbd.log"
        self._process = server.spawn_galerie("nbd", reference(version), "--region", region, "--socket", self.socket, log=self._log)
        wait_until("the NBD socket", self._is_there, timeout_s=30)

    def _is_there(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        return self.socket.exists()

    def stop(self) -> int:
        self._process.send_signal(2)
        return self._process.wait(timeout=30)


@pytest.fixture
def nbd(server, published, tmp_path):
    served = Nbd(server, published["qcow2"], "westeurope", tmp_path)
    yield served
    assert served.stop() == 0


def test_nbdinfo_sees_a_read_only_disk(nbd, raw_image):
    info = json.loads(disk_images.run("nbdinfo", "--json", nbd.uri))
    (export,) = info["exports"]
    assert info["protocol"].startswith("newstyle")
    assert export["export-size"] == raw_image.stat().st_size
    assert export["is_read_only"] is True
    assert export["can_multi_conn"] is True
    assert export["can_df"] in (True, False)
    assert "base:allocation" in export["contexts"]


def test_the_socket_is_the_users_own(nbd):
    assert stat.S_IMODE(nbd.socket.stat().st_mode) & 0o077 == 0


def test_block_status_shows_the_holes(nbd, raw_image):
    extents = json.loads(disk_images.run("nbdinfo", "--map", "--json", nbd.uri))
    assert sum(extent["length"] for extent in extents) == raw_image.stat().st_size
    zeros = sum(extent["length"] for extent in extents if extent["type"] & 2)
    assert zeros > raw_image.stat().st_size // 4


def test_nbdcopy_copies_the_disk(nbd, raw_image, tmp_path):
    disk_images.run("nbdcopy", nbd.uri, tmp_path / "copied.raw")
    assert disk_images.sha256(tmp_path / "copied.raw") == disk_images.sha256(raw_image)


def test_qemu_img_finds_no_difference(nbd, raw_image):
    disk_images.run("qemu-img", "compare", "-f", "raw", "-F", "raw", nbd.uri, raw_image)


def test_qemu_io_reads_and_cannot_write(nbd, raw_image):
    with open(raw_image, "rb") as file:
        file.seek(1 << 20)
        first = file.read(16)
    shown = disk_images.run("qemu-io", "-r", "-f", "raw", "-c", "read -v 1M 16", nbd.uri)
    assert " ".join(f"{byte:02x}" for byte in first) in shown
    refused = subprocess.run(["qemu-io", "-f", "raw", "-c", "write 0 512", nbd.uri], capture_output=True, text=True)
    assert "read-only" in (refused.stdout + refused.stderr).lower() or refused.returncode != 0


def test_two_clients_at_once(nbd, raw_image, tmp_path):
    copies = [
        subprocess.Popen(["nbdcopy", "--connections=4", nbd.uri, tmp_path / f"{number}.raw"]) for number in range(2)
    ]
    assert [copy.wait(timeout=300) for copy in copies] == [0, 0]
    digests = {disk_images.sha256(tmp_path / f"{number}.raw") for number in range(2)}
    assert digests == {disk_images.sha256(raw_image)}


def test_lists_and_shows(server, published):
    galleries = json.loads(server.galerie("gallery", "list", "-o", "json").stdout)
    assert GALLERY in [gallery["name"] for gallery in galleries]
    versions = json.loads(server.galerie("version", "list", f"{GALLERY}/{DEFINITION}", "-o", "json").stdout)
    assert set(published.values()) <= {version["name"] for version in versions}
    shown = json.loads(server.galerie("version", "show", reference("1.0.0"), "-o", "json").stdout)
    assert shown["properties"]["provisioningState"] == "Succeeded"
    table = server.galerie("version", "list", f"{GALLERY}/{DEFINITION}", "-o", "table").stdout
    assert "1.0.0" in table and "{" not in table


def test_the_store_is_sound(server, published):
    for region in REGIONS:
        server.galerie("store", "verify", "--region", region)
        server.galerie("store", "stats", "--region", region)


def test_what_is_deleted_is_collected(server, raw_image, next_raw_image, published, tmp_path):
    """A version's deletion gives its own bytes back, and takes none from the others."""
    unlike = tmp_path / "unlike.raw"
    with open(unlike, "wb") as file, open("/dev/urandom", "rb") as random:
        file.write(random.read(32 << 20))
    server.galerie("publish", unlike, reference("5.0.0"), "--target-region", "eastus")
    server.galerie("version", "delete", reference("5.0.0"), "--yes")
    server.galerie("store", "collect", "--region", "eastus")
    server.galerie("store", "verify", "--region", "eastus")
    server.galerie("pull", reference(published["qcow2"]), "-o", tmp_path / "kept.raw", "--region", "eastus")
    assert disk_images.sha256(tmp_path / "kept.raw") == disk_images.sha256(raw_image)


def test_help_and_completions_are_there(server):
    assert "publish" in server.galerie("--help").stdout
    for command in ["serve", "publish", "pull", "nbd", "upload", "store", "connect"]:
        assert len(server.galerie(command, "--help").stdout) > 200
    assert "complete" in server.galerie("completions", "bash").stdout


def test_another_machine_is_connected_by_environment(server, published):
    """`galerie connect env` is all that a machine without the data directory needs."""
    lines = server.galerie("connect", "env").stdout
    script = f"unset GALERIE_DATA_DIR; cd /\n{lines}\n'{BINARY}' gallery list -o json"
    done = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert GALLERY in [gallery["name"] for gallery in json.loads(done.stdout)]


def test_a_python_program_is_printed_that_runs(server, published):
    program = server.galerie("connect", "python").stdout
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert GALLERY in done.stdout
