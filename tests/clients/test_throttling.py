"""Servers with Azure's budgets of requests: az and the Python SDK get through by waiting as long as they are told."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from az_cli import Az
from galerie_server import Server
from sdk_clients import SdkClients

# More than a bucket of reads holds, and than comes back meanwhile.
READS = 400
# Others who use the same account, so that az, which is slow, meets an empty bucket.
OTHERS = 4
AZ_READS = 60


@pytest.fixture
def throttled(tmp_path):
    server = Server(tmp_path / "data", options=("--throttling", "azure")).start()
    yield server
    assert server.stop() == 0, server.log[-4000:]


def refusals(server: Server, agent: str = "") -> int:
    """Answers of 429 to a kind of client in the log of requests."""
    return sum(agent in line and bool(re.search(r"status.{0,10}=.{0,10}429", line)) for line in server.log.splitlines())


def test_the_sdk_gets_through(throttled):
    clients = SdkClients(throttled)
    clients.resources.resource_groups.create_or_update("budget", {"location": "eastus"})
    assert all(clients.resources.resource_groups.check_existence("budget") for _ in range(READS))
    assert refusals(throttled) > 0, "nothing was throttled"


def test_az_gets_through(throttled, tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "REQUESTS_CA_BUNDLE", throttled.ca_file)
    group = throttled.group("budget")
    az, enough = Az(throttled, tmp_path / "az"), Event()

    def use_up() -> None:
        # Until az was refused once: it does not try for ever.
        while not enough.is_set() and not refusals(throttled, "AZURECLI"):
            assert throttled.request("GET", group).status_code in (200, 429)

    with ThreadPoolExecutor(OTHERS) as pool:
        others = [pool.submit(use_up) for _ in range(OTHERS)]
        try:
            assert all(az("group exists -n budget") for _ in range(AZ_READS))
        finally:
            enough.set()
            az.close()
        assert [other.result() for other in others] == [None] * OTHERS
    assert refusals(throttled, "AZURECLI") > 0, "nothing of az's was throttled"


def test_a_refusal_says_what_azures_does(throttled):
    path = f"{throttled.subscription}/resourceGroups/budget"
    throttled.put(path, {"location": "eastus"})
    gallery = f"{path}/providers/Microsoft.Compute/galleries/budget"
    replies = [throttled.request("PUT", gallery, {"location": "eastus"}) for _ in range(51)]
    assert {reply.status_code for reply in replies[:50]} == {200, 201}
    left = [reply.headers["x-ms-ratelimit-remaining-resource"] for reply in replies[:2]]
    name = "Microsoft.Compute/CreateUpdateGallery"
    assert left == [f"{name}3Min;49,{name}30Min;299", f"{name}3Min;48,{name}30Min;298"]
    refused = replies[50]
    assert refused.status_code == 429 and 1 <= int(refused.headers["Retry-After"]) <= 180
    error = refused.json()["error"]
    assert (error["code"], error["details"][0]["target"]) == ("OperationNotAllowed", "CreateUpdateGallery3Min")
