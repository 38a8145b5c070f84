"""Canaries: every kind of secret is planted in a server, used rightly and wrongly, and looked for wherever the server writes or answers.

`PLACES` is where; each is shown to be looked at by something that must be there.
"""

import base64
import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
import requests

from browser import Browser
from galerie_server import Server, unique
from processes import free_ports

AZ = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
PASSWORD, WRONG_PASSWORD = "a canary in a coal mine", "a canary in a gold mine"
PASSPHRASE = "the canary's passphrase"
NAME = unique("canary-app-")
# What keeps a secret for its owner; everything else in the data directory is looked at.
HOMES = {"admin.json", "master.key", "tls"}
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass
class Planted:
    """A server with secrets in it, and what it said meanwhile."""

    server: Server
    metrics_port: int
    backups: Path
    secrets: dict[str, str | bytes] = field(default_factory=dict)
    #: Answers that refuse, headers and all.
    refusals: list[str] = field(default_factory=list)
    client_id: str = ""
    resource: str = ""

    def refused(self, reply: requests.Response, *statuses: int) -> None:
        assert reply.status_code in statuses, f"{reply.status_code} {reply.text}"
        # A page's form hands back what the form before it held.
        text = re.sub(r'<input type="hidden"[^>]*>', "", reply.text)
        self.refusals.append(f"{reply.headers}\n{text}")


def post(server: Server, path: str, form: dict) -> requests.Response:
    return requests.post(server.endpoint + path, data=form, verify=server.ca_file, timeout=30)


def told(server: Server, *arguments) -> dict:
    return json.loads(server.galerie(*arguments, "-o", "json").stdout)


def keys_of(server: Server) -> dict[str, bytes]:
    """The master key, and the private keys of the certificates, as the bytes that they are."""
    found = {"master key": (server.data_dir / "master.key").read_bytes()}
    for path in sorted((server.data_dir / "tls").rglob("*")):
        text = path.read_text(errors="replace") if path.is_file() else ""
        for number, key in enumerate(re.findall(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(.*?)-----END", text, re.S)):
            found[f"certificate key {path.name} {number}"] = base64.b64decode(key)
    assert len(found) > 1, "no certificate key was found"
    return found


def plant_a_client(planted: Planted) -> None:
    server = planted.server
    made = told(server, "sp", "create", NAME)
    planted.client_id, secret = made["appId"], made["password"]
    form = {"grant_type": "client_credentials", "client_id": planted.client_id, "client_secret": secret, "scope": f"{server.endpoint}/.default"}
    tenant = server.admin["tenantId"]
    good = post(server, f"/{tenant}/oauth2/v2.0/token", form)
    assert good.status_code == 200, good.text
    planted.secrets |= {"client secret": secret, "access token": good.json()["access_token"]}
    planted.secrets["administrator's secret"] = server.admin["clientSecret"]
    planted.refused(post(server, "/nowhere.example/oauth2/v2.0/token", form), 400)
    planted.refused(post(server, f"/{tenant}/oauth2/v2.0/token", form | {"scope": "https://elsewhere.example/.default"}), 400, 401)
    # In the wrong field: it is told back to who sent it, and to nobody else.
    assert post(server, f"/{tenant}/oauth2/v2.0/token", form | {"client_id": secret}).status_code in (400, 401)
    for path in ("/subscriptions", "/msgraph/v1.0/users"):
        reply = requests.get(server.endpoint + path, params={"api-version": "2022-12-01"}, headers={"Authorization": f"Bearer {secret}"}, verify=server.ca_file, timeout=30)
        planted.refused(reply, 401)


def plant_a_person(planted: Planted) -> None:
    server = planted.server
    made = told(server, "user", "create", "canary")
    planted.secrets["first password"] = made["password"]
    graph = server.token_for_graph()
    change = {"passwordProfile": {"password": PASSWORD, "forceChangePasswordNextSignIn": False}}
    url = f"{server.endpoint}/msgraph/v1.0/users/{made['userPrincipalName']}"
    changed = requests.patch(url, json=change, headers={"Authorization": f"Bearer {graph}"}, verify=server.ca_file, timeout=30)
    assert changed.status_code == 204, changed.text
    scope = f"{server.endpoint}/.default offline_access openid"
    device = post(server, "/organizations/oauth2/v2.0/devicecode", {"client_id": AZ, "scope": scope}).json()
    page = Browser(server.ca_file).open(device["verification_uri"])
    page.press("next", user_code=device["user_code"])
    page.press("approve", user_name=made["userPrincipalName"], password=WRONG_PASSWORD)
    planted.refused(page.page, 400)
    page.press("approve", user_name=made["userPrincipalName"], password=PASSWORD)
    assert page.page.status_code == 200, page.page.text
    redeem = {"grant_type": DEVICE, "client_id": AZ, "device_code": device["device_code"]}
    tokens = post(server, "/organizations/oauth2/v2.0/token", redeem).json()
    planted.refused(post(server, "/organizations/oauth2/v2.0/token", redeem), 400)
    refresh = {"grant_type": "refresh_token", "client_id": AZ, "scope": scope}
    used = []
    for number in range(3):
        used.append(tokens["refresh_token"])
        tokens = post(server, "/organizations/oauth2/v2.0/token", refresh | {"refresh_token": used[-1]}).json()
    # The first was used before the last: the session ends.
    for token in used:
        planted.refused(post(server, "/organizations/oauth2/v2.0/token", refresh | {"refresh_token": token}), 400)
    planted.secrets |= {"password": PASSWORD, "wrong password": WRONG_PASSWORD, "device code": device["device_code"]}
    planted.secrets |= {"user code": device["user_code"], "id token": tokens["id_token"], "user's access token": tokens["access_token"]}
    planted.secrets |= {f"refresh token {number}": token for number, token in enumerate(used)}


def plant_a_link(planted: Planted) -> None:
    server = planted.server
    link = re.search(r"https://\S+/setup\?code=(\w+)", server.galerie("tenant", "link").stdout)
    planted.secrets["one-time link"] = link[1]
    page = Browser(server.ca_file).open(link[0])
    page.press("make", user_name="canary-root", password=PASSWORD, password_again=PASSWORD)
    assert page.page.status_code == 200, page.page.text
    planted.refused(Browser(server.ca_file).open(link[0]).page, 404)


def plant_a_signature(planted: Planted) -> None:
    server = planted.server
    group = server.group("canary")
    properties = {"creationData": {"createOption": "Empty"}, "diskSizeGB": 1}
    disk = f"{group}/providers/Microsoft.Compute/disks/{unique('d')}"
    planted.resource = disk
    server.put(disk, {"location": "eastus", "properties": properties}, api_version="2025-01-02")
    sas = server.grant(disk, "Read")
    planted.secrets["signature"] = requests.utils.unquote(re.search(r"sig=([^&]+)", sas)[1])
    read = requests.get(sas, headers={"Range": "bytes=0-511"}, verify=server.ca_file, timeout=30)
    assert read.status_code == 206
    planted.refused(requests.put(f"{sas}&comp=page", data=b"", verify=server.ca_file, timeout=30), 403)
    planted.refused(requests.get(sas.replace("sp=r", "sp=rw"), verify=server.ca_file, timeout=30), 403)
    server.revoke(disk)
    planted.refused(requests.get(sas, verify=server.ca_file, timeout=30), 403)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("canaries")
    [port] = free_ports(1)
    config = folder / "galerie.toml"
    config.write_text(f'metrics_listen = "127.0.0.1:{port}"\n')
    server = Server(folder / "data", config, {"GALERIE_LOG": "trace"}).start()
    try:
        planted = Planted(server, port, folder / "backups", keys_of(server))
        plant_a_client(planted)
        plant_a_person(planted)
        plant_a_link(planted)
        plant_a_signature(planted)
        passphrase = folder / "passphrase"
        passphrase.write_text(PASSPHRASE)
        planted.secrets["passphrase"] = PASSPHRASE
        server.galerie("backup", "create", planted.backups, "--with-master-key", "--passphrase-file", passphrase)
        yield planted
    finally:
        code = server.stop()
    assert code == 0


def log(planted: Planted) -> bytes:
    # What is printed at the first start is the way in, and shown on purpose; the planted link is another.
    return planted.server.log.encode()


def catalogue(planted: Planted) -> bytes:
    """Rows as they are and were: the files of SQLite with their log, or all that PostgreSQL has of them."""
    url = planted.server._database.get("GALERIE_DATABASE")
    if url:
        schema = re.search(r"search_path%3D(\w+)", url)[1]
        return subprocess.run(["pg_dump", "-n", schema, os.environ["GALERIE_TEST_POSTGRES"]], check=True, capture_output=True).stdout
    files = sorted(planted.server.data_dir.glob("catalogue*"))
    assert files, "the catalogue was not found"
    return b"\n".join(path.read_bytes() for path in files)


def data_directory(planted: Planted) -> bytes:
    """Stores, indexes and whatever else is beside the catalogue, but for what is a secret's home."""
    root = planted.server.data_dir
    files = [path for path in root.rglob("*") if path.is_file() and path.relative_to(root).parts[0] not in HOMES]
    return b"\n".join(str(path).encode() + path.read_bytes() for path in files if path.stat().st_size < 256 << 20)


def metrics(planted: Planted) -> bytes:
    return requests.get(f"http://127.0.0.1:{planted.metrics_port}/metrics", timeout=10).content


def refusals(planted: Planted) -> bytes:
    return "\n".join(planted.refusals).encode()


def audit(planted: Planted) -> bytes:
    server = planted.server
    listed = server.galerie("audit", "list", "-o", "json").stdout + server.galerie("audit", "list").stdout
    path = f"{server.subscription}/providers/Microsoft.Insights/eventtypes/management/values"
    activity = requests.get(
        server.endpoint + path, params={"api-version": "2015-04-01", "$filter": "eventTimestamp ge '2020-01-01T00:00:00Z'"},
        headers={"Authorization": f"Bearer {server.token()}"}, verify=server.ca_file, timeout=30,
    )  # fmt: skip
    assert activity.status_code == 200, activity.text
    return (listed + activity.text).encode()


def backup(planted: Planted) -> bytes:
    """Every file of a backup as it is, and what is compressed as it was before."""
    contents = []
    for path in sorted(path for path in planted.backups.rglob("*") if path.is_file()):
        contents.append(path.read_bytes())
        if path.suffix == ".zst":
            contents.append(subprocess.run(["zstd", "-dc", path], check=True, capture_output=True).stdout)
    return b"\n".join(contents)


def documents(planted: Planted) -> bytes:
    """What the directory and the resources show of themselves afterwards."""
    server, shown = planted.server, []
    graph = {"Authorization": f"Bearer {server.token_for_graph()}"}
    for collection in ("applications", "servicePrincipals", "users", "groups", "roleManagement/directory/roleAssignments"):
        reply = requests.get(f"{server.endpoint}/msgraph/v1.0/{collection}", headers=graph, verify=server.ca_file, timeout=30)
        assert reply.status_code == 200, reply.text
        shown.append(reply.text)
    shown.append(json.dumps(server.get(planted.resource, api_version="2025-01-02")))
    shown.append(json.dumps(server.get(f"{server.subscription}/resources")))
    return "\n".join(shown).encode()


# Where it is looked, and what must be found there, so that it was really looked there.
PLACES = {
    log: lambda planted: "a refresh token was used twice",
    catalogue: lambda planted: NAME,
    data_directory: lambda planted: "store.json",
    metrics: lambda planted: "galerie_refresh_token_reuses_total",
    refusals: lambda planted: "AADSTS",
    audit: lambda planted: planted.resource,
    backup: lambda planted: NAME,
    documents: lambda planted: NAME,
}


def forms(secret: str | bytes) -> list[bytes]:
    """How something may be written: as it is, in a URL or a form, in base64, in hexadecimal digits."""
    raw = secret if isinstance(secret, bytes) else secret.encode()
    encoded = [base64.b64encode(raw).rstrip(b"="), base64.urlsafe_b64encode(raw).rstrip(b"="), raw.hex().encode()]
    if isinstance(secret, str):
        encoded += [quote(secret, safe="").encode(), quote_plus(secret).encode()]
        if "-" in secret and len(secret) < 12:
            encoded.append(secret.replace("-", "").encode())
    return [raw, *encoded]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_no_secret_is_written_or_told(planted, place):
    contents = place(planted)
    assert PLACES[place](planted).encode() in contents, "this place was not looked at"
    found = {name for name, secret in planted.secrets.items() for form in forms(secret) if form in contents}
    assert not found, f"{sorted(found)} in {place.__name__}"
