"""An OpenID Connect issuer that is not ours: `oidc-provider` on Node.js, a process of its own on a loopback port."""

import base64
import hashlib
import json
import os
import re
import secrets
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import requests
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from galerie_server import REPOSITORY, wait_until

MODULES = REPOSITORY / "target/venv/oidc"
PROGRAM = Path(__file__).with_name("oidc_provider") / "server.mjs"
AUDIENCE = "api://galerie"
REDIRECT = "http://127.0.0.1/callback"
START_TIMEOUT_S = 60


def number(value: int, length: int | None = None) -> str:
    length = length or (value.bit_length() + 7) // 8
    return base64.urlsafe_b64encode(value.to_bytes(length, "big")).rstrip(b"=").decode()


def rsa_key(kid: str) -> dict:
    """A private key as key sets have it (RFC 7517)."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_numbers()
    public = private.public_numbers
    numbers = {"n": public.n, "e": public.e, "d": private.d, "p": private.p, "q": private.q}
    numbers |= {"dp": private.dmp1, "dq": private.dmq1, "qi": private.iqmp}
    return {"kty": "RSA", "kid": kid, "use": "sig"} | {name: number(value) for name, value in numbers.items()}


def p256_key(kid: str) -> dict:
    private = ec.generate_private_key(ec.SECP256R1()).private_numbers()
    numbers = {"x": private.public_numbers.x, "y": private.public_numbers.y, "d": private.private_value}
    return {"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig"} | {name: number(value, 32) for name, value in numbers.items()}


class OidcIssuer:
    def __init__(self, folder: Path, keys: list[dict]):
        self._folder = folder
        self._log = folder / "issuer.log"
        self._port = 0
        self._process: subprocess.Popen | None = None
        self.url = ""
        self.start(keys)

    def start(self, keys: list[dict], algorithm: str = "RS256") -> None:
        """Starts it with these keys; the first of a kind signs. A later start has the same URL."""
        key_file = self._folder / "keys.json"
        key_file.write_text(json.dumps({"keys": keys}))
        seen = len(self._output)
        environment = os.environ | {"OIDC_ISSUER_MODULES": str(MODULES), "OIDC_ISSUER_ALGORITHM": algorithm}
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                ["node", PROGRAM, str(self._port), key_file], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )

        def ready():
            assert self._process.poll() is None, f"the issuer ended while starting:\n{self._output}"
            return re.search(r"^ready (http://127\.0\.0\.1:(\d+))$", self._output[seen:], re.MULTILINE)

        found = wait_until("the issuer to be ready", ready, START_TIMEOUT_S)
        self.url, self._port = found[1], int(found[2])

    @property
    def _output(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def application_token(self) -> str:
        """An application's own token (client credentials)."""
        form = {"grant_type": "client_credentials", "resource": AUDIENCE, "scope": "use"}
        reply = requests.post(f"{self.url}/token", data=form, auth=("nightly", "nightly-secret-of-no-worth"), timeout=30)
        assert reply.status_code == 200, reply.text
        return reply.json()["access_token"]

    def user_tokens(self, account: str) -> dict:
        """The tokens of a user who signs in at the issuer's own pages (authorization code, PKCE)."""
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "client_id": "web",
            "response_type": "code",
            "redirect_uri": REDIRECT,
            "scope": "openid profile use",
            "resource": AUDIENCE,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        browser = requests.Session()
        reply = browser.get(f"{self.url}/auth", params=query, allow_redirects=False, timeout=30)
        # The pages ask who it is, then whether the application may; both are forms that post to where they are.
        for _ in range(10):
            if reply.status_code == 200:
                prompt = re.search(r'name="prompt" value="(\w+)"', reply.text)[1]
                typed = {"prompt": prompt} | ({"login": account, "password": "any"} if prompt == "login" else {})
                action = urljoin(reply.url, re.search(r'action="([^"]+)"', reply.text)[1])
                reply = browser.post(action, data=typed, allow_redirects=False, timeout=30)
                continue
            assert reply.status_code in (302, 303), reply.text
            target = urljoin(reply.url, reply.headers["Location"])
            if target.startswith(REDIRECT):
                break
            reply = browser.get(target, allow_redirects=False, timeout=30)
        answered = parse_qs(urlsplit(target).query)
        assert "code" in answered, answered
        form = {
            "grant_type": "authorization_code",
            "client_id": "web",
            "code": answered["code"][0],
            "redirect_uri": REDIRECT,
            "code_verifier": verifier,
            "resource": AUDIENCE,
        }
        reply = requests.post(f"{self.url}/token", data=form, timeout=30)
        assert reply.status_code == 200, reply.text
        return reply.json()
