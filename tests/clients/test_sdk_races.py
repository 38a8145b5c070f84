"""Sixteen writers of one version by the Python SDK: with `If-Match` none is lost, without it the last one's regions are what there is."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from azure.core.exceptions import HttpResponseError

from galerie_server import Server
from sdk_clients import SdkClients

WRITERS = 16
GROUP = "raceRG"
PLACE = (GROUP, "race", "web", "1.0.0")


def region(writer: int) -> str:
    return f"region{writer:02}"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("races")
    config = folder / "galerie.toml"
    names = ["home", *map(region, range(WRITERS))]
    config.write_text('metrics_listen = "off"\n' + "".join(f'[[regions]]\nname = "{name}"\n' for name in names))
    server = Server(folder / "data", config).start()
    yield server
    assert server.stop() == 0, server.log[-4000:]


@pytest.fixture
def versions(server, raw_image):
    """The SDK's operations on versions; the version is in its home region only."""
    server.group(GROUP, "home")
    clients = SdkClients(server)
    versions = clients.compute.gallery_image_versions
    if not list(clients.compute.galleries.list_by_resource_group(GROUP)):
        server.galerie(
            "publish", raw_image, "race/web/1.0.0", "--create", "--os-type", "Linux", "--resource-group", GROUP,
            "--location", "home", "--target-region", "home",
        )  # fmt: skip
    versions.begin_update(*PLACE, patch(["home"])).result()
    return versions


def patch(regions: list[str]) -> dict:
    return {"properties": {"publishingProfile": {"targetRegions": [{"name": name} for name in regions]}}}


def read(versions) -> tuple[list[str], str]:
    """The target regions, and the entity tag of what was read."""
    heads = []
    version = versions.get(*PLACE, raw_response_hook=lambda reply: heads.append(reply.http_response.headers))
    return [target.name for target in version.publishing_profile.target_regions], heads[0]["ETag"]


def at_once(write) -> list:
    start = Barrier(WRITERS)

    def run(writer: int):
        start.wait(60)
        return write(writer)

    with ThreadPoolExecutor(WRITERS) as pool:
        return list(pool.map(run, range(WRITERS)))


def test_writers_that_say_what_they_saw_lose_nothing(versions):
    def add(writer: int) -> int:
        for tries in range(1, 200):
            regions, etag = read(versions)
            try:
                versions.begin_update(*PLACE, patch([*regions, region(writer)]), headers={"If-Match": etag}, polling=False)
                return tries
            except HttpResponseError as refused:
                assert refused.status_code == 412, refused
        raise AssertionError(f"writer {writer} never got through")

    assert sum(at_once(add)) > WRITERS, "they did not meet"
    regions, _ = read(versions)
    assert set(regions) == {"home", *map(region, range(WRITERS))}
    assert versions.begin_update(*PLACE, {"tags": {"race": "over"}}).result().provisioning_state == "Succeeded"


def test_without_a_condition_the_last_one_replaces_the_others(versions):
    before, _ = read(versions)
    assert before == ["home"]
    at_once(lambda writer: versions.begin_update(*PLACE, patch(["home", region(writer)]), polling=False))
    regions, _ = read(versions)
    assert len(regions) == 2 and regions[0] == "home", "a list is replaced, never merged"
