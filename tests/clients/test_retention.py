"""Retention by `galerie`: policies, dry runs, runs and pins; `az` sees nothing of it but what is gone."""

import json

import pytest

GROUP = "retentionRG"
GALLERY = "retentionGallery"
DEFINITION = f"{GALLERY}/web"


@pytest.fixture(scope="module")
def versions(server, raw_image):
    server.group(GROUP)
    for number in (1, 2, 3, 4):
        server.galerie(
            "publish", raw_image, f"{DEFINITION}/{number}.0.0", "--create", "--os-type", "Linux", "--resource-group", GROUP,
            "--location", "eastus", "--target-region", "eastus",
        )  # fmt: skip


def retention(server, *arguments, **options):
    return server.galerie("definition", "retention", *arguments, **options)


def decisions(text: str) -> dict[str, str]:
    return {version["version"]: version["decision"] for version in json.loads(text)["versions"]}


def test_nothing_happens_without_a_policy(server, versions):
    assert "no retention policy" in retention(server, "show", DEFINITION, check=False).stderr
    assert retention(server, "run", DEFINITION, "--yes", check=False).returncode == 3
    tried = retention(server, "run", DEFINITION, "--dry-run", "--keep", "3", "-o", "json").stdout
    assert decisions(tried) == {"4.0.0": "Keep", "3.0.0": "Keep", "2.0.0": "Keep", "1.0.0": "Delete"}


def test_a_run_is_its_dry_run(az, server, versions):
    shown = retention(server, "set", DEFINITION, "--keep", "1", "--older-than-days", "0").stdout
    assert "the last 1" in shown and "when it is told to" in shown
    assert "by itself" not in retention(server, "show", DEFINITION).stdout
    server.galerie("version", "pin", f"{DEFINITION}/1.0.0")
    az(f"sig image-version update -g {GROUP} -r {GALLERY} -i web -e 4.0.0 --set publishingProfile.excludeFromLatest=true")

    table = retention(server, "run", DEFINITION, "--dry-run").stdout
    for version, decision, why in [
        ("4.0.0", "kept", "it is excluded from latest"),
        ("3.0.0", "kept", "it is the highest"),
        ("2.0.0", "would be deleted", "it is old, and a higher version stays"),
        ("1.0.0", "kept", "it is pinned"),
    ]:
        [line] = [line for line in table.splitlines() if line.startswith(version)]
        assert decision in line and why in line
    planned = decisions(retention(server, "run", DEFINITION, "--dry-run", "-o", "json").stdout)
    done = retention(server, "run", DEFINITION, "--yes", "-o", "json")
    assert decisions(done.stdout) == planned and "Deleted 1 version." in done.stderr
    left = [version["name"] for version in az(f"sig image-version list -g {GROUP} -r {GALLERY} -i web")]
    assert sorted(left) == ["1.0.0", "3.0.0", "4.0.0"]

    server.galerie("version", "unpin", f"{DEFINITION}/1.0.0")
    assert "Deleted 1 version." in retention(server, "run", DEFINITION, "--yes").stderr
    assert "nothing to delete" in retention(server, "run", DEFINITION, "--yes").stderr
    retention(server, "remove", DEFINITION)
    assert retention(server, "show", DEFINITION, check=False).returncode == 3


def test_settings_to_try_are_for_dry_runs(server, versions):
    failed = retention(server, "run", DEFINITION, "--keep", "2", check=False)
    assert failed.returncode == 2 and "--dry-run" in failed.stderr
