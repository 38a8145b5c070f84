"""Who somebody is, with the real Azure CLI: every way to sign in, and the directory that `az ad` looks after."""

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from az_cli import AZ_ENVIRONMENT, Az
from browser import Browser

USER, PASSWORD = "grace@galerie.internal", "a compiler of one's own"
MISSING = 3


@pytest.fixture(scope="module")
def person(az):
    """A user who may sign in."""
    return az(f"ad user create --display-name Grace --user-principal-name {USER} --password", PASSWORD)


class Shell:
    """A shell of somebody's own, where az knows the server and nobody is signed in."""

    def __init__(self, server, home: Path):
        home.mkdir()
        self._environment = Az._connect(server, home)
        self.run("account clear")

    def start(self, command: str, *arguments: str, **environment: str) -> subprocess.Popen:
        line = [AZ_ENVIRONMENT / "az", *command.split(), *arguments, "--output", "json"]
        return subprocess.Popen(
            line, env=self._environment | environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )  # fmt: skip

    def run(self, command: str, *arguments: str, **environment: str):
        return self.result(self.start(command, *arguments, **environment))

    @staticmethod
    def result(process: subprocess.Popen):
        out, errors = process.communicate(timeout=180)
        assert process.returncode == 0, errors
        return json.loads(out) if out.strip() else None


@pytest.fixture
def shell(server, tmp_path):
    return Shell(server, tmp_path / "home")


def test_a_service_principal_signs_in_by_its_secret_and_by_its_certificate(az, server, shell, tmp_path):
    made = az("ad sp create-for-rbac -n pipeline")
    assert made["tenant"] == server.admin["tenantId"]
    login = "login --service-principal --allow-no-subscriptions --tenant " + made["tenant"] + " -u "
    shell.run(login + made["appId"], "-p", made["password"])

    reset = az(f"ad sp credential reset --id {made['appId']} --display-name next --append")
    assert len(az(f"ad sp credential list --id {made['appId']}")) == 1
    assert [key["displayName"] for key in az(f"ad app credential list --id {made['appId']}")] == ["rbac"]
    shell.run(login + made["appId"], "-p", reset["password"])
    key = az(f"ad app credential list --id {made['appId']}")[0]["keyId"]
    az(f"ad app credential delete --id {made['appId']} --key-id {key}")
    shell.run("account clear")  # az keeps tokens by client id, whatever the secret
    refused = shell.start(login + made["appId"], "-p", made["password"])
    assert refused.wait(timeout=60) != 0 and "AADSTS7000215" in refused.stderr.read()

    certified = az("ad sp create-for-rbac -n certified --create-cert")
    pem = Path(certified["fileWithCertAndPrivateKey"])
    try:
        shell.run(login + certified["appId"], "--certificate", str(pem))
        token = shell.run("account get-access-token --resource-type ms-graph")
        assert token["tenant"] == made["tenant"]
    finally:
        pem.unlink()
    assert len(az(f"ad app credential list --id {certified['appId']} --cert")) == 1

    az(f"ad sp delete --id {made['appId']}")
    az(f"ad app delete --id {made['appId']}")
    assert az(f"ad sp list --spn {made['appId']}") == []
    assert az.fails(f"ad sp show --id {made['appId']}").code == MISSING


def test_a_user_signs_in_by_a_device_code(server, shell, person):
    login = shell.start("login --use-device-code --allow-no-subscriptions --tenant", server.admin["tenantId"])
    message = ""
    while not (found := re.search(r"open the page (\S+) and enter the code (\S+) ", message)):
        line = login.stderr.readline()
        assert line, message
        message += line
    browser = Browser(server.ca_file).open(found[1])
    browser.press("next", user_code=found[2])
    assert "Azure CLI" in browser.page.text and "127.0.0.1" in browser.page.text
    browser.press("approve", user_name=USER, password=PASSWORD)
    assert browser.page.status_code == 200, browser.page.text
    accounts = Shell.result(login)
    assert {account["user"]["name"] for account in accounts} == {USER}
    me = shell.run("ad signed-in-user show")
    assert (me["id"], me["userPrincipalName"]) == (person["id"], USER)


def in_the_browser(user: str, password: str) -> dict:
    browser = f"{sys.executable} {Path(__file__).with_name('browser.py')} %s &"
    return {"BROWSER": browser, "DISPLAY": ":0", "GALERIE_TEST_USER": user, "GALERIE_TEST_PASSWORD": password}


def test_a_user_signs_in_in_the_browser(shell, person):
    # Without a tenant: the user's name decides.
    accounts = shell.run("login --allow-no-subscriptions", **in_the_browser(USER, PASSWORD))
    assert {account["user"]["name"] for account in accounts} == {USER}
    # From the session: a token for Graph, which was not asked for when signing in.
    assert shell.run("ad signed-in-user show")["userPrincipalName"] == USER
    denied = shell.start("ad user create --display-name X --user-principal-name x@galerie.internal --password", "long enough")
    assert denied.wait(timeout=60) != 0 and "Insufficient privileges" in denied.stderr.read()


def test_whoever_follows_the_link_owns_the_gallery(server, shell, person):
    link = re.search(r"(https://\S+/setup\?code=\w+)", server.log)[1]
    page = Browser(server.ca_file).open(link).press("make", user_name="root", password=PASSWORD, password_again=PASSWORD)
    assert "root@galerie.internal" in page.page.text
    accounts = shell.run("login", **in_the_browser("root@galerie.internal", PASSWORD))
    # Others made subscriptions on this server, too.
    assert server.admin["subscriptionId"] in {account["id"] for account in accounts}
    shell.run("account set -s", server.admin["subscriptionId"])
    scope = shell.run("group create -n rootRG -l eastus")["id"]
    shell.run(f"role assignment create --role Reader --scope {scope} --assignee", USER)
    [assignment] = shell.run(f"role assignment list --scope {scope}")
    assert (assignment["principalName"], assignment["principalType"]) == (USER, "User")
    made = shell.run(f"ad sp create-for-rbac -n reader --role Reader --scopes {scope}")
    reader = "login --service-principal --tenant " + made["tenant"] + " -u " + made["appId"]
    shell.run("account clear")
    shell.run(reader, "-p", made["password"])
    assert shell.run("group show -n rootRG")["id"] == scope
    denied = shell.start("group delete -y -n rootRG")
    assert denied.wait(timeout=60) != 0 and "AuthorizationFailed" in denied.stderr.read()


def test_users_groups_and_owners(az, person):
    assert az(f"ad user show --id {USER}")["id"] == person["id"]
    assert [user["displayName"] for user in az("ad user list --display-name gra")] == ["Grace"]
    az(f"ad user update --id {USER} --display-name", "Grace H.")
    assert az(f"ad user list --upn {USER}")[0]["displayName"] == "Grace H."

    group = az("ad group create --display-name navy --mail-nickname navy")
    assert az("ad group create --display-name navy --mail-nickname navy")["id"] == group["id"], "az finds the first one"
    az(f"ad group member add --group {group['id']} --member-id {person['id']}")
    assert az(f"ad group member check --group {group['id']} --member-id {person['id']}")["value"]
    assert [member["id"] for member in az(f"ad group member list --group {group['id']}")] == [person["id"]]
    assert az(f"ad user get-member-groups --id {USER}") == [{"id": group["id"], "displayName": "navy"}]
    az(f"ad group owner add --group {group['id']} --owner-object-id {person['id']}")
    assert person["id"] in [owner["id"] for owner in az(f"ad group owner list --group {group['id']}")]
    az(f"ad group member remove --group {group['id']} --member-id {person['id']}")
    assert not az(f"ad group member check --group {group['id']} --member-id {person['id']}")["value"]
    az(f"ad group delete --group {group['id']}")
    assert az("ad group list --display-name navy") == []


def test_applications(az, person):
    app = az("ad app create --display-name portal --identifier-uris api://portal --web-redirect-uris https://portal.example/cb")
    assert az("ad app show --id api://portal")["appId"] == app["appId"]
    assert az("ad app list --display-name port")[0]["web"]["redirectUris"] == ["https://portal.example/cb"]
    az(f"ad app update --id {app['appId']} --sign-in-audience AzureADMultipleOrgs")
    assert az(f"ad app show --id {app['appId']}")["signInAudience"] == "AzureADMultipleOrgs"
    az(f"ad app owner add --id {app['appId']} --owner-object-id {person['id']}")
    assert person["id"] in [owner["id"] for owner in az(f"ad app owner list --id {app['appId']}")]
    az(f"ad sp create --id {app['appId']}")
    assert app["appId"] in az(f"ad sp show --id api://portal")["servicePrincipalNames"]
    az(f"ad app delete --id {app['appId']}")
    assert az(f"ad app list --app-id {app['appId']}") == []


def test_secrets_are_in_no_log(az, server, person):
    made = az("ad sp create-for-rbac -n canary")
    log = server.log
    for secret in (made["password"], PASSWORD, server.admin["clientSecret"]):
        assert secret not in log
    az(f"ad app delete --id {made['appId']}")


def test_roles_of_an_application_are_in_the_tokens_for_it(az, server, shell, tmp_path):
    role = {
        "id": "7ea5a3a0-5a3c-4f2a-9f5e-1d1d3ef0b7a1", "value": "Images.Import", "displayName": "Importer",
        "description": "Imports images", "allowedMemberTypes": ["Application"], "isEnabled": True,
    }  # fmt: skip
    (tmp_path / "roles.json").write_text(json.dumps([role]))
    app = az(f"ad app create --display-name images --identifier-uris api://images --app-roles @{tmp_path}/roles.json")
    resource = az(f"ad sp create --id {app['appId']}")
    client = az("ad sp create-for-rbac -n importer")
    principal = az(f"ad sp show --id {client['appId']}")
    graph = f"{server.endpoint}/msgraph/v1.0/servicePrincipals"
    body = json.dumps({"principalId": principal["id"], "resourceId": resource["id"], "appRoleId": role["id"]})
    given = az(f"rest --resource {server.endpoint}/msgraph --method post --url {graph}/{resource['id']}/appRoleAssignedTo --body", body)
    assert (given["principalDisplayName"], given["principalType"]) == ("importer", "ServicePrincipal")
    again = az.fails(f"rest --resource {server.endpoint}/msgraph --method post --url {graph}/{principal['id']}/appRoleAssignments --body", body)
    assert "Permission being assigned already exists" in again.message

    def sign_in_anew():
        shell.run("account clear")  # az keeps tokens
        login = f"login --service-principal --allow-no-subscriptions --tenant {client['tenant']} -u {client['appId']}"
        shell.run(login, "-p", client["password"])

    def roles(audience):
        sign_in_anew()
        token = shell.run(f"account get-access-token --scope {audience}/.default")["accessToken"].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        assert claims["aud"] == audience
        return claims.get("roles")

    assert roles("api://images") == roles(app["appId"]) == ["Images.Import"]
    az(f"rest --resource {server.endpoint}/msgraph --method delete --url {graph}/{resource['id']}/appRoleAssignedTo/{given['id']}")
    assert roles("api://images") is None
    az(f"ad app delete --id {app['appId']}")
    sign_in_anew()
    refused = shell.start("account get-access-token --scope api://images/.default")
    assert refused.wait(timeout=60) != 0 and "AADSTS500011" in refused.stderr.read()
    az(f"ad sp delete --id {client['appId']}")
