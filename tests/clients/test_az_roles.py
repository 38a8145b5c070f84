"""Roles with the Azure CLI, unmodified: definitions, assignments, and what they change for whoever has them.

Object ids are given with their type, so that az looks nobody up. A test of a list looks for what it made: other files share
the server.
"""

import json
import uuid

import pytest

from az_cli import Az
from galerie_server import Server

READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
GROUP = "rolesRG"


@pytest.fixture(scope="module")
def group(az):
    return az(f"group create -n {GROUP} -l eastus")


@pytest.fixture(scope="module")
def gallery(az, group):
    return az(f"sig create -g {GROUP} -r rolesGallery")


@pytest.fixture(scope="module")
def principal(az):
    """A service principal without any role, as az makes one."""
    made = az("ad sp create-for-rbac -n roles-test")
    shown = az(f"ad sp show --id {made['appId']}")
    return made | {"objectId": shown["id"]}


def assignee(principal) -> str:
    return f"--assignee-object-id {principal['objectId']} --assignee-principal-type ServicePrincipal"


def listed(az, principal, *arguments) -> list:
    found = az("role assignment list --fill-principal-name false --all", *arguments)
    return [one for one in found if one["principalId"] == principal["objectId"]]


def test_built_in_roles_are_listed(az):
    roles = {role["roleName"]: role for role in az("role definition list")}
    assert roles["Reader"]["name"] == READER
    assert roles["Compute Gallery Sharing Admin"]["permissions"][0]["actions"] == ["Microsoft.Compute/galleries/share/action"]
    assert [role["roleName"] for role in az("role definition list -n Owner")] == ["Owner"]
    assert az("role definition list --custom-role-only true") == []


def test_a_custom_role_is_made_changed_and_deleted(az, server, group):
    scope = f"/subscriptions/{server.admin['subscriptionId']}"
    role = {
        "Name": "Image Watcher",
        "Description": "Sees versions",
        "Actions": ["Microsoft.Compute/galleries/images/versions/read"],
        "AssignableScopes": [scope],
    }
    made = az("role definition create --role-definition", json.dumps(role))
    assert made["roleType"] == "CustomRole" and made["assignableScopes"] == [scope]
    made["permissions"][0]["actions"].append("Microsoft.Compute/galleries/images/read")
    changed = az("role definition update --role-definition", json.dumps(made))
    assert len(changed["permissions"][0]["actions"]) == 2
    assert [found["roleName"] for found in az("role definition list --custom-role-only true")] == ["Image Watcher"]
    refused = az.fails("role definition create --role-definition", json.dumps(role | {"Actions": ["Microsoft.Compute/galeries/read"]}))
    assert "Microsoft.Compute/galeries/read" in refused.message
    az("role definition delete -n", "Image Watcher")
    assert az("role definition list --custom-role-only true") == []


def test_assignments_are_made_listed_and_deleted_at_every_scope(az, server, principal, group, gallery):
    subscription = f"/subscriptions/{server.admin['subscriptionId']}"
    for scope in ["/", subscription, group["id"], gallery["id"]]:
        made = az(f"role assignment create {assignee(principal)} --role Reader --scope", scope)
        assert (made["scope"], made["principalId"]) == (scope, principal["objectId"])
        assert made["roleDefinitionId"].endswith(READER)
    assert {one["scope"] for one in listed(az, principal)} == {"/", subscription, group["id"], gallery["id"]}
    at_group = az(f"role assignment list --fill-principal-name false --scope {group['id']}")
    assert [one["scope"] for one in at_group] == [group["id"]]
    inherited = az(f"role assignment list --fill-principal-name false --include-inherited --scope {group['id']}")
    mine = {one["scope"] for one in inherited if one["principalId"] == principal["objectId"]}
    assert mine == {"/", subscription, group["id"]}
    by_group = az(f"role assignment list --fill-principal-name false -g {GROUP}")
    assert [one["scope"] for one in by_group] == [group["id"]]

    az(f"role assignment delete --assignee {principal['objectId']} --role Reader --scope", group["id"])
    az("role assignment delete --ids", *[one["id"] for one in listed(az, principal)])
    assert listed(az, principal) == []


def test_what_cannot_be_is_refused_by_name(az, server, principal, group):
    create = f"role assignment create --role Reader --scope {group['id']}"
    nobody = f"--assignee-object-id {uuid.uuid4()} --assignee-principal-type ServicePrincipal"
    assert "does not exist in the directory" in az.fails(f"{create} {nobody}").message
    conditional = az.fails(f"{create} {assignee(principal)} --condition", "((!(ActionMatches{'x'})))", "--condition-version", "2.0")
    assert "Conditions on role assignments are not supported" in conditional.message
    absent = az.fails(f"role assignment create --role Reader {assignee(principal)} --scope", f"{group['id']}none")
    assert "could not be found" in absent.message


def test_the_last_owner_stays(tmp_path):
    """On a server of its own: where there is another Owner, this one would go."""
    server = Server(tmp_path / "data").start()
    (tmp_path / "az").mkdir()
    az = Az(server, tmp_path / "az")
    try:
        owner = az.fails("role assignment delete --scope / --role Owner")
        assert "Cannot delete the last RBAC admin assignment" in owner.message
        assert az("group create -n rg -l eastus")["name"] == "rg"
    finally:
        az.close()
        server.stop()


def test_a_role_is_all_that_its_holder_has(az, server, principal, group, gallery, tmp_path_factory):
    made = az(f"role assignment create {assignee(principal)} --role Reader --scope", gallery["id"])
    reader = Az(server, tmp_path_factory.mktemp("reader"))
    try:
        login = f"login --service-principal --tenant {principal['tenant']} -u {principal['appId']}"
        assert [one["id"] for one in reader(login, "-p", principal["password"])] == [server.admin["subscriptionId"]]
        assert [one["name"] for one in reader("sig list")] == ["rolesGallery"]
        assert reader("group list") == []
        refused = reader.fails(f"sig create -g {GROUP} -r another -l eastus")
        assert "AuthorizationFailed" in refused.message and "Microsoft.Compute/galleries/write" in refused.message
        absent = reader.fails(f"sig show -g {GROUP} -r absent")
        assert "AuthorizationFailed" in absent.message
        # The next request of its holder is without it.
        az("role assignment delete --ids", made["id"])
        assert "AuthorizationFailed" in reader.fails(f"sig show -g {GROUP} -r rolesGallery").message
    finally:
        reader.close()
