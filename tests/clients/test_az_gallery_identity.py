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
    az(
        f"role assignment create --assignee-object-id {identity['principalId']} --role Reader --scope {scope}",
        "--assignee-principal-type", "ServicePrincipal",
    )  # fmt: skip
    # Whoever does not mention it keeps it.
    az(named("sig update"), "--set", "tags.team=web")
    assert az(named("sig show"))["identity"]["principalId"] == identity["principalId"]
    assert "managed identity" in az.fails(f"ad sp delete --id {identity['principalId']}").message

    failure = az.fails(named("sig identity assign"), "--user-assigned", NONE.format(gallery["id"].split("/")[2]))
    assert "not supported by this server" in failure.message

    az(named("sig delete"))
    assert az.fails(f"ad sp show --id {identity['principalId']}").code != 0
    assert az(f"role assignment list --scope {scope} --role Reader") == []
