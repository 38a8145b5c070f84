"""`galerie user|group|sp|tenant|subscription`, and what a person does with the link of the first start."""

import json
import re

import pytest
import requests

from browser import Browser
from galerie_server import Server

PASSWORD = "an analytical engine"


def told(server, *arguments):
    return json.loads(server.galerie(*arguments, "-o", "json").stdout)


def token(server, form: dict, tenant: str | None = None) -> requests.Response:
    tenant = tenant or server.admin["tenantId"]
    form = {"scope": f"{server.endpoint}/.default", "grant_type": "client_credentials"} | form
    return requests.post(f"{server.endpoint}/{tenant}/oauth2/v2.0/token", data=form, verify=server.ca_file, timeout=30)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("directory") / "data").start()
    yield server
    assert server.stop() == 0


def test_the_link_of_the_first_start_makes_an_administrator_once(fresh):
    link = re.search(r"(https://\S+/setup\?code=\w+)", fresh.log)[1]
    fresh.stop()
    fresh.start()
    assert len(re.findall(r"/setup\?code=", fresh.log)) == 1, "the link is good across restarts"
    link = re.sub(r"^https://[^/]+", fresh.endpoint, link)
    page = Browser(fresh.ca_file).open(link)
    page.press("make", user_name="ada", password=PASSWORD, password_again="another")
    assert "not the same" in page.page.text
    page.press("make", user_name="ada", password=PASSWORD, password_again=PASSWORD)
    assert "ada@galerie.internal" in page.page.text
    assert Browser(fresh.ca_file).open(link).page.status_code == 404
    assert PASSWORD not in fresh.log


def test_users(fresh):
    made = told(fresh, "user", "create", "grace", "--display-name", "Grace Hopper")
    assert made["userPrincipalName"] == "grace@galerie.internal" and len(made["password"]) >= 16
    assert made["password"] not in fresh.log
    fresh.galerie("user", "disable", "grace")
    [grace] = [user for user in told(fresh, "user", "list") if user["displayName"] == "Grace Hopper"]
    assert grace["accountEnabled"] is False
    fresh.galerie("user", "enable", "grace")
    assert "password" in fresh.galerie("user", "password", "grace").stdout
    fresh.galerie("user", "role", "grace", "--add", "application-administrator")
    fresh.galerie("user", "role", "grace", "--remove", "application-administrator")
    fresh.galerie("group", "create", "navy", "--description", "those who sail")
    fresh.galerie("group", "add", "navy", "grace")
    assert [member["id"] for member in told(fresh, "group", "members", "navy")] == [grace["id"]]
    fresh.galerie("group", "remove", "navy", "grace")
    assert told(fresh, "group", "members", "navy") == []
    fresh.galerie("group", "delete", "navy", "--yes")
    fresh.galerie("user", "delete", "grace", "--yes")
    assert "grace" not in fresh.galerie("user", "list").stdout


def test_service_principals(fresh):
    made = told(fresh, "sp", "create", "pipeline")
    first = {"client_id": made["appId"], "client_secret": made["password"]}
    assert token(fresh, first).status_code == 200
    second = told(fresh, "sp", "secret", "pipeline", "--replace")
    assert token(fresh, first).status_code == 401
    assert token(fresh, first | {"client_secret": second["password"]}).status_code == 200
    assert made["password"] not in fresh.log and second["password"] not in fresh.log
    fresh.galerie("sp", "delete", "pipeline", "--yes")
    assert token(fresh, first).json()["error"] == "unauthorized_client"


def test_tenants_and_subscriptions(fresh):
    made = told(fresh, "tenant", "create", "Research", "--domain", "research.example")
    assert {tenant["defaultDomain"] for tenant in told(fresh, "tenant", "list")} == {"galerie.internal", "research.example"}
    form = {"client_id": made["clientId"], "client_secret": made["clientSecret"]}
    assert token(fresh, form, "research.example").status_code == 200
    page = Browser(fresh.ca_file).open(made["link"])
    page.press("make", user_name="marie", password=PASSWORD, password_again=PASSWORD)
    assert "marie@research.example" in page.page.text
    assert "marie" not in fresh.galerie("user", "list").stdout, "another tenant's user"
    [subscription] = told(fresh, "subscription", "create", "Staging")
    assert subscription["subscriptionId"] in fresh.galerie("subscription", "list").stdout
    assert "new key will sign" in fresh.galerie("admin", "rotate-keys").stdout
    keys = requests.get(f"{fresh.endpoint}/common/discovery/v2.0/keys", verify=fresh.ca_file, timeout=30).json()["keys"]
    assert len(keys) == 2
