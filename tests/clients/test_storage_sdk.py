"""azure-storage-blob's BlobClient on a disk's SAS URL: page writes, clears, ranges, reads, properties, and who is refused."""

import os
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobClient

from disk_images import MIB, VHD_FOOTER_BYTES, assert_vhd_holds, convert
from galerie_server import Server, unique, wait_until

GUEST_BYTES = 24 * MIB
PAGE_BYTES = 512


@pytest.fixture(scope="module")
def group(server):
    return server.group("storage-sdk")


def upload_disk(server: Server, group: str, guest_bytes: int = GUEST_BYTES) -> str:
    creation = {"createOption": "Upload", "uploadSizeBytes": guest_bytes + VHD_FOOTER_BYTES}
    path = f"{group}/providers/Microsoft.Compute/disks/{unique('disk-')}"
    return server.put(path, {"location": "eastus", "properties": {"creationData": creation}}, api_version="2025-01-02")["id"]


@pytest.fixture
def disk(server, group):
    return upload_disk(server, group)


@pytest.fixture
def writable(server, disk):
    with BlobClient.from_blob_url(server.grant(disk, "Write")) as blob:
        yield blob


@pytest.fixture(scope="module")
def small_vhd(images):
    """A few megabytes of this and that with holes between, and its VHD."""
    raw = images / "small.raw"
    with open(raw, "wb") as file:
        file.truncate(GUEST_BYTES)
        for offset in (0, 5 * MIB - 512, 17 * MIB, GUEST_BYTES - 4096):
            file.seek(offset)
            file.write(os.urandom(4096))
    return raw, convert(raw, images / "small.vhd", "vhd")


@pytest.fixture(scope="module")
def readable(server, group, small_vhd):
    """A SAS for reading a disk that holds `small_vhd`."""
    raw, vhd = small_vhd
    disk = upload_disk(server, group)
    with BlobClient.from_blob_url(server.grant(disk, "Write")) as blob:
        contents = vhd.read_bytes()
        for offset in range(0, len(contents), 4 * MIB):
            block = contents[offset : offset + 4 * MIB]
            blob.upload_page(block, offset=offset, length=len(block))
    assert server.revoke(disk)["status"] == "Succeeded"
    return server.grant(disk, "Read")


def with_query(url: str, **changes: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query=urlencode(dict(parse_qsl(parts.query)) | changes)))


def storage_error(reply: requests.Response, status: int, code: str) -> None:
    assert reply.status_code == status, reply.text
    assert reply.headers["x-ms-error-code"] == code
    assert f"<Code>{code}</Code>" in reply.text


def test_pages_are_written_and_read_back(writable):
    page = os.urandom(PAGE_BYTES)
    writable.upload_page(page, offset=1024, length=PAGE_BYTES)
    assert [(found.start, found.end) for found in writable.list_page_ranges()] == [(1024, 1535)]


def test_properties(writable):
    properties = writable.get_blob_properties()
    assert properties.blob_type == "PageBlob"
    assert properties.size == GUEST_BYTES + VHD_FOOTER_BYTES
    assert properties.etag and properties.last_modified
    assert writable.exists()


def test_pages_are_cleared(writable):
    writable.upload_page(os.urandom(4 * PAGE_BYTES), offset=0, length=4 * PAGE_BYTES)
    writable.clear_page(offset=PAGE_BYTES, length=2 * PAGE_BYTES)
    ranges = [(found.start, found.end) for found in writable.list_page_ranges() if not found.cleared]
    assert ranges == [(0, 511), (1536, 2047)]


def test_a_content_md5_is_checked(writable):
    writable.upload_page(os.urandom(PAGE_BYTES), offset=0, length=PAGE_BYTES, validate_content=True)
    with pytest.raises(HttpResponseError) as refused:
        writable.upload_page(
            os.urandom(PAGE_BYTES), offset=0, length=PAGE_BYTES, headers={"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}
        )
    assert (refused.value.status_code, refused.value.error_code) == (400, "Md5Mismatch")


def test_the_whole_blob(readable, small_vhd, tmp_path):
    raw, _ = small_vhd
    with BlobClient.from_blob_url(readable) as blob, open(tmp_path / "all.vhd", "wb") as out:
        blob.download_blob(max_concurrency=4).readinto(out)
    assert_vhd_holds(tmp_path / "all.vhd", raw)


def test_ranges(readable, small_vhd):
    raw, _ = small_vhd
    contents = raw.read_bytes()
    with BlobClient.from_blob_url(readable) as blob:
        for offset, length in [(0, 1), (511, 2), (5 * MIB - 600, 5000), (GUEST_BYTES - 10, 10), (1, MIB)]:
            assert blob.download_blob(offset=offset, length=length).readall() == contents[offset : offset + length]
        assert len(blob.download_blob(offset=GUEST_BYTES).readall()) == VHD_FOOTER_BYTES
        with pytest.raises(HttpResponseError) as refused:
            blob.download_blob(offset=GUEST_BYTES + VHD_FOOTER_BYTES, length=1).readall()
        assert refused.value.status_code == 416


def test_page_ranges_leave_out_what_is_zero(readable):
    with BlobClient.from_blob_url(readable) as blob:
        ranges = [(found.start, found.end + 1) for found in blob.list_page_ranges()]
    covered = sum(end - start for start, end in ranges)
    assert all(start % PAGE_BYTES == 0 and end % PAGE_BYTES == 0 for start, end in ranges)
    assert any(start <= 17 * MIB < end for start, end in ranges)
    assert covered < GUEST_BYTES // 2, "most of this disk is holes"


def test_a_download_is_not_a_web_page(server, readable):
    reply = requests.head(readable, verify=server.ca_file, timeout=30)
    assert reply.headers["Content-Type"] == "application/octet-stream"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Content-Disposition"].startswith("attachment")
    assert "sandbox" in reply.headers["Content-Security-Policy"]


def test_a_wrong_signature(server, readable):
    signature = dict(parse_qsl(urlsplit(readable).query))["sig"]
    wrong = with_query(readable, sig=("A" if signature[0] != "A" else "B") + signature[1:])
    storage_error(requests.get(wrong, verify=server.ca_file, timeout=30), 403, "AuthenticationFailed")
    with pytest.raises(ClientAuthenticationError):
        BlobClient.from_blob_url(wrong).download_blob()


def test_a_signature_covers_permission_and_expiry(server, readable):
    for change in [{"sp": "rw"}, {"sp": "w"}, {"se": "2099-01-01T00:00:00Z"}]:
        storage_error(requests.get(with_query(readable, **change), verify=server.ca_file, timeout=30), 403, "AuthenticationFailed")


def test_a_sas_of_another_disk(server, readable, disk):
    other = server.grant(disk, "Write")
    foreign = urlunsplit(urlsplit(readable)._replace(query=urlsplit(other).query))
    storage_error(requests.get(foreign, verify=server.ca_file, timeout=30), 403, "AuthenticationFailed")


def test_no_sas_at_all(server, readable):
    assert requests.get(readable.split("?")[0], verify=server.ca_file, timeout=30).status_code in (401, 403, 404)


def test_a_reader_cannot_write(readable):
    with BlobClient.from_blob_url(readable) as blob, pytest.raises(HttpResponseError) as refused:
        blob.upload_page(bytes(PAGE_BYTES), offset=0, length=PAGE_BYTES)
    assert (refused.value.status_code, refused.value.error_code) == (403, "AuthorizationPermissionMismatch")


def test_a_revoked_sas_is_dead_at_once(server, disk):
    sas = server.grant(disk, "Write")
    with BlobClient.from_blob_url(sas) as blob:
        blob.upload_page(bytes(PAGE_BYTES), offset=0, length=PAGE_BYTES)
        server.revoke(disk)
        with pytest.raises((ClientAuthenticationError, ResourceNotFoundError)):
            blob.upload_page(bytes(PAGE_BYTES), offset=0, length=PAGE_BYTES)


def test_an_expired_sas_is_dead(server, disk):
    with BlobClient.from_blob_url(server.grant(disk, "Write", duration_s=2)) as blob:
        blob.upload_page(bytes(PAGE_BYTES), offset=0, length=PAGE_BYTES)

        def refused():
            try:
                return blob.get_blob_properties() is None
            except (ClientAuthenticationError, ResourceNotFoundError):
                return True

        wait_until("the SAS to expire", refused, timeout_s=20)


def test_a_sas_does_not_outlive_its_disk(server, group):
    disk = upload_disk(server, group)
    with BlobClient.from_blob_url(server.grant(disk, "Write")) as blob:
        blob.upload_page(bytes(PAGE_BYTES), offset=0, length=PAGE_BYTES)
        assert server.request("DELETE", disk, api_version="2025-01-02").status_code == 202
        wait_until("the disk to be gone", lambda: server.request("GET", disk, api_version="2025-01-02").status_code == 404)
        server.put(disk, {"location": "eastus", "properties": {"creationData": {"createOption": "Upload", "uploadSizeBytes": GUEST_BYTES + VHD_FOOTER_BYTES}}}, api_version="2025-01-02")
        with pytest.raises((ClientAuthenticationError, ResourceNotFoundError)):
            blob.get_blob_properties()


@pytest.mark.parametrize("offset, length", [(1, 512), (0, 100), (512, 513), (GUEST_BYTES, 1024), (2**40, 512)])
def test_bad_pages(server, disk, offset, length):
    sas = server.grant(disk, "Write")
    reply = requests.put(
        f"{sas}&comp=page", data=bytes(length), verify=server.ca_file, timeout=30,
        headers={"x-ms-page-write": "update", "x-ms-range": f"bytes={offset}-{offset + length - 1}"},
    )  # fmt: skip
    assert reply.status_code in (400, 416), reply.text
    assert reply.headers["x-ms-error-code"] in ("InvalidPageRange", "InvalidHeaderValue", "InvalidRange")
    with BlobClient.from_blob_url(sas) as blob:
        assert list(blob.list_page_ranges()) == [], "nothing was written"


def test_a_range_that_disagrees_with_its_body(server, disk):
    sas = server.grant(disk, "Write")
    headers = {"x-ms-page-write": "update", "x-ms-range": "bytes=0-1023"}
    reply = requests.put(f"{sas}&comp=page", data=bytes(512), verify=server.ca_file, timeout=30, headers=headers)
    assert reply.status_code == 400, reply.text
    assert "x-ms-error-code" in reply.headers


def test_what_page_blobs_do_not_do(server, disk):
    sas = server.grant(disk, "Write")
    for method, query in [("PUT", "&comp=block&blockid=AAAA"), ("DELETE", ""), ("POST", ""), ("PUT", "&comp=nonsense")]:
        reply = requests.request(method, sas + query, data=b"x", verify=server.ca_file, timeout=30)
        assert 400 <= reply.status_code < 500, (method, query)
        assert "x-ms-error-code" in reply.headers
