"""azure-mgmt-compute and azure-identity: typed models there and back, long-running operations, pages by nextLink."""

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.compute.models import (
    CreationData,
    Disk,
    DiskSku,
    Gallery,
    GalleryImage,
    GalleryImageFeature,
    GalleryImageIdentifier,
    GalleryImageUpdate,
    GalleryImageVersion,
    GalleryImageVersionPublishingProfile,
    GalleryImageVersionStorageProfile,
    GalleryImageVersionUpdate,
    GalleryArtifactVersionFullSource,
    GalleryDiskImageSource,
    GalleryOSDiskImage,
    GalleryUpdate,
    GrantAccessData,
    Image,
    ImageDiskReference,
    ImageDisk,
    ImageOSDisk,
    ImageStorageProfile,
    RecommendedMachineConfiguration,
    ResourceRange,
    Snapshot,
    SubResource,
    TargetRegion,
)

import disk_images
import storage
from galerie_server import token_claims, unique

GROUP = "sdk-group"
DEFINITION = "web"


@pytest.fixture(scope="module")
def group(resources):
    return resources.resource_groups.create_or_update(GROUP, {"location": "westeurope", "tags": {"suite": "sdk"}}).name


@pytest.fixture(scope="module")
def gallery(compute, group):
    wanted = Gallery(location="westeurope", description="Made by an SDK", tags={"team": "web"})
    return compute.galleries.begin_create_or_update(group, "sdkGallery", wanted).result()


@pytest.fixture(scope="module")
def definition(compute, group, gallery):
    wanted = GalleryImage(
        location="westeurope",
        os_type="Linux",
        os_state="Generalized",
        hyper_v_generation="V2",
        architecture="x64",
        identifier=GalleryImageIdentifier(publisher="Contoso", offer="Web", sku="bookworm"),
        recommended=RecommendedMachineConfiguration(
            v_cp_us=ResourceRange(min=1, max=8), memory=ResourceRange(min=1, max=32)
        ),
        features=[GalleryImageFeature(name="SecurityType", value="TrustedLaunchSupported")],
        description="A web server",
        eula="none",
    )
    return compute.gallery_images.begin_create_or_update(group, gallery.name, DEFINITION, wanted).result()


@pytest.fixture(scope="module")
def disk(compute, group, vhd_image):
    wanted = Disk(
        location="westeurope",
        os_type="Linux",
        hyper_v_generation="V2",
        sku=DiskSku(name="Standard_LRS"),
        creation_data=CreationData(create_option="Upload", upload_size_bytes=vhd_image.stat().st_size),
    )
    compute.disks.begin_create_or_update(group, "sdk-upload", wanted).result()
    access = GrantAccessData(access="Write", duration_in_seconds=3600)
    sas = compute.disks.begin_grant_access(group, "sdk-upload", access).result().access_sas
    storage.upload_vhd(sas, vhd_image)
    assert compute.disks.begin_revoke_access(group, "sdk-upload").result() is None
    return compute.disks.get(group, "sdk-upload")


@pytest.fixture(scope="module")
def snapshot(compute, group, disk):
    wanted = Snapshot(location="westeurope", creation_data=CreationData(create_option="Copy", source_resource_id=disk.id))
    return compute.snapshots.begin_create_or_update(group, "sdk-snapshot", wanted).result()


def version_from(source: GalleryImageVersionStorageProfile, *regions: str) -> GalleryImageVersion:
    targets = [TargetRegion(name=region) for region in regions]
    return GalleryImageVersion(
        location="westeurope",
        storage_profile=source,
        publishing_profile=GalleryImageVersionPublishingProfile(target_regions=targets),
    )


@pytest.fixture(scope="module")
def version(compute, group, gallery, definition, snapshot):
    source = GalleryImageVersionStorageProfile(
        os_disk_image=GalleryOSDiskImage(source=GalleryDiskImageSource(id=snapshot.id), host_caching="ReadOnly")
    )
    wanted = version_from(source, "West Europe", "East US")
    poller = compute.gallery_image_versions.begin_create_or_update(group, gallery.name, DEFINITION, "1.0.0", wanted)
    return poller.result()


def test_the_token_says_who_it_is(server, credential):
    claims = token_claims(credential.get_token(f"{server.endpoint}/.default").token)
    assert claims["tid"] == server.admin["tenantId"]
    assert claims["idtyp"] == "app"
    assert {"oid", "aud", "iss", "exp", "ver"} <= claims.keys()


def test_tokens_for_the_public_cloud_are_accepted_too(server, credential):
    for audience in ["https://management.azure.com", "https://management.core.windows.net/"]:
        token = credential.get_token(f"{audience}/.default").token
        reply = server.request("GET", "/subscriptions?api-version=2022-12-01", headers={"Authorization": f"Bearer {token}"})
        assert reply.status_code == 200, audience


def test_a_storage_token_is_refused_by_resource_manager(server, credential):
    token = credential.get_token("https://storage.azure.com/.default").token
    reply = server.request("GET", "/subscriptions?api-version=2022-12-01", headers={"Authorization": f"Bearer {token}"})
    assert reply.status_code == 401
    assert reply.headers["WWW-Authenticate"].startswith('Bearer authorization_uri="')


def test_a_gallery_goes_there_and_back(compute, group, gallery, server):
    assert gallery.provisioning_state == "Succeeded"
    assert (gallery.description, gallery.tags) == ("Made by an SDK", {"team": "web"})
    assert gallery.identifier.unique_name == f"{server.admin['subscriptionId']}-SDKGALLERY"
    assert compute.galleries.get(group, "SDKgallery").id == gallery.id, "names match without regard to case"
    assert gallery.as_dict() == compute.galleries.get(group, gallery.name).as_dict()


def test_a_gallery_is_patched(compute, group, gallery):
    patched = compute.galleries.begin_update(group, gallery.name, GalleryUpdate(tags={"team": "platform"})).result()
    assert (patched.tags, patched.description) == ({"team": "platform"}, "Made by an SDK")


def test_a_definition_goes_there_and_back(compute, group, gallery, definition):
    read = compute.gallery_images.get(group, gallery.name, DEFINITION)
    assert read.as_dict() == definition.as_dict()
    assert read.recommended.v_cp_us.max == 8
    assert [(feature.name, feature.value) for feature in read.features] == [("SecurityType", "TrustedLaunchSupported")]


def test_a_definition_is_patched(compute, group, gallery, definition):
    patch = GalleryImageUpdate(description="A faster web server")
    patched = compute.gallery_images.begin_update(group, gallery.name, DEFINITION, patch).result()
    assert (patched.description, patched.eula) == ("A faster web server", "none")


def test_an_uploaded_disk(disk, raw_image):
    assert (disk.provisioning_state, disk.disk_state) == ("Succeeded", "Unattached")
    assert disk.disk_size_bytes == raw_image.stat().st_size
    assert disk.unique_id and disk.time_created


def test_a_version_goes_there_and_back(compute, group, gallery, version, snapshot):
    assert version.provisioning_state == "Succeeded"
    read = compute.gallery_image_versions.get(group, gallery.name, DEFINITION, "1.0.0", expand="ReplicationStatus")
    assert read.storage_profile.os_disk_image.source.id == snapshot.id
    assert read.storage_profile.os_disk_image.host_caching == "ReadOnly"
    assert read.storage_profile.os_disk_image.size_in_gb == 1
    assert [region.name for region in read.publishing_profile.target_regions] == ["West Europe", "East US"]
    assert read.replication_status.aggregated_state == "Completed"
    assert {(region.region, region.state, region.progress) for region in read.replication_status.summary} == {
        ("West Europe", "Completed", 100),
        ("East US", "Completed", 100),
    }


def test_a_version_is_patched(compute, group, gallery, version):
    patch = GalleryImageVersionUpdate(tags={"checked": "yes"})
    patched = compute.gallery_image_versions.begin_update(group, gallery.name, DEFINITION, "1.0.0", patch).result()
    assert patched.tags == {"checked": "yes"}
    assert patched.storage_profile.os_disk_image.source.id == version.storage_profile.os_disk_image.source.id


def test_a_version_straight_from_a_disk(compute, group, gallery, definition, disk):
    source = GalleryImageVersionStorageProfile(os_disk_image=GalleryOSDiskImage(source=GalleryDiskImageSource(id=disk.id)))
    wanted = version_from(source, "westeurope")
    made = compute.gallery_image_versions.begin_create_or_update(group, gallery.name, DEFINITION, "1.0.1", wanted).result()
    assert made.provisioning_state == "Succeeded"


def test_versions_from_a_managed_image_and_from_a_version(compute, group, gallery, definition, disk, version):
    os_disk = ImageOSDisk(os_type="Linux", os_state="Generalized", managed_disk=SubResource(id=disk.id))
    wanted = Image(location="westeurope", hyper_v_generation="V2", storage_profile=ImageStorageProfile(os_disk=os_disk))
    image = compute.images.begin_create_or_update(group, "sdk-image", wanted).result()
    assert image.storage_profile.os_disk.caching == "None"

    for number, source in [("2.0.0", image.id), ("2.0.1", version.id)]:
        profile = GalleryImageVersionStorageProfile(source=GalleryArtifactVersionFullSource(id=source))
        wanted = version_from(profile, "westeurope", "westus")
        made = compute.gallery_image_versions.begin_create_or_update(group, gallery.name, DEFINITION, number, wanted).result()
        assert (made.provisioning_state, made.storage_profile.source.id) == ("Succeeded", source)


def test_a_disk_from_a_version_in_another_region(compute, group, version, raw_image, tmp_path):
    reference = ImageDiskReference(id=version.id)
    wanted = Disk(location="eastus", creation_data=CreationData(create_option="FromImage", gallery_image_reference=reference))
    made = compute.disks.begin_create_or_update(group, "sdk-from-image", wanted).result()
    assert made.disk_state == "Unattached"
    access = GrantAccessData(access="Read", duration_in_seconds=3600)
    sas = compute.disks.begin_grant_access(group, made.name, access).result().access_sas
    disk_images.assert_vhd_holds(storage.download(sas, tmp_path / "disk.vhd"), raw_image)


def test_lists_follow_their_next_links(compute, group, gallery):
    """More definitions than fit on one page: each is seen once."""
    names = {f"paged-{number:03}" for number in range(130)}
    for name in names:
        identifier = GalleryImageIdentifier(publisher="Contoso", offer="Paged", sku=name)
        wanted = GalleryImage(location="westeurope", os_type="Linux", os_state="Generalized", identifier=identifier)
        # Not waited for: a definition is there once its PUT is answered.
        compute.gallery_images.begin_create_or_update(group, gallery.name, name, wanted, polling=False)
    listed = [image.name for image in compute.gallery_images.list_by_gallery(group, gallery.name)]
    assert len(listed) == len(set(listed))
    assert names < set(listed)
    pages = list(compute.gallery_images.list_by_gallery(group, gallery.name).by_page())
    assert len(pages) > 1, "this many definitions are more than one page"


def test_an_error_has_azures_code_and_target(compute, group, gallery):
    with pytest.raises(ResourceNotFoundError) as missing:
        compute.gallery_images.get(group, gallery.name, "nobody")
    assert missing.value.error.code == "ResourceNotFound"
    assert missing.value.response.headers["x-ms-request-id"]

    identifier = GalleryImageIdentifier(publisher="Contoso", offer="Web", sku="bookworm")
    twin = GalleryImage(location="westeurope", os_type="Linux", os_state="Generalized", identifier=identifier)
    with pytest.raises(HttpResponseError, match="Choose a different publisher, offer, sku combination"):
        compute.gallery_images.begin_create_or_update(group, gallery.name, "twin", twin).result()


def test_etags_guard_against_lost_updates(server, gallery):
    path = f"{gallery.id}"
    etag = server.request("GET", path).headers.get("ETag") or server.get(path)["etag"]
    body = {"location": "westeurope", "properties": {"description": "first writer"}}
    assert server.request("PUT", path, body, headers={"If-Match": etag}).status_code == 200
    late = server.request("PUT", path, body | {"properties": {"description": "second"}}, headers={"If-Match": etag})
    assert (late.status_code, late.json()["error"]["code"]) == (412, "PreconditionFailed")


def test_resource_groups(resources, group, gallery):
    assert resources.resource_groups.get(group).tags == {"suite": "sdk"}
    assert resources.resource_groups.check_existence(group) is True
    assert resources.resource_groups.check_existence(unique("none-")) is False
    listed = {resource.id for resource in resources.resources.list_by_resource_group(group)}
    assert gallery.id in listed


def test_deletes(compute, resources, group, gallery, version):
    with pytest.raises(HttpResponseError) as refused:
        compute.galleries.begin_delete(group, gallery.name).result()
    assert (refused.value.status_code, refused.value.error.code) == (409, "CannotDeleteResource")
    for found in list(compute.gallery_image_versions.list_by_gallery_image(group, gallery.name, DEFINITION)):
        compute.gallery_image_versions.begin_delete(group, gallery.name, DEFINITION, found.name).result()
    compute.gallery_images.begin_delete(group, gallery.name, DEFINITION).result()
    resources.resource_groups.begin_delete(group).result()
    assert resources.resource_groups.check_existence(group) is False
    with pytest.raises(ResourceNotFoundError):
        compute.galleries.get(group, gallery.name)
