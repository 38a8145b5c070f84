//! What every backend promises, checked over each of them and over each wrapper.

use std::{os::unix::fs::PermissionsExt, sync::Arc};

use bytes::Bytes;
use galerie_store::{
    Error,
    backend::{Backend, FaultPlan, FaultyBackend, Key, LimitedBackend, LocalBackend, MemoryBackend},
};
use galerie_testbucket::S3Server;

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

async fn keys(backend: &dyn Backend, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    let listed = backend.list(prefix, after.map(key).as_ref(), limit).await.unwrap();
    listed.into_iter().map(|object| object.key.to_string()).collect()
}

async fn check(backend: Arc<dyn Backend>) {
    puts_whole_objects_once(&*backend).await;
    reads_ranges(&*backend).await;
    lists_in_order(&*backend).await;
    deletes(&*backend).await;
    lets_one_of_many_win(backend).await;
}

async fn puts_whole_objects_once(backend: &dyn Backend) {
    let name = key("put/one");
    assert!(matches!(backend.get(&name, 100).await, Err(Error::NotFound(_))));
    assert!(matches!(backend.size_bytes(&name).await, Err(Error::NotFound(_))));
    let parts = vec![Bytes::from_static(b"ab"), Bytes::new(), Bytes::from_static(b"cde")];
    backend.put(&name, parts).await.unwrap();
    let again = backend.put(&name, vec![Bytes::from_static(b"other")]).await;
    assert!(matches!(again, Err(Error::AlreadyExists(_))), "{again:?}");
    assert_eq!(backend.get(&name, 5).await.unwrap(), "abcde");
    assert_eq!(backend.size_bytes(&name).await.unwrap(), 5);
    assert!(matches!(backend.get(&name, 4).await, Err(Error::Invalid(_))));
    backend.put(&key("put/empty"), vec![]).await.unwrap();
    assert_eq!(backend.get(&key("put/empty"), 0).await.unwrap(), "");
    let many = (0..3000_u32).map(|number| Bytes::copy_from_slice(&number.to_le_bytes())).collect();
    backend.put(&key("put/many"), many).await.unwrap();
    let read = backend.get_range(&key("put/many"), 4 * 2999, 4).await.unwrap();
    assert_eq!(read, 2999_u32.to_le_bytes().as_slice());
}

async fn reads_ranges(backend: &dyn Backend) {
    let (name, large) = (key("ranges/large"), Bytes::from(vec![7; 3 << 20]));
    backend.put(&name, vec![large.clone()]).await.unwrap();
    assert_eq!(backend.get_range(&name, 0, 3 << 20).await.unwrap(), large);
    assert_eq!(backend.get_range(&name, (3 << 20) - 1, 1).await.unwrap().len(), 1);
    assert_eq!(backend.get_range(&name, 3 << 20, 0).await.unwrap().len(), 0);
    for (offset, length) in [((3 << 20) - 1, 2), (4 << 20, 1)] {
        assert!(matches!(backend.get_range(&name, offset, length).await, Err(Error::Corrupt(_))));
    }
    assert!(matches!(backend.get_range(&key("ranges/none"), 0, 1).await, Err(Error::NotFound(_))));
}

async fn lists_in_order(backend: &dyn Backend) {
    for name in ["list/b/2", "list/a", "list/b/1", "list/b.c", "listed"] {
        backend.put(&key(name), vec![Bytes::from_static(b"xy")]).await.unwrap();
    }
    assert_eq!(keys(backend, "list/", None, 10).await, ["list/a", "list/b.c", "list/b/1", "list/b/2"]);
    assert_eq!(keys(backend, "list/", None, 2).await, ["list/a", "list/b.c"]);
    assert_eq!(keys(backend, "list/", Some("list/b.c"), 10).await, ["list/b/1", "list/b/2"]);
    assert_eq!(keys(backend, "list/b/", None, 10).await, ["list/b/1", "list/b/2"]);
    assert!(keys(backend, "nothing/", None, 10).await.is_empty());
    assert!(keys(backend, "", None, 1000).await.contains(&"listed".to_owned()));
    assert_eq!(backend.list("list/b/", None, 1).await.unwrap()[0].size_bytes, 2);
    assert!(matches!(backend.list("list", None, 10).await, Err(Error::Invalid(_))));
}

async fn deletes(backend: &dyn Backend) {
    let name = key("deleted/one");
    backend.delete(&name).await.unwrap();
    backend.put(&name, vec![Bytes::from_static(b"x")]).await.unwrap();
    assert_eq!(backend.get_range(&name, 0, 1).await.unwrap(), "x");
    backend.delete(&name).await.unwrap();
    backend.delete(&name).await.unwrap();
    assert!(matches!(backend.get(&name, 10).await, Err(Error::NotFound(_))));
    assert!(matches!(backend.get_range(&name, 0, 1).await, Err(Error::NotFound(_))));
    assert!(keys(backend, "deleted/", None, 10).await.is_empty());
}

async fn lets_one_of_many_win(backend: Arc<dyn Backend>) {
    let puts = (0..16_u8).map(|number| {
        let backend = Arc::clone(&backend);
        tokio::spawn(async move { backend.put(&key("race/one"), vec![Bytes::from(vec![number; 1000])]).await.is_ok() })
    });
    let won = futures::future::join_all(puts).await;
    assert_eq!(won.into_iter().filter(|won| *won.as_ref().unwrap()).count(), 1);
    let kept = backend.get(&key("race/one"), 1000).await.unwrap();
    assert!(kept.len() == 1000 && kept.iter().all(|byte| *byte == kept[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    check(Arc::new(MemoryBackend::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn local() {
    let folder = tempfile::tempdir().unwrap();
    check(Arc::new(LocalBackend::open(folder.path().join("a/b")).await.unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3() {
    let server = S3Server::start().await;
    for prefix in ["", "a/B"] {
        check(crate::support::s3(&server, prefix)).await;
        assert_eq!(server.take_requests().get("other"), None, "nothing but what every server has is asked for");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limited() {
    check(Arc::new(LimitedBackend::new(Arc::new(MemoryBackend::new()), 2))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faulty_without_faults() {
    check(Arc::new(FaultyBackend::new(Arc::new(MemoryBackend::new()), FaultPlan::default(), 1))).await;
}

#[tokio::test]
async fn a_full_backend_says_so() {
    let plan = FaultPlan { space_bytes: Some(10), ..FaultPlan::default() };
    let backend = FaultyBackend::new(Arc::new(MemoryBackend::new()), plan, 1);
    let full = backend.put(&key("big"), vec![Bytes::from(vec![0; 11])]).await;
    assert!(matches!(full, Err(Error::Full { .. })));
}

#[tokio::test]
async fn dead_writers_remains_are_swept_and_living_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    drop(LocalBackend::open(folder.path()).await.unwrap());
    std::fs::write(folder.path().join(".tmp/dead"), "part of a pack").unwrap();
    let living = std::fs::File::create(folder.path().join(".tmp/living")).unwrap();
    rustix::fs::flock(&living, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let backend = LocalBackend::open(folder.path()).await.unwrap();
    assert!(!folder.path().join(".tmp/dead").exists());
    assert!(folder.path().join(".tmp/living").exists());
    assert!(keys(&backend, "", None, 10).await.is_empty(), "unfinished files are not objects");
}

/// Regression: packs were as readable as the umask let them be, on a volume that other users may reach.
#[tokio::test]
async fn nobody_else_reads_a_local_store() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("store");
    let backend = LocalBackend::open(&root).await.unwrap();
    backend.put(&key("a/b"), vec![Bytes::from_static(b"guest")]).await.unwrap();
    for path in ["", "a", "a/b", ".tmp"] {
        let mode = std::fs::metadata(root.join(path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{path}: {mode:o}");
    }
}

/// Regression: a root that was gone, as a mount point is when its volume is unmounted, listed as an empty store. Its packs
/// were forgotten, and new ones written below the mount point, where the volume hid them when it came back.
#[tokio::test]
async fn a_root_that_is_gone_is_unavailable_and_not_empty() {
    let parent = tempfile::tempdir().unwrap();
    let (root, aside) = (parent.path().join("root"), parent.path().join("aside"));
    let backend = LocalBackend::open(&root).await.unwrap();
    backend.put(&key("a/b"), vec![Bytes::from_static(b"guest")]).await.unwrap();
    std::fs::rename(&root, &aside).unwrap();
    for is_mount_point in [false, true] {
        if is_mount_point {
            std::fs::create_dir(&root).unwrap();
        }
        let answers = [
            backend.list("", None, 10).await.map(drop),
            backend.put(&key("a/c"), vec![Bytes::from_static(b"new")]).await,
            backend.delete(&key("a/b")).await,
            backend.get(&key("a/b"), 10).await.map(drop),
            backend.size_bytes(&key("a/b")).await.map(drop),
        ];
        for answer in answers {
            assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
        }
        assert_eq!(root.exists(), is_mount_point);
    }
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0, "nothing was written in its place");
    std::fs::remove_dir(&root).unwrap();
    std::fs::rename(&aside, &root).unwrap();
    assert_eq!(backend.get(&key("a/b"), 10).await.unwrap(), "guest");
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = LocalBackend::open(file.join("store")).await.unwrap_err();
    assert!(error.to_string().contains("/file"), "{error}");
}
