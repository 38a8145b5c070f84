//! The handshake: which export, with which extensions.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::UnixStream,
};
use tokio_util::sync::CancellationToken;

use super::{
    options::{InfoRequest, Malformed, MetaContextRequest},
    protocol::*,
    server::{Export, Exports},
    thread, transmission,
};
use crate::{Error, Result};

/// A client that has not chosen an export by then is hung up on.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// Options longer than this are read away and refused as too big. The protocol's strings have at most 4096 bytes.
const MAX_OPTION_BYTES: u32 = 64 * 1024;
/// Options longer than this are not even read away.
const MAX_SKIPPED_OPTION_BYTES: u32 = 1 << 20;
/// Options in one handshake.
const MAX_OPTIONS: usize = 64;

/// How replies look; each level includes the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ReplyStyle {
    Simple,
    Structured,
    Extended,
}

/// What a handshake agreed on.
pub(super) struct Session {
    pub(super) export: Arc<Export>,
    pub(super) style: ReplyStyle,
    /// The client chose `base:allocation` for this export.
    pub(super) base_allocation: bool,
}

/// Serves one client on a Unix socket, from handshake to disconnect, as [`serve_connection`] does, on a thread of the
/// connection's own. Dropped, it hangs up.
///
/// # Errors
/// As [`serve_connection`]; `Io` when there is no thread to be had.
pub async fn serve_socket(mut stream: UnixStream, exports: &Exports, cancel: &CancellationToken) -> Result<()> {
    match agree(&mut stream, exports, cancel).await? {
        Some(session) => thread::run(stream.into_std().map_err(gone)?, session, cancel).await,
        None => Ok(()),
    }
}

/// Serves one client on any stream, from handshake to disconnect. Returns when the client leaves, breaks the protocol, or `cancel`
/// fires and the requests under way are answered.
///
/// # Errors
/// `Invalid` when the client breaks the protocol, `Io` when the connection fails. Nothing needs to be done about
/// either except to log it.
pub async fn serve_connection<S>(mut stream: S, exports: &Exports, cancel: &CancellationToken) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    match agree(&mut stream, exports, cancel).await? {
        Some(session) => transmission::run(stream, session, cancel).await,
        None => Ok(()),
    }
}

/// The handshake. `None` when there is nothing to serve: the client left in good order, or `cancel` fired.
///
/// # Errors
/// As [`serve_connection`].
async fn agree<S>(stream: &mut S, exports: &Exports, cancel: &CancellationToken) -> Result<Option<Session>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let shake = tokio::time::timeout(HANDSHAKE_TIMEOUT, Handshake::new(stream, exports).run());
    tokio::select! {
        () = cancel.cancelled() => Ok(None),
        result = shake => result.map_err(|_| Error::Invalid("the NBD client's handshake took too long".into()))?,
    }
}

struct Handshake<'a, S> {
    stream: &'a mut S,
    exports: &'a Exports,
    no_zeroes: bool,
    style: ReplyStyle,
    /// The export that the client chose `base:allocation` for.
    meta_export: Option<String>,
}

/// What an option leads to.
enum Next {
    Option,
    Transmission(Arc<Export>),
    Close,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Handshake<'a, S> {
    fn new(stream: &'a mut S, exports: &'a Exports) -> Self {
        Self { stream, exports, no_zeroes: false, style: ReplyStyle::Simple, meta_export: None }
    }

    /// `None` when the client left in good order.
    async fn run(mut self) -> Result<Option<Session>> {
        self.greet().await?;
        for _ in 0..MAX_OPTIONS {
            match self.option().await? {
                Next::Option => {}
                Next::Close => return Ok(None),
                Next::Transmission(export) => {
                    let base_allocation = self
                        .meta_export
                        .is_some_and(|name| self.exports.find(&name).is_some_and(|found| Arc::ptr_eq(&found, &export)));
                    return Ok(Some(Session { export, style: self.style, base_allocation }));
                }
            }
        }
        Err(broken("sent too many options"))
    }

    async fn greet(&mut self) -> Result<()> {
        let mut hello = Vec::with_capacity(18);
        hello.extend(NBD_MAGIC.to_be_bytes());
        hello.extend(OPTION_MAGIC.to_be_bytes());
        hello.extend((HANDSHAKE_FIXED_NEWSTYLE | HANDSHAKE_NO_ZEROES).to_be_bytes());
        self.send(&hello).await?;
        let flags = self.stream.read_u32().await.map_err(gone)?;
        let known = u32::from(HANDSHAKE_FIXED_NEWSTYLE | HANDSHAKE_NO_ZEROES);
        if flags & !known != 0 {
            return Err(broken("set unknown handshake flags"));
        }
        self.no_zeroes = flags & u32::from(HANDSHAKE_NO_ZEROES) != 0;
        Ok(())
    }

    async fn option(&mut self) -> Result<Next> {
        let mut header = [0; 16];
        match self.stream.read_exact(&mut header).await {
            Ok(_) => {}
            // Leaving between options is how many clients say that they have seen enough.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(Next::Close),
            Err(error) => return Err(gone(error)),
        }
        let [magic, numbers] = [0, 8].map(|at| u64::from_be_bytes(std::array::from_fn(|index| header[at + index])));
        if magic != OPTION_MAGIC {
            return Err(broken("sent something that is no option"));
        }
        let (option, length_bytes) = ((numbers >> 32) as u32, numbers as u32);
        if length_bytes > MAX_OPTION_BYTES {
            return self.skip(option, length_bytes).await;
        }
        let mut data = vec![0; length_bytes as usize];
        self.stream.read_exact(&mut data).await.map_err(gone)?;
        self.answer(option, &data).await
    }

    async fn skip(&mut self, option: u32, length_bytes: u32) -> Result<Next> {
        if length_bytes > MAX_SKIPPED_OPTION_BYTES || option == OPT_EXPORT_NAME {
            return Err(broken("sent an option that is far too long"));
        }
        let mut data = (&mut *self.stream).take(u64::from(length_bytes));
        let skipped = tokio::io::copy(&mut data, &mut tokio::io::sink()).await.map_err(gone)?;
        if skipped < u64::from(length_bytes) {
            return Err(broken("left in the middle of an option"));
        }
        self.reply(option, REP_ERR_TOO_BIG, b"the option is too long").await
    }

    async fn answer(&mut self, option: u32, data: &[u8]) -> Result<Next> {
        match option {
            OPT_EXPORT_NAME => self.export_name(data).await,
            OPT_ABORT => {
                // The client may be gone already; that is no error here.
                let _ = self.reply(option, REP_ACK, &[]).await;
                Ok(Next::Close)
            }
            OPT_LIST => self.list(data).await,
            OPT_INFO | OPT_GO => match InfoRequest::parse(data) {
                Ok(request) => self.info(option, &request).await,
                Err(Malformed) => self.invalid(option).await,
            },
            OPT_STRUCTURED_REPLY => self.structured_reply(data).await,
            OPT_EXTENDED_HEADERS => self.extended_headers(data).await,
            OPT_LIST_META_CONTEXT | OPT_SET_META_CONTEXT => match MetaContextRequest::parse(data) {
                Ok(request) => self.meta_context(option, &request).await,
                Err(Malformed) => self.invalid(option).await,
            },
            _ => self.reply(option, REP_ERR_UNSUP, b"this option is not supported").await,
        }
    }

    /// The oldest way to choose an export: no reply but the export itself, no error but hanging up.
    async fn export_name(&mut self, data: &[u8]) -> Result<Next> {
        let export = std::str::from_utf8(data).ok().and_then(|name| self.exports.find(name));
        let Some(export) = export else {
            return Err(broken("asked for an export that is not there"));
        };
        let mut answer = Vec::with_capacity(134);
        answer.extend(export.device.size_bytes().to_be_bytes());
        answer.extend(self.transmission_flags().to_be_bytes());
        if !self.no_zeroes {
            answer.resize(answer.len() + 124, 0);
        }
        self.send(&answer).await?;
        Ok(Next::Transmission(export))
    }

    async fn list(&mut self, data: &[u8]) -> Result<Next> {
        if !data.is_empty() {
            return self.invalid(OPT_LIST).await;
        }
        for export in self.exports.list() {
            let mut entry = Vec::with_capacity(4 + export.name.len() + export.description.len());
            entry.extend((export.name.len() as u32).to_be_bytes());
            entry.extend(export.name.as_bytes());
            entry.extend(export.description.as_bytes());
            self.reply(OPT_LIST, REP_SERVER, &entry).await?;
        }
        self.reply(OPT_LIST, REP_ACK, &[]).await
    }

    async fn info(&mut self, option: u32, request: &InfoRequest<'_>) -> Result<Next> {
        let Some(export) = self.exports.find(request.export) else {
            return self.reply(option, REP_ERR_UNKNOWN, b"there is no such export").await;
        };
        let mut item = INFO_EXPORT.to_be_bytes().to_vec();
        item.extend(export.device.size_bytes().to_be_bytes());
        item.extend(self.transmission_flags().to_be_bytes());
        self.reply(option, REP_INFO, &item).await?;
        let mut item = INFO_BLOCK_SIZE.to_be_bytes().to_vec();
        item.extend(
            [MIN_BLOCK_BYTES, PREFERRED_BLOCK_BYTES, MAX_READ_BYTES].iter().flat_map(|size| size.to_be_bytes()),
        );
        self.reply(option, REP_INFO, &item).await?;
        for (kind, text) in [(INFO_NAME, &export.name), (INFO_DESCRIPTION, &export.description)] {
            if request.wants.contains(&kind) && !text.is_empty() {
                let item = [&kind.to_be_bytes()[..], text.as_bytes()].concat();
                self.reply(option, REP_INFO, &item).await?;
            }
        }
        self.reply(option, REP_ACK, &[]).await?;
        Ok(if option == OPT_GO { Next::Transmission(export) } else { Next::Option })
    }

    async fn structured_reply(&mut self, data: &[u8]) -> Result<Next> {
        if self.style == ReplyStyle::Extended {
            let text = b"extended headers include structured replies";
            return self.reply(OPT_STRUCTURED_REPLY, REP_ERR_EXT_HEADER_REQD, text).await;
        }
        if !data.is_empty() || self.style != ReplyStyle::Simple {
            return self.invalid(OPT_STRUCTURED_REPLY).await;
        }
        self.style = ReplyStyle::Structured;
        self.reply(OPT_STRUCTURED_REPLY, REP_ACK, &[]).await
    }

    async fn extended_headers(&mut self, data: &[u8]) -> Result<Next> {
        if !data.is_empty() || self.style == ReplyStyle::Extended {
            return self.invalid(OPT_EXTENDED_HEADERS).await;
        }
        self.style = ReplyStyle::Extended;
        self.reply(OPT_EXTENDED_HEADERS, REP_ACK, &[]).await
    }

    async fn meta_context(&mut self, option: u32, request: &MetaContextRequest<'_>) -> Result<Next> {
        if option == OPT_SET_META_CONTEXT {
            self.meta_export = None;
        }
        if self.style == ReplyStyle::Simple {
            return self.invalid(option).await;
        }
        if self.exports.find(request.export).is_none() {
            return self.reply(option, REP_ERR_UNKNOWN, b"there is no such export").await;
        }
        let listing = option == OPT_LIST_META_CONTEXT;
        let matches = |query: &&str| *query == BASE_ALLOCATION || listing && *query == "base:";
        if request.queries.iter().any(matches) || listing && request.queries.is_empty() {
            let id = if listing { 0 } else { BASE_ALLOCATION_ID };
            let entry = [&id.to_be_bytes()[..], BASE_ALLOCATION.as_bytes()].concat();
            self.reply(option, REP_META_CONTEXT, &entry).await?;
            if !listing {
                self.meta_export = Some(request.export.to_owned());
            }
        }
        self.reply(option, REP_ACK, &[]).await
    }

    fn transmission_flags(&self) -> u16 {
        let df = if self.style == ReplyStyle::Simple { 0 } else { FLAG_SEND_DF };
        FLAG_HAS_FLAGS | FLAG_READ_ONLY | FLAG_CAN_MULTI_CONN | df
    }

    async fn invalid(&mut self, option: u32) -> Result<Next> {
        self.reply(option, REP_ERR_INVALID, b"the option's data is not valid here").await
    }

    async fn reply(&mut self, option: u32, kind: u32, data: &[u8]) -> Result<Next> {
        let mut message = Vec::with_capacity(20 + data.len());
        message.extend(OPTION_REPLY_MAGIC.to_be_bytes());
        message.extend(option.to_be_bytes());
        message.extend(kind.to_be_bytes());
        message.extend((data.len() as u32).to_be_bytes());
        message.extend(data);
        self.send(&message).await?;
        Ok(Next::Option)
    }

    async fn send(&mut self, message: &[u8]) -> Result<()> {
        self.stream.write_all(message).await.map_err(gone)?;
        self.stream.flush().await.map_err(gone)
    }
}

/// The client broke the protocol.
pub(super) fn broken(what: &str) -> Error {
    Error::Invalid(format!("the NBD client {what}"))
}

/// The connection failed.
pub(super) fn gone(error: std::io::Error) -> Error {
    Error::io("talk to the NBD client", error)
}
