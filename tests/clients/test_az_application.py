"""Gallery applications and their packages: by the Azure CLI and the Python SDK from an HTTP server, and by `galerie` from files."""

import hashlib
import http.server
import os
import threading

import pytest
from azure.core.exceptions import HttpResponseError
from azure.identity import ClientSecretCredential
from azure.mgmt.compute import ComputeManagementClient

from az_cli import Az
from galerie_server import Server, wait_until

GROUP = "applicationRG"
GALLERY = "applicationGallery"
APPLICATION = f"-g {GROUP} -r {GALLERY} --application-name agent"
COMMANDS = ["--install-command", "tar xf agent && ./install", "--remove-command", "./uninstall"]
# Its length is no multiple of anything, and it ends in zeros, which count.
PACKAGE = os.urandom(3_000_001) + bytes(4099)


class Storage(http.server.BaseHTTPRequestHandler):
    """A storage account in which a signature opens everything."""

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/moved.tar":
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/metadata/identity")
            self.end_headers()
            return
        found = {"/agent.tar": PACKAGE, "/agent.conf": b"level = info\n"}.get(path)
        status = 403 if "sig=good" not in query else 200 if found else 404
        self.send_response(status)
        self.end_headers()
        if status == 200:
            self.wfile.write(found)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def storage():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Storage)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def allowing(tmp_path_factory):
    """A server that may fetch from this machine."""
    folder = tmp_path_factory.mktemp("applications")
    config = folder / "galerie.toml"
    config.write_text('[fetch]\nallow = ["127.0.0.1"]\n')
    server = Server(folder / "data", config)
    server.start()
    yield server
    server.stop()
    assert "panicked" not in server.log
    assert "sig=good" not in server.log


@pytest.fixture(scope="module")
def az(allowing, tmp_path_factory):
    az = Az(allowing, tmp_path_factory.mktemp("az"))
    yield az
    az.close()


@pytest.fixture(scope="module")
def application(az, allowing):
    allowing.group(GROUP)
    az(f"sig create -g {GROUP} -r {GALLERY}")
    return az(f"sig gallery-application create {APPLICATION.replace('--application-name', '-n')} --os-type Linux --location eastus")


def version(command: str, name: str = "1.0.0") -> str:
    return f"sig gallery-application version {command} {APPLICATION} -n {name}"


def pull(server, to, name: str, *more: str) -> bytes:
    server.galerie("application", "version", "pull", f"{GALLERY}/agent/{name}", "-o", str(to), "--force", *more)
    return to.read_bytes()


def test_an_application(az, application):
    name = APPLICATION.replace("--application-name", "-n")
    assert (application["supportedOSType"], application["type"]) == ("Linux", "Microsoft.Compute/galleries/applications")
    assert az(f"sig gallery-application show {name}")["name"] == "agent"
    assert [found["name"] for found in az(f"sig gallery-application list -g {GROUP} -r {GALLERY}")] == ["agent"]
    updated = az(f"sig gallery-application update {name} --description reviewed")
    assert (updated["description"], updated["supportedOSType"]) == ("reviewed", "Linux")


def test_a_version_from_a_link(az, application, allowing, storage, tmp_path):
    links = ["--package-file-link", f"{storage}/agent.tar?sig=good", "--default-file-link", f"{storage}/agent.conf?sig=good"]
    regions = ["--target-regions", "[{name:eastus},{name:westus}]"]
    made = az(f"{version('create')} --location eastus", *regions, *links, *COMMANDS)
    assert made["provisioningState"] == "Succeeded"
    assert made["publishingProfile"]["source"]["mediaLink"] == f"{storage}/agent.tar"
    assert made["publishingProfile"]["manageActions"]["install"] == "tar xf agent && ./install"
    shown = az(f"{version('show')} --expand ReplicationStatus")
    assert [(region["region"], region["state"]) for region in shown["replicationStatus"]["summary"]] == [
        ("East US", "Completed"),
        ("West US", "Completed"),
    ]
    listed = az(f"sig gallery-application version list {APPLICATION}")
    assert [found["name"] for found in listed] == ["1.0.0"]
    for region in ["eastus", "westus"]:
        assert pull(allowing, tmp_path / "agent.tar", "1.0.0", "--region", region) == PACKAGE
    assert pull(allowing, tmp_path / "agent.conf", "1.0.0", "--configuration") == b"level = info\n"


def test_target_regions_change(az, application, allowing, storage, tmp_path):
    # az insists on the link. The signature that the package was fetched by is over by now.
    regions = ["--target-regions", "[{name:eastus},{name:westeurope,regional-replica-count:2}]"]
    changed = az(version("update"), "--package-file-link", f"{storage}/agent.tar?sig=over", *regions)
    regions = changed["publishingProfile"]["targetRegions"]
    assert [(region["name"], region["regionalReplicaCount"]) for region in regions] == [("East US", 1), ("West Europe", 2)]
    assert changed["publishingProfile"]["manageActions"]["remove"] == "./uninstall"
    assert pull(allowing, tmp_path / "agent.tar", "1.0.0", "--region", "westeurope") == PACKAGE


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("/agent.tar?sig=bad", "403"),
        ("/none.tar?sig=good", "404"),
        ("/moved.tar", "at an address that is not public"),
    ],
)
def test_a_link_that_cannot_be_fetched(az, application, storage, link, expected):
    failure = az.fails(f"{version('create', '6.6.6')} --location eastus", "--package-file-link", storage + link, *COMMANDS)
    assert expected in failure.message, failure.message
    assert "publishingProfile.source.mediaLink" in failure.message
    assert az(version("show", "6.6.6"))["provisioningState"] == "Failed"
    az(f"{version('delete', '6.6.6')} --yes")


def test_nothing_inside_is_fetched_by_default(server, tmp_path, storage):
    az = Az(server, tmp_path)
    server.group(GROUP)
    az(f"sig create -g {GROUP} -r {GALLERY}")
    az(f"sig gallery-application create {APPLICATION.replace('--application-name', '-n')} --os-type Linux --location eastus")
    link = ["--package-file-link", f"{storage}/agent.tar?sig=good"]
    failure = az.fails(f"{version('create')} --location eastus", *link, *COMMANDS)
    assert "at an address that is not public" in failure.message and "[fetch] allow" in failure.message, failure.message
    az.close()


def test_the_sdk(allowing, application, storage, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", allowing.ca_file)
    admin = allowing.admin
    credential = ClientSecretCredential(
        admin["tenantId"], admin["clientId"], admin["clientSecret"], authority=allowing.endpoint, disable_instance_discovery=True
    )
    compute = ComputeManagementClient(
        credential, admin["subscriptionId"], base_url=allowing.endpoint, credential_scopes=[f"{allowing.endpoint}/.default"]
    )
    versions, where = compute.gallery_application_versions, (GROUP, GALLERY, "agent")
    profile = {
        "source": {"mediaLink": f"{storage}/agent.tar?sig=good"},
        "manageActions": {"install": "i", "remove": "r"},
        "customActions": [{"name": "check", "script": "./check"}],
    }
    body = {"location": "eastus", "properties": {"publishingProfile": profile}}
    made = versions.begin_create_or_update(*where, "2.0.0", body).result()
    assert made.properties.provisioning_state == "Succeeded"
    assert made.properties.publishing_profile.custom_actions[0].script == "./check"
    assert {found.name for found in versions.list_by_gallery_application(*where)} == {"1.0.0", "2.0.0"}
    with pytest.raises(HttpResponseError) as refused:
        body["properties"]["publishingProfile"]["source"] = {"mediaLink": f"{storage}/other.tar"}
        versions.begin_create_or_update(*where, "2.0.0", body).result()
    assert refused.value.error.code == "PropertyChangeNotAllowed"
    versions.begin_delete(*where, "2.0.0").result()
    scripts, script_versions = compute.gallery_scripts, compute.gallery_script_versions
    scripts.begin_create_or_update(
        GROUP, GALLERY, "hello", {"location": "eastus", "properties": {"supportedOSType": "Linux"}}
    ).result()
    source = {"scriptLink": f"{storage}/agent.conf?sig=good", "parameters": [{"name": "level", "type": "String"}]}
    script = script_versions.begin_create_or_update(
        GROUP, GALLERY, "hello", "1.0.0", {"location": "eastus", "properties": {"publishingProfile": {"source": source}}}
    ).result()
    assert script.properties.provisioning_state == "Succeeded"
    assert script.properties.publishing_profile.source.script_link == f"{storage}/agent.conf"


def test_a_file_is_published_and_pulled(allowing, application, tmp_path):
    package, configuration = tmp_path / "agent.zip", tmp_path / "agent.ini"
    package.write_bytes(PACKAGE[:1_234_567])
    configuration.write_bytes(b"x")
    where = f"{GALLERY}/tool/1.0.0"
    publish = ["application", "version", "publish", str(package), where, "--install", "i", "--remove", "r"]
    assert "--create" in allowing.galerie(*publish, check=False).stderr
    regions = ["--target-region", "eastus", "--target-region", "westus"]
    allowing.galerie(*publish, "--create", "--os-type", "Windows", "--configuration", str(configuration), *regions)
    assert "exists already" in allowing.galerie(*publish, check=False).stderr
    out = tmp_path / "out"
    for region in ["eastus", "westus"]:
        allowing.galerie("application", "version", "pull", where, "-o", str(out), "--force", "--region", region)
        assert hashlib.sha256(out.read_bytes()).digest() == hashlib.sha256(package.read_bytes()).digest()
    allowing.galerie("application", "version", "pull", where, "-o", str(out), "--force", "--configuration")
    assert out.read_bytes() == b"x"
    listed = allowing.galerie("application", "version", "list", f"{GALLERY}/tool").stdout
    assert "1.0.0" in listed and "Succeeded" in listed
    assert "Windows" in allowing.galerie("application", "show", f"{GALLERY}/tool").stdout
    assert "tool" in allowing.galerie("application", "list", GALLERY).stdout
    allowing.galerie("application", "version", "delete", where, "--yes")
    allowing.galerie("application", "delete", f"{GALLERY}/tool", "--yes")


def test_a_fetch_outlives_its_process(tmp_path, tmp_path_factory):
    """A process that is killed in the middle of a package leaves nothing half-fetched; its next start fetches all of it."""
    begun, go_on = threading.Event(), threading.Event()

    class Slow(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(PACKAGE)))
            self.end_headers()
            self.wfile.write(PACKAGE[:1_000_000])
            begun.set()
            go_on.wait(60)
            try:
                self.wfile.write(PACKAGE[1_000_000:])
            except OSError:
                pass  # Whoever asked is dead.

        def log_message(self, *_):
            pass

    slow = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=slow.serve_forever, daemon=True).start()
    folder = tmp_path_factory.mktemp("killed")
    config = folder / "galerie.toml"
    config.write_text('[fetch]\nallow = ["127.0.0.1"]\n')
    server = Server(folder / "data", config).start()
    server.group(GROUP)
    gallery = f"{server.subscription}/resourceGroups/{GROUP}/providers/Microsoft.Compute/galleries/{GALLERY}"
    source = {"mediaLink": f"http://127.0.0.1:{slow.server_port}/agent.tar"}
    profile = {"source": source, "manageActions": {"install": "i", "remove": "r"}}
    version = f"{gallery}/applications/agent/versions/1.0.0"
    for path, properties in [
        (gallery, {}),
        (f"{gallery}/applications/agent", {"supportedOSType": "Linux"}),
        (version, {"publishingProfile": profile}),
    ]:
        reply = server.request("PUT", path, {"location": "eastus", "properties": properties})
        assert reply.status_code == 201, reply.text
    assert begun.wait(60)
    server.kill()
    go_on.set()
    server.start()
    wait_until("the package", lambda: server.get(version)["properties"]["provisioningState"] == "Succeeded")
    assert pull(server, tmp_path / "agent.tar", "1.0.0") == PACKAGE
    assert not list((server.data_dir / "regions/eastus/staging").iterdir())
    assert server.stop() == 0
    slow.shutdown()


def test_everything_goes_with_the_gallery(az, application, allowing):
    assert "nested resources" in az.fails(f"sig gallery-application delete {APPLICATION.replace('--application-name', '-n')} --yes").message
    shown = allowing.galerie("gallery", "delete", GALLERY, "--cascade", "--yes").stdout
    for kind in ["application version", "application", "script version", "script"]:
        assert kind in shown, shown
    assert GALLERY not in [found["name"] for found in az(f"sig list -g {GROUP}")]
