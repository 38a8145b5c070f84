"""In-VM access control profiles, as the Azure CLI makes and changes them. Its JSON has names with dashes."""

import json

import pytest

GROUP = "profileRG"
GALLERY = "profileGallery"
PROFILE = "sig in-vm-access-control-profile"
RULES = {
    "privileges": [{"name": "GoalState", "path": "/machine", "query-parameters": {"comp": "goalstate"}}],
    "roles": [{"name": "Provisioning", "privileges": ["GoalState"]}],
    "identities": [{"name": "Agent", "user-name": "root", "exe-path": "/usr/sbin/waagent"}],
    "role-assignments": [{"role": "Provisioning", "identities": ["Agent"]}],
}


def named(command: str, profile: str = "web") -> str:
    return f"{command} -g {GROUP} --gallery-name {GALLERY} --name {profile}"


def versioned(command: str, version: str = "1.0.0") -> str:
    where = f"-g {GROUP} --gallery-name {GALLERY} --profile-name web"
    return f"sig in-vm-access-control-profile-version {command} {where} --version-name {version}"


@pytest.fixture(scope="module")
def profile(az, server):
    server.group(GROUP)
    az(f"sig create -g {GROUP} -r {GALLERY}")
    return az(f"{named(f'{PROFILE} create')} --os-type Linux --applicable-host-endpoint WireServer")


@pytest.fixture(scope="module")
def version(az, profile):
    return az(
        f"{versioned('create')} --mode Audit --default-access Deny --target-regions eastus westus", "--rules", json.dumps(RULES)
    )


def test_a_profile(az, profile):
    properties = profile["properties"]
    assert (properties["osType"], properties["applicableHostEndpoint"]) == ("Linux", "WireServer")
    assert az(named(f"{PROFILE} show")) == profile
    assert [found["name"] for found in az(f"{PROFILE} list -g {GROUP} --gallery-name {GALLERY}")] == ["web"]
    updated = az(f"{named(f'{PROFILE} update')} --description reviewed")
    assert updated["properties"]["description"] == "reviewed" and updated["properties"]["osType"] == "Linux"


def test_a_version(az, version):
    assert version["mode"] == "Audit" and version["rules"]["roles"][0]["name"] == "Provisioning"
    assert [location["name"] for location in version["targetLocations"]] == ["East US", "West US"]
    assert az(f"{versioned('update')} --mode Enforce")["mode"] == "Enforce"
    assert az(versioned("show"))["mode"] == "Enforce"
    listed = az(f"{PROFILE}-version list -g {GROUP} --gallery-name {GALLERY} --profile-name web")
    assert [found["name"] for found in listed] == ["1.0.0"]
    broken = RULES | {"role-assignments": [{"role": "Nobody", "identities": ["Agent"]}]}
    failure = az.fails(f"{versioned('create', '2.0.0')} --mode Audit --default-access Deny", "--rules", json.dumps(broken))
    assert "'Nobody' is not among the names" in failure.message


def test_deletes_from_the_leaves_up(az, version):
    assert "nested resources" in az.fails(f"{named(f'{PROFILE} delete')} --yes").message
    az(f"{versioned('delete')} --yes")
    az(f"{named(f'{PROFILE} delete')} --yes")
    assert az(f"{PROFILE} list -g {GROUP} --gallery-name {GALLERY}") == []
