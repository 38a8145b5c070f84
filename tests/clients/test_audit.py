"""Who did what and who was refused: `galerie audit`, and the Activity Log as az asks for it."""

import json
import re

import pytest

from galerie_server import wait_until

GROUP = "auditRG"


@pytest.fixture(scope="module")
def group(server):
    return server.group(GROUP)


def rows(server, *arguments) -> list:
    return json.loads(server.galerie("audit", "list", *arguments, "-o", "json").stdout)


def test_a_write_is_listed_with_who_and_from_where(server, group):
    [made] = [row for row in rows(server, "--resource", group) if row["action"].endswith("resourceGroups/write")]
    assert made["outcome"] == "Accepted" and made["caller"] == server.admin["clientId"]
    assert made["address"] in ("127.0.0.1", "::1")
    table = server.galerie("audit", "list", "--resource", group).stdout
    assert "Microsoft.Resources/subscriptions/resourceGroups/write" in table and group in table
    assert rows(server, "--resource", group, "--until", "2020-01-01") == []


def test_a_refusal_is_listed(server, group):
    reply = server.request("GET", group, headers={"Authorization": "Bearer nothing"})
    assert reply.status_code == 401
    wait_until("the refusal is written", lambda: any(row["resource"] == group for row in rows(server, "--denied")))


def test_the_chain_is_whole_and_has_the_head_that_the_log_names(server, group):
    wait_until("the group's row is sealed", lambda: all(row["sealed"] for row in rows(server, "--resource", group)))
    heads = re.findall(r"sealed the audit.*?head=\"?(\d+:[0-9a-f]{64})", server.log)
    assert heads, "the log names every head"
    report = server.galerie("audit", "verify", "--head", heads[0]).stdout
    assert report.startswith("intact: ")
    forged = f"{heads[0].split(':')[0]}:{'0' * 64}"
    failed = server.galerie("audit", "verify", "--head", forged, check=False)
    assert failed.returncode != 0 and "not in the chain" in failed.stdout
    assert "a head is a seal's number" in server.galerie("audit", "verify", "--head", "x", check=False).stderr


def test_az_lists_the_activity_log(az, server, group):
    events = az(f"monitor activity-log list -g {GROUP} --offset 1h")
    [made] = [event for event in events if event["operationName"]["value"].endswith("resourceGroups/write")]
    assert made["status"]["value"] == "Succeeded" and made["resourceGroupName"] == GROUP
    assert az(f"monitor activity-log list --resource-id {group} --caller nobody --offset 1h") == []
    narrow = az("monitor activity-log list --offset 1h --select caller --max-events 1")
    assert narrow[0]["caller"] and not narrow[0].get("correlationId")
