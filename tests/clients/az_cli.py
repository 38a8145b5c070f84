"""The real Azure CLI, connected to a server by the lines that `galerie connect az` prints."""

import json
import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from galerie_server import REPOSITORY, Server

AZ_ENVIRONMENT = REPOSITORY / "target/venv/az/bin"


@dataclass(frozen=True)
class AzFailure:
    code: int
    message: str


class Az:
    """`az("group create -n", name)` is the command's JSON output as Python values, or None when it printed nothing."""

    def __init__(self, server: Server, home: Path):
        environment = self._connect(server, home)
        self._driver = subprocess.Popen(
            [AZ_ENVIRONMENT / "python", Path(__file__).with_name("az_driver.py")],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    @staticmethod
    def _connect(server: Server, home: Path) -> dict:
        """Runs the printed lines in a shell, as a person pastes them; the environment that they leave behind."""
        lines = server.galerie("connect", "az").stdout
        environment = os.environ | {
            "HOME": str(home),  # the printed lines keep az's profile below it
            "PATH": f"{AZ_ENVIRONMENT}:{os.environ['PATH']}",
            "AZURE_CORE_COLLECT_TELEMETRY": "false",
        }
        script = f"set -e\n{lines}\nenv -0 >&3\n"
        read, write = os.pipe()
        done = subprocess.run(
            ["bash", "-c", f"exec 3>&{write}\n{script}"], env=environment, pass_fds=[write], capture_output=True, text=True
        )
        os.close(write)
        with os.fdopen(read, "rb") as file:
            variables = file.read().decode()
        assert done.returncode == 0, f"`galerie connect az` printed lines that do not work:\n{lines}\n{done.stderr}"
        return dict(line.split("=", 1) for line in variables.split("\0") if "=" in line)

    def __call__(self, command: str, *arguments: object):
        reply = self._run(command, arguments)
        assert reply["code"] == 0, f"az {command} {arguments}: exit code {reply['code']}\n{reply['err']}"
        return json.loads(reply["out"]) if reply["out"].strip() else None

    def fails(self, command: str, *arguments: object) -> AzFailure:
        """Runs a command that must fail."""
        reply = self._run(command, arguments)
        assert reply["code"] != 0, f"az {command} {arguments} succeeded:\n{reply['out']}"
        return AzFailure(reply["code"], reply["err"])

    def _run(self, command: str, arguments: tuple) -> dict:
        line = [*shlex.split(command), *(str(argument) for argument in arguments), "--output", "json"]
        self._driver.stdin.write(json.dumps(line) + "\n")
        self._driver.stdin.flush()
        reply = self._driver.stdout.readline()
        assert reply, "the az process ended"
        return json.loads(reply)

    def close(self) -> None:
        self._driver.stdin.close()
        self._driver.wait(timeout=30)
