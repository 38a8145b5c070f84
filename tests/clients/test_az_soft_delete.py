"""Soft deletion as the Azure CLI has it: a version is deleted, listed, used by its name, restored, and deleted for good."""

import pytest

GROUP = "softDeleteRG"
GALLERY = "softGallery"
DEFINITION = "softImage"
MISSING = 3


def in_gallery(command: str) -> str:
    return f"sig {command} -g {GROUP} -r {GALLERY}"


def in_definition(command: str) -> str:
    return f"{in_gallery(command)} -i {DEFINITION}"


def restorable(az) -> list[str]:
    return [version["name"] for version in az(in_definition("image-version list-soft-deleted"))]


@pytest.fixture(scope="module")
def gallery(az, server):
    server.group(GROUP)
    return az(in_gallery("create"), "--soft-delete", "true")


@pytest.fixture(scope="module")
def version(az, server, gallery, raw_image):
    server.galerie(
        "publish", raw_image, f"{GALLERY}/{DEFINITION}/1.0.0", "--create", "--os-type", "Linux", "--resource-group", GROUP,
        "--location", "eastus", "--target-region", "eastus", "--target-region", "westus",
    )  # fmt: skip
    az(f"{in_definition('image-version update')} -e 1.0.0 --set tags.team=web")
    return az(f"{in_definition('image-version show')} -e 1.0.0")


def test_the_policy_is_filled_in(gallery):
    assert gallery["softDeletePolicy"]["isSoftDeleteEnabled"] is True
    assert gallery["softDeletePolicy"]["retentionPeriodInDays"] == 7


def test_a_deleted_version_is_listed_used_and_restored(az, server, version):
    az(f"{in_definition('image-version delete')} -e 1.0.0")
    assert az(in_definition("image-version list")) == []
    assert az.fails(f"{in_definition('image-version show')} -e 1.0.0").code == MISSING
    [deleted] = az(in_definition("image-version list-soft-deleted"))
    assert deleted["resourceArmId"] == version["id"] and deleted["location"] == "eastus"
    assert deleted["softDeletedTime"] < deleted["consumptionEndTime"] == deleted["hardDeletionTargetTime"]

    disk = az(f"disk create -g {GROUP} -n fromDeleted -l westus", "--gallery-image-reference", version["id"])
    assert disk["provisioningState"] == "Succeeded"
    latest = version["id"].rpartition("/")[0] + "/latest"
    failure = az.fails(f"disk create -g {GROUP} -n fromLatest -l westus", "--gallery-image-reference", latest)
    assert "no latest" in failure.message.lower()

    az(f"{in_definition('image-version undelete')} -e 1.0.0")
    assert az(f"{in_definition('image-version show')} -e 1.0.0") == version
    assert restorable(az) == []


def test_galerie_restores_and_deletes_for_good(az, server, version, raw_image):
    name = f"{GALLERY}/{DEFINITION}/1.0.0"
    server.galerie("version", "delete", name, "--yes")
    listed = server.galerie("version", "list", "--deleted", f"{GALLERY}/{DEFINITION}").stdout
    assert "1.0.0" in listed and "RESTORABLE UNTIL" in listed
    again = server.galerie("publish", raw_image, name, "--resource-group", GROUP, check=False)
    assert again.returncode != 0 and "can come back" in again.stderr
    server.galerie("version", "restore", name)
    assert restorable(az) == []
    server.galerie("version", "delete", name, "--yes")
    server.galerie("version", "delete", name, "--permanently", "--yes")
    assert restorable(az) == []
    failed = server.galerie("version", "delete", name, "--permanently", "--yes", check=False)
    assert failed.returncode != 0 and "no image version" in failed.stderr


def test_a_gallery_is_deleted_with_everything_in_it(az, server, version, raw_image):
    for number in ("2.0.0", "2.0.1"):
        server.galerie("publish", raw_image, f"{GALLERY}/{DEFINITION}/{number}", "--resource-group", GROUP)
    server.galerie("version", "delete", f"{GALLERY}/{DEFINITION}/2.0.0", "--yes")
    profile = "sig in-vm-access-control-profile create --os-type Linux --applicable-host-endpoint IMDS --name web"
    az(f"{profile} -g {GROUP} --gallery-name {GALLERY}")
    refused = server.galerie("gallery", "delete", GALLERY, "--yes", check=False)
    assert refused.returncode != 0 and "nested resources" in refused.stderr
    preview = server.galerie("gallery", "delete", GALLERY, "--cascade", "--dry-run").stdout
    kinds = {line.rsplit(maxsplit=1)[1]: line.rsplit(maxsplit=1)[0].strip() for line in preview.splitlines()[1:]}
    definition, profile = f"{GALLERY}/{DEFINITION}", f"{GALLERY}/web"
    assert kinds == {
        f"{definition}/2.0.0": "deleted image version", f"{definition}/2.0.1": "image version", definition: "image definition",
        profile: "access control profile", GALLERY: "gallery",
    }  # fmt: skip
    assert len(az(in_definition("image-version list"))) == 1, "it was only shown"
    server.galerie("gallery", "delete", GALLERY, "--cascade", "--yes")
    assert GALLERY not in [gallery["name"] for gallery in az("sig list")]
