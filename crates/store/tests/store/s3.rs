//! A bucket as a store: what a server does that a directory does not.

use std::sync::Arc;

use bytes::Bytes;
use galerie_store::{
    BlobSource, Collector, CollectorOptions, CondemnedPacks, CopyProgress, Error, Identity, ManifestId, RegionStore,
    StoreOptions, VerifyOptions,
    backend::{Backend, Key, LocalBackend, S3Backend, S3Credentials, S3Options, S3Retries},
    pull, verify,
};
use galerie_testbucket::{Bucket, ConditionalPuts, Faults, S3Server};
use tokio_util::sync::CancellationToken;

use crate::support::{MIB, MemoryLedger, TestStore, identity, noise, s3, s3_options};

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

async fn copy(from: &TestStore, to: &TestStore, manifest: ManifestId) -> galerie_store::Result<()> {
    let (source, progress) = (Arc::clone(&from.domain) as Arc<dyn BlobSource>, CopyProgress::default());
    pull(&to.domain, &*source, manifest, CondemnedPacks::none(), &progress, &CancellationToken::new()).await
}

async fn assert_sound(test: &TestStore, roots: Vec<ManifestId>) {
    let options = VerifyOptions { roots, ..VerifyOptions::default() };
    let report = verify(&test.domain, &options, &CancellationToken::new()).await.unwrap();
    assert!(report.is_sound(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn images_go_from_a_directory_to_a_bucket_and_back() {
    let server = S3Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let local = TestStore::on(Arc::new(LocalBackend::open(folder.path().join("here")).await.unwrap())).await;
    let back = TestStore::on(Arc::new(LocalBackend::open(folder.path().join("back")).await.unwrap())).await;
    let bucket = TestStore::on(s3(&server, "west")).await;
    let mut guest = noise(1, 5 * MIB);
    guest.extend(vec![0; 3 * MIB]);
    let manifest = local.import(&guest).await.unwrap();
    copy(&local, &bucket, manifest).await.unwrap();
    copy(&bucket, &back, manifest).await.unwrap();
    assert_eq!(bucket.import(&guest).await.unwrap(), manifest, "the same bytes have the same name everywhere");
    for store in [&bucket, &back, &bucket.elsewhere().await] {
        assert_eq!(store.read(manifest).await.unwrap(), guest);
        assert_sound(store, vec![manifest]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_collected_in_a_bucket() {
    let server = S3Server::start().await;
    let (test, ledger) = (TestStore::on(s3(&server, "")).await, MemoryLedger::default());
    let kept_guest = noise(2, 2 * MIB);
    let mut other_guest = noise(3, 6 * MIB);
    other_guest.extend(&kept_guest[..MIB]);
    let other = test.import(&other_guest).await.unwrap();
    let kept = test.import(&kept_guest).await.unwrap();
    ledger.root(kept);
    let options = CollectorOptions { readers_grace_ms: 0, ..CollectorOptions::default() };
    let mut collector = Collector::new(Arc::clone(&test.domain), options);
    let before = test.domain.stats().pack_bytes;
    let cancel = CancellationToken::new();
    assert!(collector.run(&ledger, 0, &cancel).await.unwrap().condemned_packs > 3);
    assert!(collector.run(&ledger, 1, &cancel).await.unwrap().deleted_packs > 3);
    let fresh = test.elsewhere().await;
    assert!(fresh.domain.stats().pack_bytes < before / 2);
    assert_eq!(fresh.read(kept).await.unwrap(), kept_guest);
    assert!(matches!(fresh.read(other).await, Err(Error::NotFound(_))));
    assert_sound(&fresh, vec![kept]).await;
}

/// Everything goes wrong now and then, and nothing comes of it but more requests. The seeds are in the failure's message.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stumbles_costs_nothing_but_requests() {
    for seed in 1..=4 {
        let server = S3Server::start().await;
        server.fail(Faults {
            seed,
            throttled_per_mille: 80,
            failed_per_mille: 60,
            dropped_per_mille: 60,
            unanswered_per_mille: 100,
            slow_per_mille: 50,
            ..Faults::default()
        });
        let (test, ledger) = (TestStore::on(s3(&server, "x")).await, MemoryLedger::default());
        let (first_guest, second_guest) = (noise(10 + seed, 4 * MIB), noise(20 + seed, 2 * MIB));
        let first = test.import(&first_guest).await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let second = test.import(&second_guest).await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        ledger.root(second);
        let options = CollectorOptions { readers_grace_ms: 0, ..CollectorOptions::default() };
        let mut collector = Collector::new(Arc::clone(&test.domain), options);
        for now_ms in 0..2 {
            collector
                .run(&ledger, now_ms, &CancellationToken::new())
                .await
                .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        }
        let fresh = test.elsewhere().await;
        assert_eq!(fresh.read(second).await.unwrap(), second_guest, "seed {seed}");
        assert!(fresh.read(first).await.is_err(), "seed {seed}");
        assert_sound(&fresh, vec![second]).await;
    }
}

/// A PUT that was done and not answered is sent again, and finds its own object.
#[tokio::test(flavor = "multi_thread")]
async fn a_put_knows_its_own_object() {
    let server = S3Server::start().await;
    let backend = s3(&server, "");
    server.fail(Faults { seed: 7, unanswered_per_mille: 400, ..Faults::default() });
    for number in 0..40 {
        backend.put(&key(&format!("mine/{number}")), vec![Bytes::from_static(b"same")]).await.unwrap();
        let other = backend.put(&key(&format!("mine/{number}")), vec![Bytes::from_static(b"same")]).await;
        assert!(matches!(other, Err(Error::AlreadyExists(_))), "{number}: {other:?}");
    }
    assert!(server.take_requests()["put"] > 80);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_gone_is_unavailable_and_not_empty() {
    let server = S3Server::start().await;
    let (backend, name) = (s3(&server, "west"), key("a/b"));
    backend.put(&name, vec![Bytes::from_static(b"guest")]).await.unwrap();
    for bucket in [Bucket::Gone, Bucket::Unknown] {
        server.fail(Faults { bucket, ..Faults::default() });
        let answers = [
            backend.list("", None, 10).await.map(drop),
            backend.put(&key("a/c"), vec![Bytes::from_static(b"new")]).await,
            backend.delete(&name).await,
            backend.get(&name, 10).await.map(drop),
            backend.get_range(&name, 0, 1).await.map(drop),
            backend.size_bytes(&name).await.map(drop),
        ];
        for answer in answers {
            assert!(matches!(answer, Err(Error::Unavailable(_))), "{bucket:?}: {answer:?}");
        }
    }
    server.fail(Faults::default());
    assert_eq!(backend.get(&name, 10).await.unwrap(), "guest");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_or_does_not_know_us_is_unavailable() {
    let server = S3Server::start().await;
    let keys = |secret_key: &str| S3Credentials::Static {
        key_id: galerie_testbucket::KEY_ID.to_owned(),
        secret_key: secret_key.to_owned(),
        session_token: None,
    };
    let options = S3Options { credentials: keys("hunter2"), ..s3_options(&server, "") };
    let refused = S3Backend::new(options).unwrap().get(&key("a"), 1).await.unwrap_err();
    assert!(matches!(&refused, Error::Unavailable(why) if why.contains("SignatureDoesNotMatch")), "{refused}");
    assert!(!refused.to_string().contains("hunter2"));
    let options = s3_options(&server, "");
    drop(server);
    let retries = S3Retries { retries_max: 2, ..options.retries };
    let away = S3Backend::new(S3Options { retries, ..options }).unwrap().list("", None, 1).await;
    assert!(matches!(away, Err(Error::Unavailable(_))), "{away:?}");
}

/// The server gives up answering for good: the number of requests is bounded.
#[tokio::test(flavor = "multi_thread")]
async fn retries_are_bounded() {
    let server = S3Server::start().await;
    let options = s3_options(&server, "");
    let backend =
        S3Backend::new(S3Options { retries: S3Retries { retries_max: 3, ..options.retries }, ..options }).unwrap();
    server.fail(Faults { throttled_per_mille: 1000, ..Faults::default() });
    let refused = backend.put(&key("a"), vec![Bytes::from_static(b"x")]).await.unwrap_err();
    assert!(matches!(&refused, Error::Unavailable(why) if why.contains("SlowDown")), "{refused}");
    assert_eq!(server.take_requests()["put"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_is_trusted_when_it_is_named() {
    let server = S3Server::start_tls().await;
    let backend = s3(&server, "");
    backend.put(&key("a"), vec![Bytes::from_static(b"x")]).await.unwrap();
    let options = s3_options(&server, "");
    let retries = S3Retries { retries_max: 0, ..options.retries };
    let stranger = S3Backend::new(S3Options { ca_file: None, retries, ..options }).unwrap();
    let refused = stranger.get(&key("a"), 1).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_come_from_a_file() {
    let server = S3Server::start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let (key_id, secret) = (galerie_testbucket::KEY_ID, galerie_testbucket::SECRET_KEY);
    let text = format!("[images]\naws_access_key_id = {key_id}\naws_secret_access_key = {secret}\n");
    std::fs::write(file.path(), text).unwrap();
    let with = |profile: &str| S3Options {
        credentials: S3Credentials::File { path: file.path().to_owned(), profile: profile.to_owned() },
        ..s3_options(&server, "")
    };
    S3Backend::new(with("images")).unwrap().put(&key("a"), vec![Bytes::from_static(b"x")]).await.unwrap();
    assert!(matches!(S3Backend::new(with("default")), Err(Error::Invalid(_))));
}

/// Servers that cannot create only still take a store; that two do not create it at once is then a matter of waiting.
#[tokio::test(flavor = "multi_thread")]
async fn servers_without_conditional_puts_do() {
    let server = S3Server::start().await;
    for (prefix, conditional_puts) in [("refused", ConditionalPuts::Refused), ("ignored", ConditionalPuts::Ignored)] {
        server.fail(Faults { conditional_puts, ..Faults::default() });
        let test = TestStore::on(s3(&server, prefix)).await;
        assert_eq!(test.backend.creates_only(), conditional_puts == ConditionalPuts::Ignored, "as far as it said");
        let guest = noise(30, 2 * MIB);
        let manifest = test.import(&guest).await.unwrap();
        assert_eq!(test.elsewhere().await.read(manifest).await.unwrap(), guest);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_belongs_to_one_catalogue_and_region() {
    let server = S3Server::start().await;
    let (backend, folder) = (s3(&server, "mine"), tempfile::tempdir().unwrap());
    let open = async |prefix: &str, identity: Identity| {
        RegionStore::open_or_create(s3(&server, prefix), identity, folder.path(), StoreOptions::default())
            .await
            .map(drop)
    };
    open("mine", identity()).await.unwrap();
    let other_catalogue = Identity { catalogue_id: uuid::Uuid::from_u128(2), ..identity() };
    assert!(matches!(open("mine", other_catalogue).await, Err(Error::Foreign(_))));
    let other_region = Identity { region: "westus".to_owned(), ..identity() };
    assert!(matches!(open("mine", other_region).await, Err(Error::Foreign(_))));
    backend.put(&key("more/of-it"), vec![Bytes::from_static(b"x")]).await.unwrap();
    assert!(matches!(open("", identity()).await, Err(Error::Foreign(_))), "a prefix that others use");
    let expected = Identity { expected_store_id: Some(uuid::Uuid::from_u128(3)), ..identity() };
    assert!(
        matches!(open("elsewhere", expected).await, Err(Error::Unavailable(_))),
        "a store that is expected is not made"
    );
    // Many at once: one wins, and the others take what it made.
    let opens = (0..8).map(|_| async {
        let folder = tempfile::tempdir().unwrap();
        let store =
            RegionStore::open_or_create(s3(&server, "race"), identity(), folder.path(), StoreOptions::default());
        store.await.unwrap().store_id()
    });
    let ids = futures::future::join_all(opens).await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

/// What requests cost, counted by the server. The bounds are in docs/performance.md.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_and_a_cold_read_cost_few_requests() {
    let server = S3Server::start().await;
    let test = TestStore::on(s3(&server, "")).await;
    server.take_requests();
    let guest = noise(40, 8 * MIB);
    let manifest = test.import(&guest).await.unwrap();
    let packs = test.domain.stats().packs;
    let import = server.take_requests();
    assert_eq!(import["put"], packs, "one PUT a pack: {import:?}");
    assert!(import["list"] <= 2 && import.len() == 2, "and two listings: {import:?}");

    test.import(&guest).await.unwrap();
    let again = server.take_requests();
    assert_eq!(again.get("put"), None, "what is known is not written: {again:?}");
    assert!(again["list"] <= 2, "{again:?}");

    let cold = test.elsewhere().await;
    let opened = server.take_requests();
    assert_eq!(opened["get"], packs + 1, "a table for each pack, and store.json: {opened:?}");
    assert!(opened["list"] <= 2 && opened.len() == 2, "{opened:?}");
    assert_eq!(cold.read(manifest).await.unwrap(), guest);
    let read = server.take_requests();
    // Ranges of at most 1 MiB, and in the worst case one more for each pack that they cross.
    assert!(read["get"] <= 8 + packs + 2 && read.len() == 1, "{read:?} for {packs} packs");
}
