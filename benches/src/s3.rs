//! Requests to an object store: what an import, the opening of a store, and cold reads cost. Counted by the server, which is
//! in this process; how long they take says nothing about any other one, so it is not measured.

use std::{collections::BTreeMap, sync::Arc};

use galerie_store::{
    ChunkCache, Compression, ImageReader, ImportProgress,
    backend::{S3Backend, S3Credentials, S3Options, S3Retries},
};
use galerie_testbucket::{BUCKET, KEY_ID, S3Server, SECRET_KEY};

use crate::{
    Bench, Result,
    boot_storm::trace,
    images::Random,
    report::{Report, Verdict},
    scratch_store::ScratchStore,
    text::size,
};

/// How many reads at random are counted.
const READS: u64 = 200;
const READ_BYTES: u64 = 4096;
const SEQUENTIAL_READ_BYTES: u64 = 1024 * 1024;
const CACHE_BYTES: u64 = 64 * 1024 * 1024;
const BOOT_CACHE_BYTES: u64 = 384 * 1024 * 1024;
/// What a writer asks beside its packs: a listing of packs and one of quarantine records, in pages of a thousand.
const LISTINGS: u64 = 2;

pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let server = S3Server::start().await;
    let folder = tempfile::tempdir_in(&bench.scratch)?;
    let store = open(&server, &folder.path().join("first"), bench.compression).await?;
    server.take_requests();
    let manifest = store.import(&bench.images.v1, &Arc::new(ImportProgress::default())).await?;
    let packs = store.domain.stats().packs;
    row(report, "S3 requests, import of new bytes", &server, packs + LISTINGS)
        .note(format!("{packs} packs, {}", size(store.pack_bytes())))
        .add();
    store.import(&bench.images.v2, &Arc::new(ImportProgress::default())).await?;
    // It shares each of the packs that there were, at most, and writes what is new.
    let (shared, new) = (packs, store.domain.stats().packs - packs);
    row(report, "S3 requests, import of the patched image", &server, shared + new + LISTINGS).add();

    let cold = open(&server, &folder.path().join("second"), bench.compression).await?;
    let packs = store.domain.stats().packs;
    // Of most packs the table is in the first read.
    row(report, "S3 requests, opening the store with no index", &server, 2 * packs + LISTINGS + 1)
        .note(format!("{packs} packs"))
        .add();
    let reader = ImageReader::open(cold.domain.clone(), manifest, ChunkCache::new(CACHE_BYTES)).await?;
    server.take_requests();
    let mut random = Random::new(1);
    let blocks = reader.virtual_size_bytes() / READ_BYTES;
    for _ in 0..READS {
        reader.read(random.next() % blocks * READ_BYTES, READ_BYTES).await?;
    }
    // The list of a segment and two chunks, where a block crosses from one to the other.
    row(report, &format!("S3 requests, {READS} cold reads of 4 KiB at random"), &server, 3 * READS).add();

    let reader = ImageReader::open(cold.domain.clone(), manifest, ChunkCache::new(CACHE_BYTES)).await?;
    server.take_requests();
    let mut at = 0;
    while at < reader.virtual_size_bytes() {
        let length = SEQUENTIAL_READ_BYTES.min(reader.virtual_size_bytes() - at);
        reader.read(at, length).await?;
        at += length;
    }
    let requests = server.take_requests();
    report
        .row("S3 requests, reading all of it cold in order", said(&requests))
        .beside(format!("disk of {}", size(reader.virtual_size_bytes())))
        .add();

    // What a guest reads until its login, through a cache that holds all of it.
    let reader = ImageReader::open(cold.domain.clone(), manifest, ChunkCache::new(BOOT_CACHE_BYTES)).await?;
    let reads = trace(&reader).await?;
    let reader = ImageReader::open(cold.domain.clone(), manifest, ChunkCache::new(BOOT_CACHE_BYTES)).await?;
    server.take_requests();
    for range in &reads {
        reader.read_parts(range.clone()).await?;
    }
    report
        .row("S3 requests, a cold boot", said(&server.take_requests()))
        .beside(format!("{} reads, {}", reads.len(), size(reads.iter().map(|read| read.end - read.start).sum())))
        .add();
    Ok(())
}

fn row<'a>(report: &'a mut Report, what: &str, server: &S3Server, limit: u64) -> crate::report::RowBuilder<'a> {
    let requests = server.take_requests();
    let sum: u64 = requests.values().sum();
    report.row(what, said(&requests)).budget(format!("<= {limit}")).verdict(Verdict::at_most(sum as f64, limit as f64))
}

fn said(requests: &BTreeMap<&'static str, u64>) -> String {
    let kinds: Vec<String> = requests.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    format!("{} ({})", requests.values().sum::<u64>(), kinds.join(", "))
}

async fn open(server: &S3Server, folder: &std::path::Path, compression: Compression) -> Result<ScratchStore> {
    let credentials =
        S3Credentials::Static { key_id: KEY_ID.to_owned(), secret_key: SECRET_KEY.to_owned(), session_token: None };
    let backend = S3Backend::new(S3Options {
        place: format!("s3://{BUCKET}/bench").parse()?,
        endpoint: Some(server.endpoint()),
        region: None,
        path_style: None,
        ca_file: None,
        credentials,
        retries: S3Retries::default(),
    })?;
    ScratchStore::open_on(Arc::new(backend), folder, compression).await
}
