"""Page-blob uploads and downloads with the storage SDK, as upload tools do them."""

from pathlib import Path

from azure.storage.blob import BlobClient

MIB = 1 << 20
PAGE_WRITE_BYTES = 4 * MIB


def upload_vhd(sas_url: str, vhd: Path) -> int:
    """Writes a file into a page blob, leaving out blocks of zeros as upload tools do; how many bytes were sent."""
    sent = 0
    with BlobClient.from_blob_url(sas_url) as blob, open(vhd, "rb") as file:
        offset = 0
        while block := file.read(PAGE_WRITE_BYTES):
            if block.strip(b"\0"):
                blob.upload_page(block, offset=offset, length=len(block))
                sent += len(block)
            offset += len(block)
    return sent


def download(sas_url: str, out: Path) -> Path:
    with BlobClient.from_blob_url(sas_url, max_chunk_get_size=4 * MIB) as blob, open(out, "wb") as file:
        blob.download_blob(max_concurrency=2).readinto(file)
    return out
