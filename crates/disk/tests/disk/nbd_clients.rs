//! The NBD server and the programs that people use with it: libnbd's, QEMU's.

use std::{
    fs::File,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use galerie_disk::{
    BlockDevice, GuestDevice, MemoryDevice,
    nbd::{Export, Exports, Listener},
    open,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::{Random, qemu_img, run};

struct Server {
    directory: tempfile::TempDir,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    fn start(exports: Exports) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = Listener::bind(&directory.path().join("run/nbd.sock")).unwrap();
        let cancel = CancellationToken::new();
        let task = tokio::spawn(listener.serve(exports, cancel.clone()));
        Self { directory, cancel, task }
    }

    fn single(device: impl BlockDevice + 'static) -> Self {
        Self::start(Exports::single(Arc::new(device)))
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("run/nbd.sock")
    }

    fn uri(&self, export: &str) -> String {
        format!("nbd+unix:///{export}?socket={}", self.socket().display())
    }

    fn file(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.task.await.unwrap();
        assert!(!self.directory.path().join("run/nbd.sock").exists());
    }
}

/// 24 MiB and some bytes with data, holes, and holes that end nowhere round.
fn content() -> Vec<u8> {
    let mut content = vec![0; (24 << 20) + 512];
    let mut random = Random(5);
    for _ in 0..20 {
        let start = random.below(23 << 20) as usize;
        let length = random.below(1 << 20) as usize;
        content[start..start + length].copy_from_slice(&random.bytes(length));
    }
    content
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

async fn nbdinfo(arguments: Vec<String>) -> String {
    blocking(move || run("nbdinfo", "libnbd-bin", arguments)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nbdinfo_understands_the_export() {
    let server = Server::single(MemoryDevice::new(&content()));
    let uri = server.uri("");
    let info = nbdinfo(vec![uri.clone()]).await;
    for expected in [
        "protocol: newstyle-fixed without TLS, using",
        "export-size: 25166336",
        "base:allocation",
        "is_read_only: true",
        "can_multi_conn: true",
        "can_df: true",
        "block_size_maximum: 33554432",
    ] {
        assert!(info.contains(expected), "'{expected}' in {info}");
    }
    let map = nbdinfo(vec!["--map".into(), uri]).await;
    let covered: u64 = map.lines().map(|line| line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(covered, content().len() as u64, "{map}");
    assert!(map.contains("hole,zero") && map.contains("data"), "{map}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nbdinfo_lists_exports() {
    let exports = Exports::default();
    for (name, description) in [("one", "the first"), ("two", "")] {
        let device = Arc::new(MemoryDevice::new(&[1; 4096]));
        exports.insert(Export { name: name.into(), description: description.into(), device });
    }
    let server = Server::start(exports.clone());
    let list = nbdinfo(vec!["--list".into(), server.uri("")]).await;
    for expected in ["export=\"one\"", "description: the first", "export=\"two\""] {
        assert!(list.contains(expected), "'{expected}' in {list}");
    }
    exports.remove("two");
    assert!(!nbdinfo(vec!["--list".into(), server.uri("")]).await.contains("two"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nbdcopy_copies_every_byte() {
    let server = Server::single(MemoryDevice::new(&content()));
    for connections in ["1", "4"] {
        let copy = server.file("copy");
        let arguments = vec![format!("--connections={connections}"), server.uri(""), copy.clone()];
        blocking(move || run("nbdcopy", "libnbd-bin", arguments)).await;
        assert!(std::fs::read(copy).unwrap() == content(), "copy over {connections} connections differs");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_reads_the_same_bytes() {
    let server = Server::single(MemoryDevice::new(&content()));
    let (raw, uri) = (server.file("raw"), server.uri(""));
    std::fs::write(&raw, content()).unwrap();
    let arguments = [uri.clone(), raw];
    blocking(move || qemu_img(["compare", "-f", "raw", "-F", "raw", &arguments[0], &arguments[1]])).await;
    // Whoever opens it for writing is told that it is read-only.
    let output = blocking(move || {
        std::process::Command::new("qemu-io").args(["-f", "raw", "-c", "write 0 512", &uri]).output().unwrap()
    })
    .await;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).to_lowercase();
    assert!(["read-only", "read only", "permission denied"].iter().any(|refusal| text.contains(refusal)), "{text}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_file_can_be_served() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("raw"), content()).unwrap();
    let options = "compression_type=zstd,cluster_size=4096";
    qemu_img(["convert", "-c", "-f", "raw", "-O", "qcow2", "-o", options, &path("raw"), &path("image.qcow2")]);
    let opened = open(File::open(path("image.qcow2")).unwrap(), None).unwrap();
    let server = Server::single(GuestDevice::new(opened.guest));
    let arguments = vec![server.uri(""), path("copy")];
    blocking(move || run("nbdcopy", "libnbd-bin", arguments)).await;
    assert!(std::fs::read(path("copy")).unwrap() == content());
    server.stop().await;
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn sockets_are_private_and_stale_ones_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/nbd.sock");
    let listener = Listener::bind(&path).unwrap();
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    let error = Listener::bind(&path).unwrap_err().to_string();
    assert!(error.contains("another server listens"), "{error}");
    drop(listener);
    // As after a crash: the socket's file is there and nobody behind it.
    assert!(std::fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    drop(Listener::bind(&path).unwrap());
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "precious").unwrap();
    assert!(Listener::bind(&path).unwrap_err().to_string().contains("no socket"));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    let long = directory.path().join("x".repeat(120));
    assert!(Listener::bind(&long).unwrap_err().to_string().contains("too long"));
}
