"""The Azure CLI, unmodified: galleries that are shared directly and with the community, and what consumers make of them.

The owner is the first administrator; a sibling works in another subscription of its tenant, a stranger in a tenant of its own.
Each has an az of its own. Deletes come last.
"""

import json

import pytest

import disk_images
import storage
from az_cli import Az

GROUP = "mySharingRG"
SHARED = "mySharedGallery"
COMMUNITY = "myCommunityGallery"
DEFINITION = "web"
SOMEBODY = "34a4ab42-0d72-47d9-bd1a-aed207386dac"
MISSING = 3


def share(operation: str, gallery: str = SHARED) -> str:
    return f"sig share {operation} -g {GROUP} -r {gallery}"


@pytest.fixture(scope="module")
def disk(az, vhd_image):
    """A disk to make versions from."""
    az(f"group create -n {GROUP} -l eastus")
    az(
        f"disk create -g {GROUP} -n mySource -l eastus --os-type Linux --upload-type Upload --hyper-v-generation V2"
        f" --upload-size-bytes {vhd_image.stat().st_size} --sku Standard_LRS"
    )
    sas = az(f"disk grant-access -g {GROUP} -n mySource --duration-in-seconds 3600 --access-level Write")["accessSAS"]
    storage.upload_vhd(sas, vhd_image)
    az(f"disk revoke-access -g {GROUP} -n mySource")
    return az(f"snapshot create -g {GROUP} -n mySourceSnapshot --source mySource")


@pytest.fixture(scope="module")
def sibling(server, tmp_path_factory):
    """az in another subscription of the owner's tenant."""
    made = json.loads(server.galerie("subscription", "create", "Staging", "-o", "json").stdout)[0]
    az = Az(server, tmp_path_factory.mktemp("sibling"))
    az(f"account set -s {made['subscriptionId']}")
    az(f"group create -n {GROUP} -l eastus")
    yield az
    az.close()


@pytest.fixture(scope="module")
def stranger(server, tmp_path_factory):
    """az in a tenant of its own."""
    made = json.loads(server.galerie("tenant", "create", "Research", "-o", "json").stdout)
    az = Az(server, tmp_path_factory.mktemp("stranger"))
    az("account clear")
    az(f"login --service-principal -u {made['clientId']} --tenant {made['tenantId']} -p", made["clientSecret"])
    az(f"group create -n {GROUP} -l eastus")
    yield az
    az.close()


def fill(az, gallery: str) -> None:
    """A definition with two versions, the first of which is in two regions."""
    az(
        f"sig image-definition create -g {GROUP} -r {gallery} -i {DEFINITION} --publisher p --offer {gallery} --sku s"
        " --os-type Linux --os-state Generalized"
    )
    for version, regions in (("1.0.0", "eastus westus"), ("1.1.0", "eastus")):
        az(
            f"sig image-version create -g {GROUP} -r {gallery} -i {DEFINITION} -e {version}"
            f" --os-snapshot mySourceSnapshot --target-regions {regions}"
        )


@pytest.fixture(scope="module")
def shared(az, disk):
    gallery = az(f"sig create -g {GROUP} -r {SHARED} -l eastus --permissions Groups")
    fill(az, SHARED)
    return gallery


@pytest.fixture(scope="module")
def unique_name(shared):
    return shared["identifier"]["uniqueName"]


@pytest.fixture(scope="module")
def community(az, disk):
    gallery = az(
        f"sig create -g {GROUP} -r {COMMUNITY} -l eastus --permissions Community --publisher-uri https://example.com"
        " --publisher-email images@example.com --eula https://example.com/eula --public-name-prefix galerie"
    )
    fill(az, COMMUNITY)
    return gallery


@pytest.fixture(scope="module")
def public_name(community):
    return community["sharingProfile"]["communityGalleryInfo"]["publicNames"][0]


def names(documents: list) -> list[str]:
    return sorted(document["name"] for document in documents)


def groups_of(az) -> dict[str, list[str]]:
    profile = az(f"sig show -g {GROUP} -r {SHARED} --sharing-groups")["sharingProfile"]
    return {group["type"]: group["ids"] for group in profile.get("groups") or []}


def test_groups_are_added_and_removed(az, server, shared):
    tenant = server.admin["tenantId"]
    assert shared["sharingProfile"]["permissions"] == "Groups"
    az(f"{share('add')} --subscription-ids {SOMEBODY} --tenant-ids {tenant}")
    az(f"{share('wait')} --updated")
    assert groups_of(az) == {"Subscriptions": [SOMEBODY], "AADTenants": [tenant]}
    az(f"{share('remove')} --subscription-ids {SOMEBODY}")
    assert groups_of(az) == {"AADTenants": [tenant]}
    assert "is not shared with" in az.fails(f"{share('remove')} --subscription-ids {SOMEBODY}").message
    assert "is not the GUID" in az.fails(f"{share('add')} --subscription-ids nonsense").message
    own = az.fails(f"{share('add')} --subscription-ids {server.admin['subscriptionId']}")
    assert "owns the gallery" in own.message
    permissions = az(f"sig show -g {GROUP} -r {SHARED} --select permissions")["sharingProfile"]["permissions"]
    assert permissions == "Groups"


def test_an_update_does_not_change_how_a_gallery_is_shared(az, shared):
    az(f"sig update -g {GROUP} -r {SHARED} --set description=reviewed")
    failure = az.fails(f"sig update -g {GROUP} -r {SHARED} --permissions Private")
    assert "PropertyChangeNotAllowed" in failure.message


def test_what_is_shared_is_seen(az, server, shared, unique_name):
    az(f"{share('add')} --tenant-ids {server.admin['tenantId']}")
    listed = az("sig list-shared -l eastus --shared-to tenant")
    assert (listed[0]["name"], listed[0]["uniqueId"]) == (unique_name, f"/SharedGalleries/{unique_name}")
    assert az("sig list-shared -l eastus") == []
    assert az(f"sig show-shared -l eastus --gallery-unique-name {unique_name}")["location"] == "eastus"
    in_gallery = f"-l eastus --gallery-unique-name {unique_name}"
    assert names(az(f"sig image-definition list-shared {in_gallery} --shared-to tenant")) == [DEFINITION]
    definition = az(f"sig image-definition show-shared {in_gallery} -i {DEFINITION}")
    assert (definition["osType"], definition["identifier"]["publisher"]) == ("Linux", "p")
    assert names(az(f"sig image-version list-shared {in_gallery} -i {DEFINITION}")) == ["1.0.0", "1.1.0"]
    version = az(f"sig image-version show-shared {in_gallery} -i {DEFINITION} -e 1.1.0")
    assert version["uniqueId"] == f"/SharedGalleries/{unique_name}/Images/{DEFINITION}/Versions/1.1.0"
    elsewhere = f"-l westus --gallery-unique-name {unique_name} -i {DEFINITION}"
    assert names(az(f"sig image-version list-shared {elsewhere}")) == ["1.0.0"]
    assert az.fails(f"sig image-version show-shared {elsewhere} -e 1.1.0").code == MISSING


def test_a_disk_from_a_shared_image(az, server, shared, unique_name):
    az(f"{share('add')} --tenant-ids {server.admin['tenantId']}")
    reference = f"/SharedGalleries/{unique_name}/Images/{DEFINITION}/Versions/1.0.0"
    disk = az(f"disk create -g {GROUP} -n myDiskFromShared -l westus --gallery-image-reference {reference}")
    assert disk["provisioningState"] == "Succeeded"
    assert disk["creationData"]["galleryImageReference"]["sharedGalleryImageId"] == reference


def download(az, name: str, out):
    sas = az(f"disk grant-access -g {GROUP} -n {name} --duration-in-seconds 3600 --access-level Read")["accessSAS"]
    vhd = storage.download(sas, out)
    az(f"disk revoke-access -g {GROUP} -n {name}")
    return vhd


def test_another_subscription_of_the_tenant(az, sibling, shared, unique_name, raw_image, tmp_path):
    reference = f"/SharedGalleries/{unique_name}/Images/{DEFINITION}/Versions/1.1.0"
    create = f"disk create -g {GROUP} -n myDisk -l eastus --gallery-image-reference {reference}"
    az(share("reset"))
    assert sibling("sig list-shared -l eastus") == []
    assert "GalleryImageNotFound" in sibling.fails(create).message
    account = sibling("account show")["id"]
    az(f"{share('add')} --subscription-ids {account}")
    assert names(sibling("sig list-shared -l eastus")) == [unique_name]
    assert sibling(create)["provisioningState"] == "Succeeded"
    disk_images.assert_vhd_holds(download(sibling, "myDisk", tmp_path / "sibling.vhd"), raw_image)


def test_another_tenant(az, stranger, shared, unique_name, raw_image, tmp_path):
    reference = f"/SharedGalleries/{unique_name}/Images/{DEFINITION}/Versions/latest"
    create = f"disk create -g {GROUP} -n myDisk -l eastus --gallery-image-reference {reference}"
    assert stranger.fails(f"sig show-shared -l eastus --gallery-unique-name {unique_name}").code == MISSING
    assert "GalleryImageNotFound" in stranger.fails(create).message
    az(f"{share('add')} --tenant-ids {stranger('account show')['tenantId']}")
    assert names(stranger("sig list-shared -l eastus --shared-to tenant")) == [unique_name]
    assert stranger(create)["provisioningState"] == "Succeeded"
    # Its bytes are its own: they stay when the share is gone.
    az(share("reset"))
    disk_images.assert_vhd_holds(download(stranger, "myDisk", tmp_path / "stranger.vhd"), raw_image)
    assert "GalleryImageNotFound" in stranger.fails(create.replace("myDisk", "myOtherDisk")).message


def test_a_reset_takes_everything_away_and_can_be_undone(az, server, shared, unique_name):
    tenant = server.admin["tenantId"]
    az(f"{share('add')} --tenant-ids {tenant}")
    az(share("reset"))
    assert az(f"sig show -g {GROUP} -r {SHARED} --select permissions")["sharingProfile"]["permissions"] == "Private"
    assert az.fails(f"sig show-shared -l eastus --gallery-unique-name {unique_name}").code == MISSING
    az(f"{share('add')} --tenant-ids {tenant}")
    assert groups_of(az) == {"AADTenants": [tenant]}


def test_a_community_gallery(az, community, public_name):
    info = community["sharingProfile"]["communityGalleryInfo"]
    assert (info["communityGalleryEnabled"], public_name.startswith("galerie-")) == (False, True)
    shown = f"-l eastus --public-gallery-name {public_name}"
    assert az.fails(f"sig show-community {shown}").code == MISSING
    assert public_name not in names(az("sig list-community"))
    az(share("enable-community", COMMUNITY))
    info = az(f"sig show -g {GROUP} -r {COMMUNITY}")["sharingProfile"]["communityGalleryInfo"]
    assert info["communityGalleryEnabled"] is True
    gallery = az(f"sig show-community {shown}")
    assert gallery["communityMetadata"]["publisherContact"] == "images@example.com"
    assert names(az("sig list-community")) == [public_name]
    assert names(az("sig list-community -l eastus")) == [public_name]
    assert az("sig list-community -l westus") == []
    assert names(az(f"sig image-definition list-community {shown}")) == [DEFINITION]
    assert az(f"sig image-definition show-community {shown} -i {DEFINITION}")["osType"] == "Linux"
    assert names(az(f"sig image-version list-community {shown} -i {DEFINITION}")) == ["1.1.0"]
    version = az(f"sig image-version show-community {shown} -i {DEFINITION} -e 1.0.0")
    assert version["uniqueId"] == f"/CommunityGalleries/{public_name}/Images/{DEFINITION}/Versions/1.0.0"


def test_a_stranger_finds_and_uses_a_community_image(az, stranger, community, public_name):
    az(share("enable-community", COMMUNITY))
    assert public_name in names(stranger("sig list-community"))
    stranger(f"sig create -g {GROUP} -r myConsumer -l eastus")
    stranger(
        f"sig image-definition create -g {GROUP} -r myConsumer -i {DEFINITION} --publisher p --offer {COMMUNITY} --sku s"
        " --os-type Linux --os-state Generalized"
    )
    version = f"-g {GROUP} -r myConsumer -i {DEFINITION} -e 9.9.9"
    # `image-version create` takes ids only.
    source = f"/CommunityGalleries/{public_name}/Images/{DEFINITION}/Versions/1.1.0"
    body = {
        "location": "eastus",
        "properties": {
            "storageProfile": {"source": {"communityGalleryImageId": source}},
            "publishingProfile": {"targetRegions": [{"name": "eastus"}, {"name": "westus"}]},
        },
    }
    group = stranger(f"group show -n {GROUP}")["id"]
    path = f"{group}/providers/Microsoft.Compute/galleries/myConsumer/images/{DEFINITION}/versions/9.9.9"
    stranger(f"rest --method put --url {path}?api-version=2024-03-03 --body", json.dumps(body))
    stranger(f"sig image-version wait {version} --created --interval 1")
    assert stranger(f"sig image-version show {version}")["provisioningState"] == "Succeeded"
    # The same publisher, offer and sku with a higher version, elsewhere: nothing changes for who uses the first one.
    shown = f"-l eastus --public-gallery-name {public_name} -i {DEFINITION}"
    assert names(az(f"sig image-version list-community {shown}")) == ["1.1.0"]


def test_a_disk_from_a_community_image(az, community, public_name):
    az(share("enable-community", COMMUNITY))
    reference = f"/CommunityGalleries/{public_name}/Images/{DEFINITION}/Versions/latest"
    disk = az(f"disk create -g {GROUP} -n myDiskFromCommunity -l eastus --gallery-image-reference {reference}")
    assert disk["creationData"]["galleryImageReference"]["communityGalleryImageId"] == reference


def test_a_published_gallery_must_be_reset_before_it_is_deleted(az, community):
    az(share("enable-community", COMMUNITY))
    for version in ("1.0.0", "1.1.0"):
        az(f"sig image-version delete -g {GROUP} -r {COMMUNITY} -i {DEFINITION} -e {version}")
    az(f"sig image-definition delete -g {GROUP} -r {COMMUNITY} -i {DEFINITION}")
    assert "shared with the community" in az.fails(f"sig delete -g {GROUP} -r {COMMUNITY}").message
    az(share("reset", COMMUNITY))
    assert az("sig list-community") == []
    az(f"sig delete -g {GROUP} -r {COMMUNITY}")
