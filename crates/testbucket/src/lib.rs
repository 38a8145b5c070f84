//! An S3 server for tests, in the test's own process: `s3s-fs` on a folder of its own, behind a front that counts requests
//! and fails as object stores do.
//!
//! It is a real server in every other way: it checks signatures and payload hashes, and what it keeps survives the clients.
//! It is not the only judge: `tests/clients` runs the built program against another implementation.

mod faults;
mod front;
mod tls;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::{net::TcpListener, task::JoinHandle};

pub use faults::{Bucket, ConditionalPuts, Faults};
use front::Front;

/// The one bucket there is.
pub const BUCKET: &str = "images";
/// The access key's id that the server takes.
pub const KEY_ID: &str = "AKIDTEST";
/// The secret of that key.
pub const SECRET_KEY: &str = "test-secret-of-no-worth";

/// A running server. It ends, and forgets everything, when it is dropped.
#[derive(Debug)]
pub struct S3Server {
    address: SocketAddr,
    folder: tempfile::TempDir,
    front: Arc<Front>,
    ca_file: Option<PathBuf>,
    serving: JoinHandle<()>,
}

impl S3Server {
    /// Starts one with an empty bucket, on plain HTTP.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn start() -> Self {
        Self::start_with(false).await
    }

    /// Starts one on HTTPS, with an authority of its own.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn start_tls() -> Self {
        Self::start_with(true).await
    }

    async fn start_with(is_tls: bool) -> Self {
        // Its clients, in this process, need one too.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("objects");
        std::fs::create_dir_all(root.join(BUCKET)).expect("a bucket");
        let mut builder = S3ServiceBuilder::new(FileSystem::new(&root).expect("a server on a folder"));
        builder.set_auth(SimpleAuth::from_single(KEY_ID, SECRET_KEY));
        let front = Arc::new(Front::new(builder.build(), root));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (acceptor, ca_file) = match is_tls.then(|| tls::acceptor(folder.path())) {
            Some((acceptor, ca_file)) => (Some(acceptor), Some(ca_file)),
            None => (None, None),
        };
        let serving = tokio::spawn(front::serve(listener, acceptor, Arc::clone(&front)));
        Self { address, folder, front, ca_file, serving }
    }

    /// The URL that clients are given.
    pub fn endpoint(&self) -> String {
        let scheme = if self.ca_file.is_some() { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.address.port())
    }

    /// The authority behind its certificate, when it has one.
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// Where the bucket's objects lie, by their keys.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("objects").join(BUCKET)
    }

    /// How it fails from now on.
    pub fn fail(&self, faults: Faults) {
        self.front.fail(faults);
    }

    /// How many requests of each operation came since the last call, those that were made to fail included.
    pub fn take_requests(&self) -> BTreeMap<&'static str, u64> {
        self.front.take_requests()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
