"""azure-mgmt-compute under the first api-versions of galleries, and under its own newest.

The newest client asks for one api-version per operation; here every call names the one that is tried, as a client pinned to it does.
What a version does not have yet is left out: until 2019-03-01 a version's source is `publishingProfile.source.managedImage`, and galleries
are updated by PUT only.
"""

from datetime import timedelta

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.compute.models import Image, ImageOSDisk, ImageStorageProfile, SubResource

from galerie_server import unique

GROUP = "sdk-versions"
NEWEST = None
OLD_SOURCE = ["2018-06-01", "2019-03-01"]


@pytest.fixture(scope="module")
def image(server, compute, resources, raw_image):
    """A managed image, which every api-version can make a version from."""
    resources.resource_groups.create_or_update(GROUP, {"location": "eastus"})
    server.galerie(
        "publish", raw_image, "versionsSource/web/1.0.0", "--create", "--os-type", "Linux", "--hyper-v-generation", "V1",
        "--resource-group", GROUP, "--location", "eastus", "--target-region", "eastus",
    )  # fmt: skip
    source = compute.gallery_image_versions.get(GROUP, "versionsSource", "web", "1.0.0").id
    disk = {"location": "eastus", "properties": {"creationData": {"createOption": "FromImage", "galleryImageReference": {"id": source}}}}
    disk_id = compute.disks.begin_create_or_update(GROUP, "source", disk).result().id
    os_disk = ImageOSDisk(os_type="Linux", os_state="Generalized", managed_disk=SubResource(id=disk_id))
    wanted = Image(location="eastus", hyper_v_generation="V1", storage_profile=ImageStorageProfile(os_disk=os_disk))
    return compute.images.begin_create_or_update(GROUP, "image", wanted).result().id


@pytest.mark.parametrize("api_version", [*OLD_SOURCE, "2019-07-01", NEWEST])
def test_the_way_through_a_gallery(compute, image, api_version):
    asked = {"params": {"api-version": api_version}} if api_version else {}
    is_old = api_version in OLD_SOURCE
    gallery = unique("g")
    made = compute.galleries.begin_create_or_update(GROUP, gallery, {"location": "eastus"}, **asked).result()
    assert made.provisioning_state == "Succeeded"
    assert made.identifier.unique_name.endswith(f"-{gallery.upper()}")
    definition = {
        "location": "eastus",
        "properties": {"osType": "Linux", "osState": "Generalized", "identifier": {"publisher": "p", "offer": "o", "sku": "s"}},
    }
    if not is_old:
        # Of a later version; V1 is what they mean.
        definition["properties"]["hyperVGeneration"] = "V1"
    made = compute.gallery_images.begin_create_or_update(GROUP, gallery, "web", definition, **asked).result()
    assert (made.provisioning_state, made.os_type) == ("Succeeded", "Linux")

    targets = [{"name": "East US"}, {"name": "West Europe", "regionalReplicaCount": 2}]
    version = {"location": "eastus", "properties": {"publishingProfile": {"targetRegions": targets}}}
    if is_old:
        version["properties"]["publishingProfile"]["source"] = {"managedImage": {"id": image}}
    else:
        version["properties"]["storageProfile"] = {"source": {"id": image}}
    place = (GROUP, gallery, "web", "1.0.0")
    made = compute.gallery_image_versions.begin_create_or_update(*place, version, **asked).result()
    assert made.provisioning_state == "Succeeded"
    published = made.publishing_profile.published_date
    assert published is not None and published.utcoffset() == timedelta(0)
    read = compute.gallery_image_versions.get(*place, expand="ReplicationStatus", **asked)
    assert [(target.name, target.regional_replica_count) for target in read.publishing_profile.target_regions] == [("East US", 1), ("West Europe", 2)]
    assert {region.state for region in read.replication_status.summary} == {"Completed"}
    if is_old:
        assert read.publishing_profile.as_dict()["source"] == {"managedImage": {"id": image}}
    else:
        assert read.storage_profile.source.id == image

    names = [found.name for found in compute.gallery_image_versions.list_by_gallery_image(GROUP, gallery, "web", **asked)]
    assert names == ["1.0.0"]
    assert gallery in [found.name for found in compute.galleries.list_by_resource_group(GROUP, **asked)]
    again = compute.galleries.begin_create_or_update(GROUP, gallery, {"location": "eastus", "tags": {"v": "2"}}, **asked).result()
    assert again.tags == {"v": "2"}

    compute.gallery_image_versions.begin_delete(*place, **asked).result()
    compute.gallery_images.begin_delete(GROUP, gallery, "web", **asked).result()
    compute.galleries.begin_delete(GROUP, gallery, **asked).result()
    with pytest.raises(ResourceNotFoundError):
        compute.galleries.get(GROUP, gallery, **asked)


def test_what_a_version_did_not_have_is_refused(compute, image):
    """Sharing came with 2020-09-30."""
    gallery = {"location": "eastus", "properties": {"sharingProfile": {"permissions": "Groups"}}}
    with pytest.raises(HttpResponseError, match="sharingProfile") as refused:
        compute.galleries.begin_create_or_update(GROUP, unique("g"), gallery, params={"api-version": "2018-06-01"}).result()
    assert refused.value.status_code == 400
