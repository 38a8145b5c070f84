"""Who somebody is, across processes on one catalogue: what one of them decided counts at the others' next request (`make test-postgres`)."""

import re
import secrets

import pytest
import requests

from browser import Browser
from galerie_server import token_claims, unique, wait_until
from processes import Gallery, Process, serving

AZ = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
PASSWORD = "a nanosecond of wire"
READER = "/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7"


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("identity")) as gallery:
        yield gallery


def post(process: Process, path: str, form: dict) -> requests.Response:
    return requests.post(process.endpoint + path, data=form, verify=process.ca_file, timeout=60)


def graph(gallery: Gallery, process: Process, method: str, below: str, body: dict | None = None) -> requests.Response:
    headers = {"Authorization": f"Bearer {gallery.token_for_graph()}"}
    return requests.request(method, f"{process.endpoint}/msgraph/v1.0/{below}", json=body, headers=headers, verify=process.ca_file, timeout=60)


def arm(process: Process, token: str, path: str, method: str = "GET", body: dict | None = None) -> requests.Response:
    versions = {"api-version": "2022-04-01" if "Authorization" in path else "2022-12-01"}
    headers = {"Authorization": f"Bearer {token}"}
    return requests.request(method, process.endpoint + path, params=versions, json=body, headers=headers, verify=process.ca_file, timeout=60)


def status(process: Process, token: str, path: str = "/subscriptions") -> int:
    return arm(process, token, path).status_code


class Person:
    """A user, and the form that refreshes at any process."""

    def __init__(self, gallery: Gallery):
        self.gallery, self.name = gallery, f"{unique('grace')}@galerie.internal"
        body = {
            "userPrincipalName": self.name, "displayName": self.name, "mailNickname": "grace", "accountEnabled": True,
            "passwordProfile": {"password": PASSWORD, "forceChangePasswordNextSignIn": False},
        }  # fmt: skip
        made = graph(gallery, gallery.processes[0], "POST", "users", body)
        assert made.status_code == 201, made.text
        self.id = made.json()["id"]
        self.scope = f"{gallery.endpoint}/.default offline_access openid"

    def sign_in(self) -> dict:
        """Begun at one process, let in on the page of the next, redeemed at the third."""
        first, second, third = self.gallery.processes
        device = post(first, "/organizations/oauth2/v2.0/devicecode", {"client_id": AZ, "scope": self.scope}).json()
        page = Browser(second.ca_file).open(f"{second.endpoint}/devicelogin")
        page.press("next", user_code=device["user_code"])
        page.press("approve", user_name=self.name, password=PASSWORD)
        assert page.page.status_code == 200, page.page.text
        form = {"grant_type": DEVICE, "client_id": AZ, "device_code": device["device_code"]}
        tokens = post(third, "/organizations/oauth2/v2.0/token", form)
        assert tokens.status_code == 200, tokens.text
        again = post(first, "/organizations/oauth2/v2.0/token", form)
        assert again.json()["error"] == "invalid_grant", "a device code is good once, at all of them together"
        return tokens.json()

    def refresh(self, process: Process, token: str) -> requests.Response:
        form = {"grant_type": "refresh_token", "client_id": AZ, "scope": self.scope, "refresh_token": token}
        return post(process, "/organizations/oauth2/v2.0/token", form)


@pytest.fixture
def person(gallery):
    return Person(gallery)


def test_a_session_goes_on_at_every_process_and_reuse_at_any_ends_it_at_all(gallery, person):
    first, second, third = gallery.processes
    tokens = person.sign_in()
    for process in gallery.processes:
        assert status(process, tokens["access_token"]) == 200
    used = [tokens["refresh_token"]]
    for process in (first, second, third):
        refreshed = person.refresh(process, used[-1])
        assert refreshed.status_code == 200, refreshed.text
        assert token_claims(refreshed.json()["access_token"])["oid"] == person.id
        used.append(refreshed.json()["refresh_token"])
    # The one before the last is the last one's, for seconds, wherever it is shown; an older one was stolen.
    again = person.refresh(first, used[-2])
    assert again.status_code == 200 and again.json()["refresh_token"] == used[-1]
    assert gallery.metric("galerie_refresh_token_reuses_total") == 0
    for process, token in ((second, used[0]), (third, used[-1]), (first, used[-2])):
        ended = person.refresh(process, token)
        assert ended.status_code == 400 and ended.json()["error"] == "invalid_grant", ended.text
    assert gallery.metric("galerie_refresh_token_reuses_total") == 1, "counted where it was noticed"
    another = person.sign_in()
    assert person.refresh(second, another["refresh_token"]).status_code == 200, "other sessions are as good as before"


def test_two_processes_that_refresh_at_once_give_one_successor(gallery, person):
    from concurrent.futures import ThreadPoolExecutor

    token = person.sign_in()["refresh_token"]
    with ThreadPoolExecutor(9) as pool:
        replies = list(pool.map(lambda number: person.refresh(gallery.processes[number % 3], token), range(9)))
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.json()["refresh_token"] for reply in replies}) == 1


def key_ids(process: Process) -> set[str]:
    keys = requests.get(f"{process.endpoint}/common/discovery/keys", verify=process.ca_file, timeout=60).json()["keys"]
    return {key["kid"] for key in keys}


def test_a_key_of_one_process_is_known_to_the_others_and_signs_nobody_out(gallery, person):
    first, second, third = gallery.processes
    tokens, before = person.sign_in(), key_ids(first)
    rotated = arm(first, gallery.token(), "/galerie/keys/rotate", "POST")
    assert rotated.status_code == 204, rotated.text
    new = key_ids(first) - before
    assert len(new) == 1
    for process in (second, third):
        wait_until("the key is published by every process", lambda: new <= key_ids(process), 120)
    for process in gallery.processes:
        assert status(process, tokens["access_token"]) == 200
    assert person.refresh(second, tokens["refresh_token"]).status_code == 200


def test_what_is_revoked_at_one_process_is_refused_by_the_next_request_of_another(gallery, person):
    first, second, third = gallery.processes
    tokens = person.sign_in()
    ended = graph(gallery, first, "POST", f"users/{person.id}/revokeSignInSessions")
    assert ended.status_code == 200, ended.text
    assert status(second, tokens["access_token"]) == 401
    assert person.refresh(third, tokens["refresh_token"]).json()["error"] == "invalid_grant"

    tokens = person.sign_in()
    for enabled, expected in ((False, 401), (True, 401)):
        assert graph(gallery, second, "PATCH", f"users/{person.id}", {"accountEnabled": enabled}).status_code == 204
        assert status(third, tokens["access_token"]) == expected, "what was issued before is over for good"
    tokens = person.sign_in()
    assert graph(gallery, third, "DELETE", f"users/{person.id}").status_code == 204
    assert status(first, tokens["access_token"]) == 401


def test_secrets_and_roles_that_one_process_takes_are_gone_at_the_others(gallery):
    first, second, third = gallery.processes
    app = graph(gallery, first, "POST", "applications", {"displayName": unique("pipeline")}).json()
    principal = graph(gallery, second, "POST", "servicePrincipals", {"appId": app["appId"]}).json()
    secret = graph(gallery, third, "POST", f"applications/{app['id']}/addPassword", {}).json()
    form = {"grant_type": "client_credentials", "client_id": app["appId"], "client_secret": secret["secretText"], "scope": f"{gallery.endpoint}/.default"}
    path = f"/{gallery.admin['tenantId']}/oauth2/v2.0/token"
    token = post(first, path, form).json()["access_token"]

    assignment = f"{gallery.subscription}/providers/Microsoft.Authorization/roleAssignments/" + re.sub(
        r"(.{8})(.{4})(.{4})(.{4})(.{12})", r"\1-\2-\3-\4-\5", secrets.token_hex(16)
    )
    assert status(second, token, gallery.subscription) == 403
    body = {"properties": {"roleDefinitionId": READER, "principalId": principal["id"]}}
    assert arm(first, gallery.token(), assignment, "PUT", body).status_code == 201
    assert [status(process, token, gallery.subscription) for process in (second, third)] == [200, 200]
    assert arm(third, gallery.token(), assignment, "DELETE").status_code == 200
    assert [status(process, token, gallery.subscription) for process in (first, second)] == [403, 403]

    assert graph(gallery, second, "POST", f"applications/{app['id']}/removePassword", {"keyId": secret["keyId"]}).status_code == 204
    assert post(third, path, form).status_code == 401
    assert graph(gallery, first, "DELETE", f"applications/{app['id']}").status_code == 204
    assert status(second, token) == 401
