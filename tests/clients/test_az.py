"""The Azure CLI, unmodified, through the documentation's own steps and names.

Galleries, disks, a snapshot, versions from every source, replication, and a disk in another region whose bytes are the
ones that were uploaded. The fixtures are the steps; a test looks at what a step left behind. Deletes come last.
"""

import pytest

import disk_images
import storage

GROUP = "myGalleryRG"
GALLERY = "myGallery"
DEFINITION = "myImageDefinition"
REPLICAS = {"East US": 2, "West Europe": 1}
MISSING = 3


def in_gallery(command: str) -> str:
    return f"sig {command} -g {GROUP} -r {GALLERY}"


def in_definition(command: str) -> str:
    return f"{in_gallery(command)} -i {DEFINITION}"


@pytest.fixture(scope="module")
def group(az):
    return az(f"group create -n {GROUP} -l eastus --tags purpose=images")


@pytest.fixture(scope="module")
def gallery(az, group):
    return az(in_gallery("create"), "--description", "Images of the web team")


@pytest.fixture(scope="module")
def definition(az, gallery):
    return az(
        f"{in_definition('image-definition create')} --publisher myPublisher --offer myOffer --sku mySKU"
        " --os-type Linux --os-state Generalized"
    )  # fmt: skip


@pytest.fixture(scope="module")
def uploaded_disk(az, group, vhd_image):
    """A disk whose content came in over its SAS URL."""
    size_bytes = vhd_image.stat().st_size
    disk = az(
        f"disk create -g {GROUP} -n myUploadedDisk -l eastus --os-type Linux --upload-type Upload"
        f" --upload-size-bytes {size_bytes} --sku Standard_LRS --hyper-v-generation V2"
    )  # fmt: skip
    assert disk["diskState"] == "ReadyToUpload"

    sas = az(f"disk grant-access -g {GROUP} -n myUploadedDisk --duration-in-seconds 86400 --access-level Write")["accessSAS"]
    assert az(f"disk show -g {GROUP} -n myUploadedDisk")["diskState"] == "ActiveUpload"
    storage.upload_vhd(sas, vhd_image)

    az(f"disk revoke-access -g {GROUP} -n myUploadedDisk")
    return az(f"disk show -g {GROUP} -n myUploadedDisk")


@pytest.fixture(scope="module")
def snapshot(az, uploaded_disk):
    return az(f"snapshot create -g {GROUP} -n mySnapshot --source myUploadedDisk")


@pytest.fixture(scope="module")
def version(az, definition, snapshot):
    return az(
        f"{in_definition('image-version create')} -e 1.0.0 --os-snapshot mySnapshot"
        " --target-regions eastus=2 westeurope=1"
    )  # fmt: skip


@pytest.fixture(scope="module")
def managed_image(az, uploaded_disk):
    return az(f"image create -g {GROUP} -n myImage --source myUploadedDisk --os-type Linux --hyper-v-generation V2")


def test_the_account_is_ours(az, server):
    account = az("account show")
    assert account["id"] == server.admin["subscriptionId"]
    assert account["tenantId"] == server.admin["tenantId"]
    regions = {location["name"]: location["displayName"] for location in az("account list-locations")}
    assert {"eastus": "East US", "westus": "West US", "westeurope": "West Europe"}.items() <= regions.items()


def test_a_resource_group(az, group):
    assert group["properties"]["provisioningState"] == "Succeeded"
    assert az(f"group show -n {GROUP}")["tags"] == {"purpose": "images"}
    assert az(f"group exists -n {GROUP.upper()}") is True
    assert az("group exists -n no-such-group") is False
    assert GROUP in [found["name"] for found in az("group list")]


def test_the_provider_is_registered(az):
    assert az("provider show -n Microsoft.Compute")["registrationState"] == "Registered"
    az("provider register -n Microsoft.Compute --wait")
    assert "Microsoft.Compute" in [provider["namespace"] for provider in az("provider list")]


def test_a_gallery(az, gallery, server):
    assert gallery["provisioningState"] == "Succeeded"
    assert gallery["location"] == "eastus"
    assert gallery["identifier"]["uniqueName"] == f"{server.admin['subscriptionId']}-{GALLERY.upper()}"
    assert az(in_gallery("show")) == gallery
    assert GALLERY in [found["name"] for found in az("sig list")]
    assert [found["name"] for found in az(f"sig list -g {GROUP}")] == [GALLERY]


def test_a_gallery_update(az, gallery):
    updated = az(in_gallery("update"), "--set", "description=Images of the web team, reviewed", "tags.cost=team-42")
    assert updated["description"] == "Images of the web team, reviewed"
    assert updated["tags"] == {"cost": "team-42"}


def test_the_same_gallery_name_elsewhere_is_refused(az, gallery):
    az("group create -n myOtherRG -l westus")
    failure = az.fails(f"sig create -g myOtherRG -r {GALLERY.lower()}")
    assert "not unique within the subscription" in failure.message
    az("group delete -n myOtherRG -y")
    assert az("group exists -n myOtherRG") is False


def test_an_image_definition(az, definition):
    assert definition["provisioningState"] == "Succeeded"
    assert definition["identifier"] == {"publisher": "myPublisher", "offer": "myOffer", "sku": "mySKU"}
    assert definition["hyperVGeneration"] == "V2"
    assert az(in_definition("image-definition show")) == definition
    assert [found["name"] for found in az(in_gallery("image-definition list"))] == [DEFINITION]
    az(in_definition("image-definition wait") + " --exists --timeout 30")


def test_an_image_definition_update(az, definition):
    updated = az(in_definition("image-definition update"), "--set", "description=Debian with nginx")
    assert updated["description"] == "Debian with nginx"
    assert updated["features"] == definition["features"]


def test_an_immutable_property_stays(az, definition):
    failure = az.fails(in_definition("image-definition update"), "--set", "osType=Windows")
    assert "PropertyChangeNotAllowed" in failure.message
    assert "Changing property 'galleryImage.properties.osType' is not allowed" in failure.message


def test_an_uploaded_disk(az, uploaded_disk, raw_image):
    assert uploaded_disk["diskState"] == "Unattached"
    assert uploaded_disk["provisioningState"] == "Succeeded"
    assert uploaded_disk["diskSizeBytes"] == raw_image.stat().st_size
    assert uploaded_disk["osType"] == "Linux"
    assert "myUploadedDisk" in [disk["name"] for disk in az(f"disk list -g {GROUP}")]


def test_a_disk_update(az, uploaded_disk):
    assert az(f"disk update -g {GROUP} -n myUploadedDisk --set tags.role=source")["tags"] == {"role": "source"}


def test_an_empty_disk(az, group):
    disk = az(f"disk create -g {GROUP} -n myEmptyDisk --size-gb 4")
    assert (disk["diskState"], disk["diskSizeGB"], disk["sku"]["name"]) == ("Unattached", 4, "Premium_LRS")


def test_a_copied_disk(az, uploaded_disk):
    disk = az(f"disk create -g {GROUP} -n myCopiedDisk --source myUploadedDisk")
    assert disk["creationData"]["createOption"] == "Copy"
    assert disk["diskSizeBytes"] == uploaded_disk["diskSizeBytes"]


def test_a_snapshot(az, snapshot, uploaded_disk):
    assert snapshot["provisioningState"] == "Succeeded"
    assert snapshot["creationData"]["sourceResourceId"].lower() == uploaded_disk["id"].lower()
    assert az(f"snapshot show -g {GROUP} -n mySnapshot")["diskSizeBytes"] == uploaded_disk["diskSizeBytes"]
    assert "mySnapshot" in [found["name"] for found in az("snapshot list")]


def test_a_version_is_replicated(az, version):
    assert version["provisioningState"] == "Succeeded"
    shown = az(in_definition("image-version show") + " -e 1.0.0 --expand ReplicationStatus")
    regions = {region["name"]: region["regionalReplicaCount"] for region in shown["publishingProfile"]["targetRegions"]}
    assert regions == REPLICAS
    assert shown["publishingProfile"]["publishedDate"]
    assert shown["publishingProfile"]["storageAccountType"] == "Standard_LRS"
    assert shown["publishingProfile"]["excludeFromLatest"] is False
    assert shown["replicationStatus"]["aggregatedState"] == "Completed"
    summary = {region["region"]: (region["state"], region["progress"]) for region in shown["replicationStatus"]["summary"]}
    assert summary == {name: ("Completed", 100) for name in REPLICAS}
    assert "1.0.0" in [found["name"] for found in az(in_definition("image-version list"))]


def test_a_version_update_adds_and_removes_a_region(az, version):
    update = in_definition("image-version update") + " -e 1.0.0"
    az(update + " --target-regions eastus=2 westeurope=1 westus=1")
    shown = az(in_definition("image-version show") + " -e 1.0.0 --expand ReplicationStatus")
    assert {region["region"] for region in shown["replicationStatus"]["summary"]} == {"East US", "West Europe", "West US"}
    assert shown["replicationStatus"]["aggregatedState"] == "Completed"
    assert shown["storageProfile"]["osDiskImage"]["source"]["id"].endswith("mySnapshot"), "the update sent no source"

    az(update + " --target-regions eastus=2 westeurope=1")
    shown = az(in_definition("image-version show") + " -e 1.0.0 --expand ReplicationStatus")
    assert {region["region"] for region in shown["replicationStatus"]["summary"]} == {"East US", "West Europe"}


def test_downloads_are_equal_in_every_region(az, version, raw_image, tmp_path):
    def downloaded(region: str):
        name = f"myDisk-{region}"
        disk = az(f"disk create -g {GROUP} -n {name} -l {region} --gallery-image-reference {version['id']}")
        assert (disk["diskState"], disk["location"]) == ("Unattached", region)
        sas = az(f"disk grant-access -g {GROUP} -n {name} --duration-in-seconds 3600 --access-level Read")["accessSAS"]
        assert az(f"disk show -g {GROUP} -n {name}")["diskState"] == "ActiveSAS"
        vhd = storage.download(sas, tmp_path / f"{region}.vhd")
        az(f"disk revoke-access -g {GROUP} -n {name}")
        assert az(f"disk show -g {GROUP} -n {name}")["diskState"] == "Unattached"
        return vhd

    vhds = [downloaded(region) for region in ["eastus", "westeurope"]]
    for vhd in vhds:
        disk_images.assert_vhd_holds(vhd, raw_image)
    assert disk_images.sha256(vhds[0]) == disk_images.sha256(vhds[1]), "the same VHD to the last byte"


def test_a_disk_from_a_region_without_a_replica(az, version):
    failure = az.fails(f"disk create -g {GROUP} -n myFarDisk -l westus --gallery-image-reference {version['id']}")
    assert "not available in westus region" in failure.message


def test_a_snapshot_is_downloaded(az, snapshot, raw_image, tmp_path):
    sas = az(f"snapshot grant-access -g {GROUP} -n mySnapshot --duration-in-seconds 3600")["accessSAS"]
    disk_images.assert_vhd_holds(storage.download(sas, tmp_path / "snapshot.vhd"), raw_image)
    az(f"snapshot revoke-access -g {GROUP} -n mySnapshot")


def test_a_managed_image(az, managed_image):
    disk = managed_image["storageProfile"]["osDisk"]
    assert managed_image["provisioningState"] == "Succeeded"
    assert (disk["osType"], disk["osState"], disk["caching"]) == ("Linux", "Generalized", "None")
    assert disk["managedDisk"]["id"].endswith("myUploadedDisk")
    assert managed_image["storageProfile"]["dataDisks"] == []
    assert az(f"image show -g {GROUP} -n myImage")["id"] == managed_image["id"]
    assert "myImage" in [image["name"] for image in az("image list")]


def test_a_version_from_a_managed_image(az, definition, managed_image):
    version = az(in_definition("image-version create") + " -e 1.1.0 --managed-image myImage")
    assert version["storageProfile"]["source"]["id"] == managed_image["id"]
    assert [region["name"] for region in version["publishingProfile"]["targetRegions"]] == ["East US"]


def test_a_version_from_a_version_of_another_gallery(az, version, raw_image, tmp_path):
    az(f"sig create -g {GROUP} -r myProductionGallery")
    az(
        f"sig image-definition create -g {GROUP} -r myProductionGallery -i {DEFINITION} --publisher myPublisher"
        " --offer myOffer --sku mySKU --os-type Linux --os-state Generalized"
    )  # fmt: skip
    promoted = az(
        f"sig image-version create -g {GROUP} -r myProductionGallery -i {DEFINITION} -e 2.0.0"
        f" --image-version {version['id']} --target-regions eastus westus"
    )  # fmt: skip
    assert promoted["storageProfile"]["source"]["id"] == version["id"]

    az(f"disk create -g {GROUP} -n myPromotedDisk -l westus --gallery-image-reference {promoted['id']}")
    sas = az(f"disk grant-access -g {GROUP} -n myPromotedDisk --duration-in-seconds 3600")["accessSAS"]
    disk_images.assert_vhd_holds(storage.download(sas, tmp_path / "promoted.vhd"), raw_image)


def test_latest_is_the_highest_number_that_is_not_excluded(az, version, managed_image, gallery):
    az(in_definition("image-version create") + " -e 1.0.12 --managed-image myImage")
    az(in_definition("image-version create") + " -e 9.0.0 --managed-image myImage --exclude-from-latest true")
    latest = version["id"].rsplit("/versions/", 1)[0]
    disk = az(f"disk create -g {GROUP} -n myLatestDisk --gallery-image-reference {latest}")
    used = disk["creationData"]["galleryImageReference"]["id"]
    numbers = [found["name"] for found in az(in_definition("image-version list")) if not found["publishingProfile"]["excludeFromLatest"]]
    newest = max(numbers, key=lambda number: [int(part) for part in number.split(".")])
    assert used.lower() in (latest.lower(), f"{latest}/versions/{newest}".lower())


def test_resources_are_listed(az, gallery, uploaded_disk):
    found = {(resource["type"], resource["name"]) for resource in az(f"resource list -g {GROUP}")}
    assert ("Microsoft.Compute/galleries", GALLERY) in found
    assert ("Microsoft.Compute/disks", "myUploadedDisk") in found
    assert az("resource show", "--ids", gallery["id"])["id"] == gallery["id"]


def test_parents_are_not_deleted_before_their_children(az, version):
    failure = az.fails(in_definition("image-definition delete"))
    assert "CannotDeleteResource" in failure.message and "/versions/1.0.0" in failure.message
    failure = az.fails(in_gallery("delete"))
    assert "CannotDeleteResource" in failure.message


def test_deletes_from_the_leaves_up(az, version):
    for found in az(in_definition("image-version list")):
        az(in_definition("image-version delete") + f" -e {found['name']}")
    assert az(in_definition("image-version list")) == []
    assert az.fails(in_definition("image-version show") + " -e 1.0.0").code == MISSING
    az(in_definition("image-version delete") + " -e 1.0.0")  # what is gone already is a silent success

    az(in_definition("image-definition delete"))
    assert az(in_gallery("image-definition list")) == []
    az(in_gallery("delete"))
    assert az.fails(in_gallery("show")).code == MISSING

    az(f"image delete -g {GROUP} -n myImage")
    az(f"snapshot delete -g {GROUP} -n mySnapshot")
    az(f"disk delete -g {GROUP} -n myUploadedDisk -y")
    assert az.fails(f"disk show -g {GROUP} -n myUploadedDisk").code == MISSING


def test_a_group_is_deleted_with_what_is_in_it(az, group):
    az(f"group delete -n {GROUP} -y")
    assert az(f"group exists -n {GROUP}") is False
    assert not [found for found in az("sig list") if f"/resourceGroups/{GROUP}/".lower() in found["id"].lower()]
