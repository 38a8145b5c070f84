"""A user of the server: publishes, uploads, copies, deletes, in a group of its own, as the seed says.

An action that the server's death interrupts is kept and begun again after the restart (`recover`), as a pipeline does it.
Every action may be begun again at any point.
"""

import random
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import checks
from exchange import COMPUTE, delete, expect, find, finish_upload, new_upload, put, settle, wait_for
from guest import GUEST_BYTES, MIB, Guest, GuestMaker
from history import History, Lost
from torture_server import REGIONS, Gone, TortureServer

DEFINITION = "image"
# So few that all of it can be read again and again.
RESOURCES_MAX = 5
CLIENT_PATIENCE_S = 60


@dataclass(frozen=True)
class Held:
    """A resource with bytes, and where it lives."""

    guest: Guest
    region: str
    regions: tuple[str, ...] = ()


@dataclass
class Action:
    name: str
    run: Callable[[], None]


@dataclass
class Actor:
    name: str
    server: TortureServer
    history: History
    guests: GuestMaker
    random: random.Random
    scratch: Path
    held: dict[str, dict[str, Held]] = field(default_factory=lambda: {kind: {} for kind in ("disks", "snapshots", "images", "versions")})
    pending: Action | None = None
    done: int = 0
    made: int = 0
    client: subprocess.Popen | None = None

    @property
    def group(self) -> str:
        return f"{self.server.subscription}/resourceGroups/{self.name}"

    @property
    def gallery(self) -> str:
        return f"{self.group}/{COMPUTE}/galleries/gallery_{self.name}"

    @property
    def definition(self) -> str:
        return f"{self.gallery}/images/{DEFINITION}"

    # What happens

    def work(self) -> None:
        """Acts until the server is gone."""
        while True:
            self.recover()
            self.attempt(*self.choose())

    def recover(self) -> None:
        """Brings to its end what was interrupted."""
        if self.pending:
            self.pending.run()
            self.pending = None
            self.done += 1

    def attempt(self, name: str, run: Callable[[], None]) -> None:
        self.pending = Action(name, run)
        self.recover()

    def choose(self) -> tuple[str, Callable[[], None]]:
        if not find(self.server, self.definition):
            return "furnish", self.furnish
        sources = [(path, held) for kind in self.held.values() for path, held in kind.items()]
        actions = [(3, self.upload), (3, self.publish), (1, self.collect), (1, self.read)]
        if sources:
            actions += [(3, self.version), (2, self.disk), (2, self.snapshot), (2, self.image), (4, self.drop)]
        if self.held["versions"]:
            actions += [(2, self.retarget)]
        if len(sources) > 2 * RESOURCES_MAX:
            actions += [(8, self.drop), (1, self.drop_gallery), (1, self.drop_group)]
        weights = [weight for weight, _ in actions]
        (chosen,) = self.random.choices([action for _, action in actions], weights)
        return chosen.__name__, chosen() or (lambda: None)

    def furnish(self) -> None:
        put(self.server, self.history, self.group, {"location": "eastus"})
        put(self.server, self.history, self.gallery, {"location": "eastus"})
        identifier = {"publisher": "p", "offer": "o", "sku": self.name}
        properties = {"osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2", "identifier": identifier}
        put(self.server, self.history, self.definition, {"location": "eastus", "properties": properties})

    # Each of these draws what is to be done, and answers how: the drawing happens once, the doing perhaps again.

    def upload(self):
        region, guest, path = self.random.choice(REGIONS), self.guests.make(), self._new("disks")
        properties = {"creationData": {"createOption": "Upload", "uploadSizeBytes": GUEST_BYTES + 512}, "osType": "Linux"}
        body = {"location": region, "sku": {"name": "Standard_LRS"}, "properties": properties}
        block_bytes = self.random.choice([MIB // 4, MIB, 4 * MIB])
        upload = new_upload(path, body, guest, block_bytes)

        def run():
            finish_upload(self.server, self.history, upload)
            self.held["disks"][path] = Held(guest, region)

        return run

    def publish(self):
        guest, regions = self.guests.make(), self._regions()
        path, dies_too = self._new("versions"), self.random.random() < 0.5
        reference = f"gallery_{self.name}/{DEFINITION}/{path.rsplit('/', 1)[1]}"
        targets = [option for region in regions for option in ("--target-region", region)]
        command = ["publish", guest.raw, reference, "--resource-group", self.name, "--location", regions[0], *targets]

        def run():
            if self.client:
                self._wait_for_client(dies_too)
            write = self.history.record(path, True, guest, regions)
            version = find(self.server, path)
            while version and version["properties"]["provisioningState"] not in ("Succeeded", "Failed"):
                time.sleep(0.01)
                version = find(self.server, path)
            if not version or version["properties"]["provisioningState"] == "Failed":
                self.client = self.server.spawn_galerie(*command, log=self.scratch / f"{self.name}.log")
                self._wait_for_client(dies_too)
            write.ack()
            self.held["versions"][path] = Held(guest, regions[0], regions)

        return run

    def _wait_for_client(self, dies_too: bool) -> None:
        """Waits for `galerie publish`, which outlives the server and tries again, unless it dies with it."""
        deadline = time.monotonic() + CLIENT_PATIENCE_S
        while (code := self.client.poll()) is None:
            if not self.server.is_running:
                if dies_too:
                    self.client.kill()
                    self.client.wait()
                    self.client = None
                raise Gone("publish")
            if time.monotonic() > deadline:
                raise Lost(f"stuck: publish for {CLIENT_PATIENCE_S} s")
            time.sleep(0.005)
        self.client = None
        if code and self.server.is_dead(self.server._process):
            raise Gone("publish")
        if code:
            # It may have given up while the server was away; then this is not its last word.
            self.failures = getattr(self, "failures", 0) + 1
            if self.failures > 3:
                raise Lost(f"publish failed {self.failures} times:\n{(self.scratch / f'{self.name}.log').read_text()[-3000:]}")
            return self.recover()
        self.failures = 0

    def version(self):
        kind = self.random.choice([kind for kind in self.held if self.held[kind]])
        source, held = self.random.choice(sorted(self.held[kind].items()))
        regions, path = self._regions(held.region), self._new("versions")
        if kind in ("disks", "snapshots"):
            storage = {"osDiskImage": {"source": {"id": source}}}
        else:
            storage = {"source": {"id": source}}
        body = {"location": held.region, "properties": {"storageProfile": storage, "publishingProfile": targets(regions)}}

        def run():
            put(self.server, self.history, path, body, held.guest, regions)
            self.held["versions"][path] = Held(held.guest, held.region, regions)

        return run

    def retarget(self):
        path, held = self.random.choice(sorted(self.held["versions"].items()))
        regions = self._regions(held.region)

        def run():
            body = expect(self.server.request("GET", path), 200).json()
            body["properties"]["publishingProfile"] |= targets(regions)
            put(self.server, self.history, path, body, held.guest, regions)
            self.held["versions"][path] = Held(held.guest, held.region, regions)

        return run

    def disk(self):
        kind = self.random.choice([kind for kind in ("disks", "snapshots", "versions") if self.held[kind]] or [None])
        if not kind:
            return None
        source, held = self.random.choice(sorted(self.held[kind].items()))
        region = self.random.choice(held.regions or (held.region,))
        if kind == "versions":
            data = {"createOption": "FromImage", "galleryImageReference": {"id": source}}
        else:
            data = {"createOption": "Copy", "sourceResourceId": source}
        return self._make("disks", data, held.guest, region)

    def snapshot(self):
        if not self.held["disks"]:
            return None
        source, held = self.random.choice(sorted(self.held["disks"].items()))
        return self._make("snapshots", {"createOption": "Copy", "sourceResourceId": source}, held.guest, held.region)

    def _make(self, kind: str, data: dict, guest: Guest, region: str):
        path, body = self._new(kind), {"location": region, "properties": {"creationData": data}}

        def run():
            put(self.server, self.history, path, body, guest)
            self.held[kind][path] = Held(guest, region)

        return run

    def image(self):
        kind = self.random.choice([kind for kind in ("disks", "snapshots") if self.held[kind]] or [None])
        if not kind:
            return None
        source, held = self.random.choice(sorted(self.held[kind].items()))
        name = "managedDisk" if kind == "disks" else "snapshot"
        os_disk = {"osType": "Linux", "osState": "Generalized", name: {"id": source}}
        body = {"location": held.region, "properties": {"hyperVGeneration": "V2", "storageProfile": {"osDisk": os_disk}}}
        path = self._new("images")

        def run():
            put(self.server, self.history, path, body, held.guest)
            self.held["images"][path] = Held(held.guest, held.region)

        return run

    def drop(self):
        kind = self.random.choice([kind for kind in self.held if self.held[kind]])
        path = self.random.choice(sorted(self.held[kind]))

        def run():
            # A reader's access may have outlived it.
            if kind in ("disks", "snapshots") and (found := find(self.server, path)) and found["properties"].get("diskState") == "ActiveSAS":
                settle(self.server, expect(self.server.request("POST", f"{path}/endGetAccess"), 200, 202))
            delete(self.server, self.history, path)
            self.held[kind].pop(path, None)

        return run

    def drop_gallery(self):
        """Versions, definition, gallery, from below as a user must."""

        def run():
            for version in sorted(self.held["versions"]):
                delete(self.server, self.history, version)
                self.held["versions"].pop(version)
            delete(self.server, self.history, self.definition)
            delete(self.server, self.history, self.gallery)

        return run

    def drop_group(self):
        def run():
            below = [path for path in self.history.paths() if path.startswith(f"{self.group}/")]
            delete(self.server, self.history, self.group, below)
            wait_for(f"{self.group} to go", lambda: not find(self.server, self.group), self.server)
            for kind in self.held.values():
                kind.clear()

        return run

    def collect(self):
        region = self.random.choice(REGIONS)
        return lambda: expect(self.server.request("POST", f"/galerie/store/{region}/collect"), 200)

    def read(self):
        sources = [path for kind in self.held.values() for path in kind]
        path = self.random.choice(sorted(sources)) if sources else None
        return lambda: path and checks.check_content(self.server, self.history, path, self.scratch)

    def _new(self, kind: str) -> str:
        self.made += 1
        if kind == "versions":
            return f"{self.definition}/versions/1.0.{self.made}"
        return f"{self.group}/{COMPUTE}/{kind}/{kind[:-1]}{self.made}"

    def _regions(self, home: str | None = None) -> tuple[str, ...]:
        """One to all of the regions, the home region first."""
        home = home or self.random.choice(REGIONS)
        others = [region for region in REGIONS if region != home]
        return (home, *self.random.sample(others, self.random.randint(0, 2)))


def targets(regions: tuple[str, ...]) -> dict:
    return {"targetRegions": [{"name": region} for region in regions]}
