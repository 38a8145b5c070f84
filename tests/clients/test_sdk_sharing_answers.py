"""Answers to a share by azure-mgmt-compute: a subscription rejects a gallery that is shared with it, and accepts it again."""

import json

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.compute.models import Gallery, SharingProfile, SharingProfileGroup, SharingUpdate

GROUP = "answersRG"
GALLERY = "answersGallery"


@pytest.fixture(scope="module")
def consumer(server, credential):
    [made] = json.loads(server.galerie("subscription", "create", "consumer", "-o", "json").stdout)
    return ComputeManagementClient(
        credential, made["subscriptionId"], base_url=server.endpoint, credential_scopes=[f"{server.endpoint}/.default"]
    )


def shared_with(consumer) -> list[str]:
    return [gallery.name for gallery in consumer.shared_galleries.list("eastus")]


def test_a_share_is_rejected_and_accepted(server, compute, consumer):
    server.group(GROUP)
    gallery = Gallery(location="eastus", sharing_profile=SharingProfile(permissions="Groups"))
    compute.galleries.begin_create_or_update(GROUP, GALLERY, gallery).result()
    group = SharingProfileGroup(type="Subscriptions", ids=[consumer._config.subscription_id])
    share = SharingUpdate(operation_type="Add", groups=[group])
    compute.gallery_sharing_profile.begin_update(GROUP, GALLERY, share).result()
    owner, invites = server.admin["subscriptionId"], consumer.shared_gallery_invites
    assert len(shared_with(consumer)) == 1
    invites.begin_gallery_sharing_reject("eastus", owner, GALLERY).result()
    assert shared_with(consumer) == []
    invites.begin_gallery_sharing_accept("eastus", owner, GALLERY).result()
    assert len(shared_with(consumer)) == 1
    with pytest.raises(ResourceNotFoundError):
        invites.begin_gallery_sharing_accept("eastus", owner, "nothing").result()
    whole = consumer.tenant_level_shared_gallery_invites
    with pytest.raises(ResourceNotFoundError):
        whole.begin_tenant_level_gallery_sharing_accept("eastus", owner, GALLERY).result()
