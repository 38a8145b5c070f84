"""The last judge: a machine boots from what came out of the gallery, in another region than it went in."""

import pytest

import disk_images
from galerie_server import wait_until

VERSION = "bootGallery/web/1.0.0"


@pytest.fixture(scope="module")
def published(server, images, raw_image):
    qcow2 = disk_images.convert(raw_image, images / "boot.qcow2", "qcow2-zstd")
    server.galerie(
        "publish", qcow2, VERSION, "--target-region", "eastus", "--target-region", "westeurope", "--create",
        "--os-type", "Linux", "--resource-group", "boot", "--location", "eastus",
    )  # fmt: skip


def test_a_downloaded_vhd_boots(server, published, tmp_path):
    vhd = tmp_path / "web.vhd"
    server.galerie("pull", VERSION, "-o", vhd, "--region", "westeurope")
    ready = disk_images.boot(["-drive", f"file={vhd},if=virtio,format=vpc,snapshot=on"])
    assert (ready["label"], ready["boots"]) == ("base", "1")


def test_a_machine_boots_over_nbd_and_keeps_its_writes_to_itself(server, published, images, tmp_path):
    """Read lazily over HTTPS; an overlay of QEMU's own takes the writes, so that the image stays as it was."""
    (tmp_path / "s").mkdir(mode=0o700)
    socket, overlay = tmp_path / "s/disk.sock", tmp_path / "overlay.qcow2"
    nbd = server.spawn_galerie("nbd", VERSION, "--region", "westeurope", "--socket", socket, log=tmp_path / "nbd.log")
    try:
        wait_until("the NBD socket", socket.exists, timeout_s=30)
        base = f"nbd+unix:///?socket={socket}"
        disk_images.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", overlay)
        drive = ["-drive", f"file={overlay},if=virtio,format=qcow2"]
        identity = ["-smbios", "type=1,serial=ds=nocloud;h=web-1;i=i-0001"]
        first = disk_images.boot(drive + identity)
        assert (first["hostname"], first["instance"], first["src"], first["boots"]) == ("web-1", "i-0001", "smbios", "1")
        assert disk_images.boot(drive)["boots"] == "2", "the overlay kept the first boot's count"
        fresh = disk_images.boot(["-drive", f"file={base},if=virtio,format=raw,snapshot=on"])
        assert fresh["boots"] == "1", "the image itself was not written to"
    finally:
        nbd.send_signal(2)
        assert nbd.wait(timeout=30) == 0
