"""A tenant that trusts an OpenID Provider of others: its users, its applications, its keys, and its absence."""

import os
import subprocess
import uuid

import pytest
import requests
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.mgmt.compute import ComputeManagementClient

from galerie_server import BINARY, Server, token_claims, wait_until
from oidc_issuer import AUDIENCE, OidcIssuer, p256_key, rsa_key

READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
CONTRIBUTOR = "b24988ac-6180-42a0-ab88-20f7382dd24c"


@pytest.fixture(scope="module")
def keys():
    return [rsa_key("one"), p256_key("curve")]


@pytest.fixture(scope="module")
def issuer(tmp_path_factory, keys):
    issuer = OidcIssuer(tmp_path_factory.mktemp("issuer"), keys)
    yield issuer
    issuer.stop()


@pytest.fixture(scope="module")
def trusting(tmp_path_factory, issuer):
    folder = tmp_path_factory.mktemp("trusting")
    config = folder / "galerie.toml"
    config.write_text(
        f'metrics_listen = "off"\n[[external_issuers]]\nissuer = "{issuer.url}"\ntenant = "galerie.internal"\naudience = "{AUDIENCE}"\n'
        '[external_issuers.groups]\nreaders = "Readers from outside"\n'
    )
    server = Server(folder / "data", config).start()
    # The Python clients take the CA from the environment, as the documentation tells their users.
    former = os.environ.get("REQUESTS_CA_BUNDLE")
    os.environ["REQUESTS_CA_BUNDLE"] = server.ca_file
    yield server
    if former:
        os.environ["REQUESTS_CA_BUNDLE"] = former
    else:
        del os.environ["REQUESTS_CA_BUNDLE"]
    assert server.stop() == 0, server.log[-4000:]
    assert "panicked" not in server.log


def as_bearer(token: str) -> dict:
    return {"Authorization": f"Bearer {token}"}


def subscription_seen(server: Server, token: str):
    """Whoever has a role in the subscription, or on anything in it, sees it."""
    return server.request("GET", server.subscription, headers=as_bearer(token))


def graph(server: Server, token: str, path: str) -> dict:
    reply = requests.get(f"{server.endpoint}/msgraph/v1.0/{path}", headers=as_bearer(token), verify=server.ca_file, timeout=30)
    assert reply.status_code == 200, reply.text
    return reply.json()


def operator_graph_token(server: Server) -> str:
    admin = server.admin
    form = {"grant_type": "client_credentials", "client_id": admin["clientId"], "client_secret": admin["clientSecret"], "scope": f"{server.endpoint}/msgraph/.default"}
    reply = requests.post(f"{server.endpoint}/{admin['tenantId']}/oauth2/v2.0/token", data=form, verify=server.ca_file, timeout=30)
    assert reply.status_code == 200, reply.text
    return reply.json()["access_token"]


def galerie(server: Server, variables: dict, *arguments: str):
    environment = server.client_environment() | variables
    return subprocess.run([BINARY, *arguments], env=environment, capture_output=True, text=True, timeout=120)


def grant(server: Server, role: str, principal: str, kind: str) -> None:
    body = {"properties": {"roleDefinitionId": f"/providers/Microsoft.Authorization/roleDefinitions/{role}", "principalId": principal, "principalType": kind}}
    path = f"{server.subscription}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
    reply = server.request("PUT", path, body, api_version="2022-04-01")
    assert reply.status_code == 201, reply.text


class Presented:
    """What an SDK takes for a credential: a token from wherever it came."""

    def __init__(self, token: str):
        self._token = token

    def get_token(self, *scopes, **options) -> AccessToken:
        return AccessToken(self._token, int(token_claims(self._token)["exp"]))


def test_a_user_signs_in_there_and_works_here_with_the_sdk(trusting, issuer):
    tokens = issuer.user_tokens("ada@example.com")
    token = tokens["access_token"]
    assert token_claims(token)["iss"] == issuer.url and token_claims(token)["aud"] == AUDIENCE
    me = graph(trusting, token, "me")
    assert me["userPrincipalName"] == "ada_example.com#EXT#@galerie.internal"
    compute = ComputeManagementClient(
        Presented(token), trusting.admin["subscriptionId"], base_url=trusting.endpoint, credential_scopes=[f"{trusting.endpoint}/.default"]
    )
    with pytest.raises(HttpResponseError) as refused:
        compute.galleries.begin_create_or_update("staff", "staffGallery", {"location": "eastus"})
    assert refused.value.status_code == 403
    grant(trusting, CONTRIBUTOR, me["id"], "User")
    trusting.group("staff")
    made = compute.galleries.begin_create_or_update("staff", "staffGallery", {"location": "eastus"}).result()
    assert made.provisioning_state == "Succeeded"
    # The same person's id token says who it is, and opens nothing.
    refused = subscription_seen(trusting, tokens["id_token"])
    assert refused.status_code == 401, refused.text


def test_a_group_of_the_token_counts_when_it_is_listed(trusting, issuer):
    listed = graph(trusting, operator_graph_token(trusting), "groups?$filter=displayName eq 'Readers from outside'")["value"]
    assert len(listed) == 1
    grant(trusting, READER, listed[0]["id"], "Group")
    assert subscription_seen(trusting, issuer.user_tokens("bea+readers@example.com")["access_token"]).status_code == 200
    for account in ("cleo@example.com", "dan+others@example.com", f"eve+{listed[0]['id']}@example.com"):
        assert subscription_seen(trusting, issuer.user_tokens(account)["access_token"]).status_code == 403, account


def test_an_application_works_with_the_command_line(trusting, issuer, tmp_path):
    token = issuer.application_token()
    assert token_claims(token)["sub"] == "nightly"
    environment = {"GALERIE_TOKEN_FILE": str(tmp_path / "token")}
    (tmp_path / "token").write_text(token + "\n")
    listed = galerie(trusting, environment, "gallery", "list")
    assert listed.returncode == 0 and "staffGallery" not in listed.stdout, listed.stderr
    found = graph(trusting, operator_graph_token(trusting), "servicePrincipals?$filter=displayName eq 'nightly'")["value"]
    grant(trusting, READER, found[0]["id"], "ServicePrincipal")
    trusting.group("nightly")
    trusting.put(f"{trusting.subscription}/resourceGroups/nightly/providers/Microsoft.Compute/galleries/nightlyGallery", {"location": "eastus"})
    for variables in (environment, {"GALERIE_TOKEN": token}):
        listed = galerie(trusting, variables, "gallery", "list")
        assert listed.returncode == 0 and "nightlyGallery" in listed.stdout, listed.stderr
    wrong = galerie(trusting, {"GALERIE_TOKEN": token[:-8] + "AAAAAAAA"}, "gallery", "list")
    assert wrong.returncode == 1 and "signature is not its issuer's" in wrong.stderr and token[:40] not in wrong.stderr, wrong.stderr
    refused = galerie(trusting, environment, "connect", "env")
    assert refused.returncode == 1 and "an account with a secret" in refused.stderr, refused.stderr


def test_keys_rotate_and_a_restart_without_the_issuer_works(trusting, issuer, keys):
    token = issuer.application_token()
    assert subscription_seen(trusting, token).status_code == 200
    issuer.stop()
    assert trusting.stop() == 0
    trusting.start()
    assert subscription_seen(trusting, token).status_code == 200, "the catalogue has the keys"
    issuer.start([rsa_key("two"), keys[1]])
    rotated = issuer.application_token()
    # The start could not read the keys; a token that names a new one makes the server ask again, not at once.
    reply = wait_until("the new key", lambda: (seen := subscription_seen(trusting, rotated)).status_code != 401 and seen, 60)
    assert reply.status_code == 200, reply.text
    assert subscription_seen(trusting, token).status_code == 401, "the former key is shown no more"
    issuer.stop()
    issuer.start([keys[1]], algorithm="ES256")
    assert subscription_seen(trusting, issuer.application_token()).status_code == 200, "another algorithm, with a key that is known"


def test_a_configuration_that_lets_anybody_in_is_refused(trusting, issuer, tmp_path):
    for audience, why in (("https://management.azure.com", "is Azure's own"), ("797f4846-ba00-4fd7-bacd-f8ec3b61f7e8", "bare GUID")):
        config = tmp_path / "galerie.toml"
        config.write_text(f'[[external_issuers]]\nissuer = "{issuer.url}"\ntenant = "galerie.internal"\naudience = "{audience}"\n')
        started = subprocess.run(
            [BINARY, "serve", "--data-dir", tmp_path / "data", "--listen", "127.0.0.1:0", "--config", config], capture_output=True, text=True, timeout=60
        )
        assert started.returncode != 0 and why in started.stderr, started.stderr
