"""A server with one region in a directory and one in a bucket: the same images, in both directions, through kills."""

import json
import os
import shutil
import subprocess
import time

import pytest

import disk_images
import machine_credentials
import s3_server
import storage
from disk_images import MIB
from galerie_server import BINARY, Server, unique, wait_until

COMPUTE = "providers/Microsoft.Compute"
BOTH = ["--target-region", "eastus", "--target-region", "westeurope"]
REGIONS = ["eastus", "westeurope"]


@pytest.fixture(scope="module")
def object_store(tmp_path_factory):
    store = s3_server.ObjectStore(tmp_path_factory.mktemp("s3") / "moto.log")
    yield store
    store.stop()


def configured(object_store, directory, prefix: str) -> Server:
    """A server whose region westeurope lies in the bucket, and eastus in a directory, compressed in another way."""
    config = directory / "galerie.toml"
    config.write_text('metrics_listen = "off"\n[[regions]]\nname = "eastus"\ncompression = "lz4"\n' + object_store.region("westeurope", prefix))
    return Server(directory / "data", config, s3_server.KEYS)


@pytest.fixture
def own_server(object_store, tmp_path):
    server = configured(object_store, tmp_path, unique("own-")).start()
    yield server
    if server.is_running:
        server.kill()


@pytest.fixture(scope="module")
def s3_region(object_store, tmp_path_factory):
    server = configured(object_store, tmp_path_factory.mktemp("s3-server"), "team/west").start()
    yield server
    assert server.stop() == 0, server.log[-4000:]
    assert "panicked" not in server.log


def publish(server: Server, raw, reference: str, home: str, *more: str) -> None:
    options = ["--create", "--os-type", "Linux", "--resource-group", "s3", "--location", home]
    server.galerie("publish", raw, reference, *BOTH, *options, *more)


def assert_holds(server: Server, reference: str, raw, tmp_path) -> None:
    for region in REGIONS:
        out = tmp_path / f"{region}.raw"
        server.galerie("pull", reference, "-o", out, "--region", region)
        assert disk_images.sha256(out) == disk_images.sha256(raw), region


@pytest.mark.parametrize("home", REGIONS)
def test_images_are_the_same_in_a_directory_and_in_a_bucket(s3_region, object_store, raw_image, tmp_path, home):
    reference = f"gallery{home}/web/1.0.0"
    publish(s3_region, raw_image, reference, home)
    assert_holds(s3_region, reference, raw_image, tmp_path)
    names = object_store.objects("team/west/")
    assert "team/west/store.json" in names and any("/packs/" in name for name in names), names
    assert max(names.values()) <= 64 * MIB
    assert "<Upload>" not in object_store.uploads_under_way()


def test_an_upload_to_a_region_in_a_bucket_is_staged_on_the_local_disk(s3_region, object_store, vhd_image, raw_image, tmp_path, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", s3_region.ca_file)
    group = s3_region.group("staged", "westeurope")
    creation = {"createOption": "Upload", "uploadSizeBytes": vhd_image.stat().st_size}
    path = f"{group}/{COMPUTE}/disks/{unique('disk-')}"
    body = {"location": "westeurope", "properties": {"creationData": creation, "osType": "Linux"}}
    disk = s3_region.put(path, body, api_version="2025-01-02")["id"]
    sas = s3_region.grant(disk, "Write")
    storage.upload_vhd(sas, vhd_image)
    assert list((s3_region.data_dir / "regions/westeurope/staging").glob("*.page-blob"))
    assert not [name for name in object_store.objects("") if "page-blob" in name]
    assert s3_region.revoke(disk)["status"] == "Succeeded"
    out = storage.download(s3_region.grant(disk, "Read"), tmp_path / "back.vhd")
    disk_images.assert_vhd_holds(out, raw_image)


def test_a_store_in_a_bucket_is_looked_after_like_any_other(s3_region, object_store, raw_image, tmp_path):
    reference = "galleryafter/web/1.0.0"
    publish(s3_region, raw_image, reference, "westeurope")
    said = s3_region.galerie("store", "stats", "--region", "westeurope").stdout
    assert "packs" in said, said
    s3_region.galerie("store", "verify", "--region", "westeurope")
    pack = next(name.rsplit("/", 1)[1] for name in object_store.objects("team/west/tenants/") if "/packs/" in name)
    assert pack in s3_region.galerie("store", "inspect", pack, "--region", "westeurope").stdout
    s3_region.galerie("store", "collect", "--region", "westeurope")
    assert_holds(s3_region, reference, raw_image, tmp_path)


def test_garbage_in_a_bucket_is_collected(own_server, object_store, raw_image, tmp_path):
    noise = tmp_path / "noise.raw"
    noise.write_bytes(os.urandom(24 * MIB))
    publish(own_server, noise, "garbage/noise/1.0.0", "westeurope")
    publish(own_server, raw_image, "garbage/web/1.0.0", "westeurope")
    before = sum(object_store.objects("own-").values())
    version = f"{own_server.subscription}/resourceGroups/s3/{COMPUTE}/galleries/garbage/images/noise/versions/1.0.0"
    assert own_server.settle(own_server.request("DELETE", version))["status"] == "Succeeded"
    own_server.stop()
    for action in ["collect", "verify", "stats"]:
        offline(own_server, "store", action, "--offline")
    assert sum(object_store.objects("own-").values()) <= before - 20 * MIB
    own_server.start()
    assert_holds(own_server, "garbage/web/1.0.0", raw_image, tmp_path)


def offline(server: Server, *arguments) -> None:
    """A command that works without the server, which is not running."""
    environment = server.client_environment() | s3_server.KEYS
    done = subprocess.run([BINARY, *arguments, "--config", server._config], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_region_in_a_bucket_is_backed_up_and_restored_into_another_place(own_server, object_store, raw_image, tmp_path):
    publish(own_server, raw_image, "kept/web/1.0.0", "westeurope")
    backups, key, prefix = tmp_path / "backups", tmp_path / "master.key", unique("restored-")
    own_server.galerie("backup", "create", backups)
    shutil.copy(own_server.data_dir / "master.key", key)
    own_server.kill()
    shutil.rmtree(own_server.data_dir)
    (tmp_path / "elsewhere").mkdir()
    restored = configured(object_store, tmp_path / "elsewhere", prefix)
    offline(restored, "restore", backups, "--data-dir", restored.data_dir, "--master-key", key)
    assert any("/packs/" in name for name in object_store.objects(f"{prefix}/")), "its own place in the bucket"
    offline(restored, "admin", "reset", "--data-dir", restored.data_dir)
    restored.start()
    try:
        assert_holds(restored, "kept/web/1.0.0", raw_image, tmp_path)
        restored.galerie("store", "verify")
    finally:
        assert restored.stop() == 0


@pytest.mark.parametrize("moment_s", [0.3, 1.5])
def test_killed_while_it_writes_to_a_bucket(own_server, object_store, images, tmp_path, moment_s):
    """`kill -9` in the middle: the same command succeeds afterwards, or the version was accepted and comes to its end by itself;
    every object in the bucket is whole."""
    noise = images / "s3-noise.raw"
    if not noise.exists():
        noise.write_bytes(os.urandom(100 * MIB))
    options = [*BOTH, "--create", "--os-type", "Linux", "--resource-group", "s3", "--location", "westeurope"]
    publishing = own_server.spawn_galerie("publish", noise, "killed/noise/1.0.0", *options, log=tmp_path / "publish.log")
    time.sleep(moment_s)
    own_server.kill()
    own_server.start()
    publishing.wait(timeout=120)
    if publishing.returncode != 0:
        again = own_server.galerie("publish", noise, "killed/noise/1.0.0", *options, check=False)
        assert again.returncode == 0 or "exists already" in again.stderr, again.stderr

    def succeeded():
        shown = own_server.galerie("version", "show", "killed/noise/1.0.0", "-o", "json")
        return json.loads(shown.stdout)["properties"]["provisioningState"] == "Succeeded"

    wait_until("the version is whole", succeeded)
    assert_holds(own_server, "killed/noise/1.0.0", noise, tmp_path)
    own_server.galerie("store", "verify")
    assert "<Upload>" not in object_store.uploads_under_way()


def test_a_prefix_belongs_to_one_installation(s3_region, object_store, tmp_path):
    other = configured(object_store, tmp_path, "team/west")
    process = other.spawn()
    assert process.wait(timeout=60) not in (0, 101)
    assert "team/west" in other.log and "belongs to" in other.log, other.log


def test_keys_are_in_no_file_and_no_message(s3_region, tmp_path, object_store):
    secret = s3_server.KEYS["AWS_SECRET_ACCESS_KEY"]
    assert secret not in s3_region.log
    found = [path for path in s3_region.data_dir.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert found == []
    without = configured(object_store, tmp_path, "team/west")
    without._environment = {"AWS_ACCESS_KEY_ID": "AKIDTEST"}
    process = without.spawn()
    assert process.wait(timeout=60) not in (0, 101)
    assert "AWS_SECRET_ACCESS_KEY" in without.log and "credentials_file" in without.log, without.log


def test_keys_come_from_the_machine(object_store, tmp_path, raw_image):
    """A container's credentials, as a platform hands them out; nothing else says with which keys."""
    machine = machine_credentials.MachineCredentials(tmp_path)
    server = configured(object_store, tmp_path, unique("machine-"))
    with open(server._config, "a") as config:
        config.write("instance_credentials = true\n")
    server._environment = machine.environment
    try:
        server.start()
        publish(server, raw_image, "machine/web/1.0.0", "westeurope")
        assert_holds(server, "machine/web/1.0.0", raw_image, tmp_path)
        assert server.stop() == 0
    finally:
        machine.stop()
        if server.is_running:
            server.kill()
    assert machine.asked == [machine_credentials.TOKEN], "once, for as long as they are good"
    assert "machine-secret" not in server.log
