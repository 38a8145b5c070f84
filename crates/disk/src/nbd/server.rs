//! Exports and the Unix socket that offers them.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{DirBuilder, Permissions},
    io,
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, PermissionsExt},
        net::{UnixListener as StdListener, UnixStream as StdStream},
    },
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rustix::{
    fs::{Mode, fchmod},
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::handshake::serve_socket;
use crate::{BlockDevice, Error, Result};

/// Connections to one socket; further clients wait in the listen queue. A guest has one to a few, a copy tool up to 16.
const MAX_CONNECTIONS: usize = 32;
/// Clients that the kernel keeps waiting.
const LISTEN_BACKLOG: i32 = 128;
/// How long a shutdown waits for clients to take the replies they asked for.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long accepting pauses when the process has run out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What the socket's send buffer is asked to be. The kernel caps it at `net.core.wmem_max`.
const SEND_BUFFER_BYTES: usize = 1 << 20;

/// A disk and the name it is offered under.
pub struct Export {
    /// The name that clients ask for; at most 4096 bytes.
    pub name: String,
    /// A line for people; may be empty.
    pub description: String,
    /// The disk.
    pub device: Arc<dyn BlockDevice>,
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export")
            .field("name", &self.name)
            .field("size_bytes", &self.device.size_bytes())
            .finish_non_exhaustive()
    }
}

/// The exports that one socket offers. Clones share them; an export that is removed stays open for the connections
/// that have it.
#[derive(Debug, Clone, Default)]
pub struct Exports {
    by_name: Arc<RwLock<BTreeMap<String, Arc<Export>>>>,
}

impl Exports {
    /// Exactly one disk, offered as the default export.
    pub fn single(device: Arc<dyn BlockDevice>) -> Self {
        let exports = Self::default();
        exports.insert(Export { name: String::new(), description: String::new(), device });
        exports
    }

    /// Offers a disk, in place of one of the same name.
    pub fn insert(&self, export: Export) {
        let mut exports = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        exports.insert(export.name.clone(), Arc::new(export));
    }

    /// Offers it no longer.
    pub fn remove(&self, name: &str) {
        self.by_name.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// The export of that name. The empty name also means the only export there is.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Export>> {
        let exports = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        match exports.get(name) {
            None if name.is_empty() && exports.len() == 1 => exports.values().next().cloned(),
            found => found.cloned(),
        }
    }

    /// All exports, by name.
    pub(super) fn list(&self) -> Vec<Arc<Export>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// A socket that listens. Clients that connect before [`Listener::serve`] runs wait.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Listens on a Unix socket that only this user can connect to (mode 0600). A missing directory is made with mode
    /// 0700; a socket that nobody listens on any more is replaced. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// `Invalid` when the path is too long for a socket, is taken by something that is no socket, or by a server that
    /// is alive; `Io` otherwise.
    pub fn bind(path: &Path) -> Result<Self> {
        let refused = |error: io::Error| Error::io(format!("listen on {}", path.display()), error);
        let address = SocketAddrUnix::new(path)
            .map_err(|_| Error::Invalid(format!("{} is too long for a socket's path", path.display())))?;
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(refused)?;
        }
        remove_stale(path)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .map_err(|error| refused(error.into()))?;
        // Linux gives the socket's file the mode of the socket itself, less the umask: never a moment of wider access.
        fchmod(&socket, Mode::RUSR | Mode::WUSR).map_err(|error| refused(error.into()))?;
        rustix::net::bind(&socket, &address).map_err(|error| refused(error.into()))?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(refused)?;
        rustix::net::listen(&socket, LISTEN_BACKLOG).map_err(|error| refused(error.into()))?;
        let listener = UnixListener::from_std(StdListener::from(socket)).map_err(refused)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Serves until `cancel` fires; then requests under way are answered, within a time, and the socket is removed.
    pub async fn serve(self, exports: Exports, cancel: CancellationToken) {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = cancel.cancelled() => break,
                Some(_) = connections.join_next() => continue,
                accepted = self.accept(&slots) => accepted,
            };
            match accepted {
                Ok((stream, slot)) => {
                    let (exports, cancel) = (exports.clone(), cancel.clone());
                    connections.spawn(async move {
                        connection(stream, &exports, &cancel).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "NBD accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        // Gone before the last connection is, so that nobody connects to a server that will not answer.
        let path = self.path;
        drop(self.listener);
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::debug!(path = %path.display(), %error, "NBD socket was gone already");
        }
        let drained = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, drained).await.is_err() {
            tracing::warn!(path = %path.display(), "NBD clients did not take their replies in time");
        }
    }

    async fn accept(&self, slots: &Arc<Semaphore>) -> io::Result<(UnixStream, tokio::sync::OwnedSemaphorePermit)> {
        let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, _) = self.listener.accept().await?;
        Ok((stream, slot))
    }
}

async fn connection(stream: UnixStream, exports: &Exports, cancel: &CancellationToken) {
    if let Err(error) = rustix::net::sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER_BYTES) {
        tracing::debug!(%error, "NBD socket keeps its send buffer");
    }
    let open = metrics::gauge!("galerie_nbd_connections");
    open.increment(1);
    let result = serve_socket(stream, exports, cancel).await;
    open.decrement(1);
    if let Err(error) = result {
        tracing::info!(error = &error as &dyn std::error::Error, "NBD connection ended");
    }
}

/// Removes a socket that a dead server left behind.
fn remove_stale(path: &Path) -> Result<()> {
    let refused = |error: io::Error| Error::io(format!("look at {}", path.display()), error);
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused(error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(Error::Invalid(format!("{} is there already and is no socket", path.display())));
    }
    match StdStream::connect(path) {
        Ok(_) => Err(Error::Invalid(format!("another server listens on {}", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(refused),
        Err(error) => Err(refused(error)),
    }
}
