"""A gallery's identity by `az sig identity`: made, given a role, kept, refused to others, gone with the gallery."""

import pytest

GROUP = "identityRG"
GALLERY = "identityGallery"
NONE = "/subscriptions/{}/resourceGroups/identityRG/providers/Microsoft.ManagedIdentity/userAssignedIdentities/nobody"


def named(command: str) -> str:
    return f"{command} -g {GROUP} -r {GALLERY}"


@pytest.fixture(scope="module")
def gallery(az, server):
    server.group(GROUP)
    return az(named("sig create"))


def test_a_system_assigned_identity_is_a_principal_that_takes_roles(az, server, gallery):
    az(named("sig identity assign"), "--system-assigned")
    identity = az(named("sig show"))["identity"]
    assert identity["type"] == "SystemAssigned"
    principal = az(f"ad sp show --id {identity['principalId']}")
    assert principal["displayName"] == GALLERY and principal["servicePrincipalType"] == "ManagedIdentity"
    scope = f"{server.subscription}/resourceGroups/{GROUP}"

    def make_reader(principal: str):
        command = f"role assignment create --assignee-object-id {principal} --role Reader --scope {scope}"
        az(command, "--assignee-principal-type", "ServicePrincipal")

    make_reader(identity["principalId"])
    # Whoever does not mention it keeps it.
    az(named("sig update"), "--set", "tags.team=web")
    assert az(named("sig show"))["identity"]["principalId"] == identity["principalId"]
    assert "managed identity" in az.fails(f"ad sp delete --id {identity['principalId']}").message

    failure = az.fails(named("sig identity assign"), "--user-assigned", NONE.format(gallery["id"].split("/")[2]))
    assert "not supported by this server" in failure.message

    assert az(named("sig identity show"))["principalId"] == identity["principalId"]
    # az 2.91's `identity remove` sends the identity back as it is, and its `--set` takes None for nothing.
    assert server.request("PATCH", gallery["id"], {"identity": {"type": "None"}}).status_code == 200
    assert "identity" not in az(named("sig show"))
    assert az.fails(f"ad sp show --id {identity['principalId']}").code != 0
    assert az(f"role assignment list --scope {scope} --role Reader") == []

    az(named("sig identity assign"), "--system-assigned")
    again = az(named("sig identity show"))["principalId"]
    assert again != identity["principalId"]
    make_reader(again)
    az(named("sig delete"))
    assert az.fails(f"ad sp show --id {again}").code != 0
    assert az(f"role assignment list --scope {scope} --role Reader") == []
