"""What every test file shares: one server for the session, its clients, and images to put into it."""

import os
from pathlib import Path

import pytest
from azure.identity import ClientSecretCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient

import disk_images
from az_cli import Az
from tap import TappedServer


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    server = TappedServer(tmp_path_factory.mktemp("server") / "data").start()
    # The Python clients take the CA from the environment, as the documentation tells their users.
    os.environ["REQUESTS_CA_BUNDLE"] = server.ca_file
    yield server
    running = server.is_running
    code = server.stop() if running else None
    assert running, f"the server ended during the tests:\n{server.log[-4000:]}"
    assert code == 0, f"SIGTERM: exit code {code}\n{server.log[-4000:]}"
    assert "panicked" not in server.log
    server.tap.close()
    violations = server.tap.violations()
    assert not violations, f"requests or answers that are not as Azure describes them:\n{violations}"


@pytest.fixture(scope="session")
def az(server, tmp_path_factory):
    az = Az(server, tmp_path_factory.mktemp("az"))
    yield az
    az.close()


@pytest.fixture(scope="session")
def credential(server):
    admin = server.admin
    return ClientSecretCredential(
        admin["tenantId"], admin["clientId"], admin["clientSecret"], authority=server.endpoint, disable_instance_discovery=True
    )


@pytest.fixture(scope="session")
def compute(server, credential):
    return ComputeManagementClient(
        credential, server.admin["subscriptionId"], base_url=server.endpoint, credential_scopes=[f"{server.endpoint}/.default"]
    )


@pytest.fixture(scope="session")
def resources(server, credential):
    return ResourceManagementClient(
        credential, server.admin["subscriptionId"], base_url=server.endpoint, credential_scopes=[f"{server.endpoint}/.default"]
    )


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="session")
def raw_image(images) -> Path:
    return disk_images.bootable_image(images / "web.raw", "base")


@pytest.fixture(scope="session")
def next_raw_image(images) -> Path:
    """The same machine a week later: nearly all bytes as in `raw_image`."""
    return disk_images.bootable_image(images / "web-next.raw", "next")


@pytest.fixture(scope="session")
def vhd_image(images, raw_image) -> Path:
    return disk_images.convert(raw_image, images / "web.vhd", "vhd")
