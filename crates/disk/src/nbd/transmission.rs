//! The transmission phase: requests in, replies out, in one place. On a Unix socket that is a thread of the connection's own
//! ([`super::thread`]), on any other stream a task.

use std::{
    collections::VecDeque,
    future::Future,
    io::{self, IoSlice},
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use futures::{
    future::BoxFuture,
    stream::{FuturesUnordered, StreamExt},
};
use galerie_store::{Extent, Part};
use metrics::Counter;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFutureOwned},
    task::AbortOnDropHandle,
};

use super::{
    handshake::{Session, broken, gone},
    protocol::*,
    reply::ReplyWriter,
    request::{MAX_STATUS_EXTENTS, Request},
};
use crate::{BlockDevice, Error, Result};

/// Requests of one connection that are under way at once.
const MAX_IN_FLIGHT_REQUESTS: usize = 256;
/// Bytes asked for and not yet sent at which no further request is taken, per connection. The last one taken may be of
/// the largest size, so the true bound is this and `MAX_READ_BYTES` together.
const MAX_IN_FLIGHT_BYTES: u64 = 16 << 20;
/// The longest request that is done in place while others are under way: their replies wait for it.
const IN_PLACE_MAX_BYTES: u64 = 64 * 1024;
/// How much of the disk one status answer looks at; longer requests get a shorter answer, which the protocol allows.
const MAX_STATUS_BYTES: u64 = 1 << 31;
/// Data of a refused write is read away up to this length; a longer one ends the connection.
const MAX_DISCARDED_BYTES: u64 = 64 << 20;
/// Received bytes not yet understood: some hundred requests.
const INPUT_BYTES: usize = 16 * 1024;
/// Buffers in one vectored write; Linux takes up to 1024.
const MAX_BUFFERS_PER_WRITE: usize = 256;

/// Serves requests until the client leaves or `cancel` fires.
pub(super) async fn run<S>(stream: S, session: Session, cancel: &CancellationToken) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut transmission = Transmission::new(stream, session, cancel.clone());
    std::future::poll_fn(|context| transmission.poll(context)).await
}

/// A connection that serves until its client leaves or it is cancelled.
pub(super) struct Transmission<S> {
    connection: Connection<S>,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Transmission<S> {
    pub(super) fn new(stream: S, session: Session, cancel: CancellationToken) -> Self {
        Self { connection: Connection::new(stream, session), cancelled: Box::pin(cancel.cancelled_owned()) }
    }

    /// Does what can be done; ready when the connection has ended.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        loop {
            if !self.connection.closing && self.cancelled.as_mut().poll(context).is_ready() {
                self.connection.closing = true;
            }
            match self.connection.turn(context) {
                Ok(Turn::Progress) => {}
                Ok(Turn::Idle) if self.connection.is_finished() => return Poll::Ready(Ok(())),
                Ok(Turn::Idle) => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Whether every request has its reply, and the next move is the client's.
    pub(super) fn waits_for_client(&self) -> bool {
        !self.connection.closing && self.connection.pending.is_empty() && self.connection.output.is_empty()
    }

    pub(super) fn stream(&mut self) -> &mut S {
        &mut self.connection.stream
    }
}

/// What a request came to, ready to be written as a reply.
enum Answer {
    Read(Vec<Part>),
    Status(Vec<Extent>),
    Done,
    Failed(u32),
}

/// A finished request.
struct Finished {
    request: Request,
    answer: Answer,
}

enum Turn {
    Progress,
    Idle,
}

struct Connection<S> {
    stream: S,
    session: Session,
    input: BytesMut,
    discard_bytes: u64,
    writer: ReplyWriter,
    output: VecDeque<Bytes>,
    output_bytes: u64,
    pending: FuturesUnordered<BoxFuture<'static, Finished>>,
    pending_bytes: u64,
    /// No more requests are taken; what is under way is finished.
    closing: bool,
    requests: Counter,
    sent_bytes: Counter,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn new(stream: S, session: Session) -> Self {
        Self {
            stream,
            writer: ReplyWriter::new(session.style),
            session,
            input: BytesMut::with_capacity(INPUT_BYTES),
            discard_bytes: 0,
            output: VecDeque::new(),
            output_bytes: 0,
            pending: FuturesUnordered::new(),
            pending_bytes: 0,
            closing: false,
            requests: metrics::counter!("galerie_nbd_requests_total"),
            sent_bytes: metrics::counter!("galerie_nbd_sent_bytes_total"),
        }
    }

    fn is_finished(&self) -> bool {
        self.closing && self.pending.is_empty() && self.output.is_empty()
    }

    /// Does what can be done now: start all requests that were received, collect what finished, send, receive.
    fn turn(&mut self, context: &mut Context<'_>) -> Result<Turn> {
        let mut progress = self.start_requests(context)?;
        while let Poll::Ready(Some(finished)) = self.pending.poll_next_unpin(context) {
            self.pending_bytes -= finished.request.cost_bytes();
            self.enqueue(finished);
            progress = true;
        }
        progress |= self.send(context)?;
        if !self.closing && self.may_start() {
            progress |= self.receive(context)?;
        }
        Ok(if progress { Turn::Progress } else { Turn::Idle })
    }

    /// Whether another request may be started.
    fn may_start(&self) -> bool {
        let held_bytes = self.pending_bytes + self.output_bytes;
        self.pending.len() < MAX_IN_FLIGHT_REQUESTS && held_bytes < MAX_IN_FLIGHT_BYTES
    }

    fn start_requests(&mut self, context: &mut Context<'_>) -> Result<bool> {
        let mut started = false;
        while !self.closing && self.may_start() {
            let Some(request) = self.next_request()? else { break };
            started = true;
            self.start(request, context)?;
        }
        Ok(started)
    }

    /// The next request, once the data of a refused write is gone and its header is there.
    fn next_request(&mut self) -> Result<Option<Request>> {
        let skipped = self.discard_bytes.min(self.input.len() as u64);
        self.input.advance(skipped as usize);
        self.discard_bytes -= skipped;
        Request::take(&mut self.input, self.session.style)
    }

    fn start(&mut self, request: Request, context: &mut Context<'_>) -> Result<()> {
        self.requests.increment(1);
        if request.has_payload(self.session.style) {
            if request.length_bytes > MAX_DISCARDED_BYTES {
                return Err(broken("sent far too much data to a read-only export"));
            }
            self.discard_bytes = request.length_bytes;
        }
        match request.kind {
            CMD_DISC => self.closing = true,
            CMD_READ | CMD_BLOCK_STATUS => match request.check(&self.session) {
                Ok(()) => self.start_work(request, context),
                Err(error) => self.enqueue(Finished { request, answer: Answer::Failed(error) }),
            },
            CMD_FLUSH => self.enqueue(Finished { request, answer: Answer::Done }),
            CMD_WRITE | CMD_TRIM | CMD_WRITE_ZEROES => {
                self.enqueue(Finished { request, answer: Answer::Failed(EPERM) });
            }
            _ => self.enqueue(Finished { request, answer: Answer::Failed(EINVAL) }),
        }
        Ok(())
    }

    /// Answers from memory where that is possible. Otherwise the last of the requests that were received together is done in
    /// place, and queued only if it has to wait: handing it over would cost it two wake-ups, and what the others come to
    /// meanwhile leaves with it. Before it, each is a task of its own, so that all cores fetch, decompress and verify.
    fn start_work(&mut self, request: Request, context: &mut Context<'_>) {
        let device = &self.session.export.device;
        let mut parts = Vec::new();
        if request.kind == CMD_READ && device.read_cached(request.range_bytes(), &mut parts) {
            return self.enqueue(Finished { request, answer: Answer::Read(parts) });
        }
        let is_short = self.pending.is_empty() || request.length_bytes <= IN_PLACE_MAX_BYTES;
        let mut work = work(Arc::clone(device), request);
        if !is_short || !self.input.is_empty() {
            work = on_a_task(work, request);
        }
        match work.as_mut().poll(context) {
            Poll::Ready(finished) => self.enqueue(finished),
            Poll::Pending => {
                self.pending_bytes += request.cost_bytes();
                self.pending.push(work);
            }
        }
    }

    fn enqueue(&mut self, finished: Finished) {
        let to = finished.request.to;
        let mut out = Sent { queue: &mut self.output, added_bytes: 0 };
        match finished.answer {
            Answer::Read(pieces) => self.writer.read(to, pieces, &mut out),
            Answer::Status(extents) => self.writer.block_status(to, &extents, &mut out),
            Answer::Done => self.writer.done(to, &mut out),
            Answer::Failed(error) => self.writer.error(to, error, &mut out),
        }
        self.output_bytes += out.added_bytes;
    }

    /// Writes as much as the socket takes.
    fn send(&mut self, context: &mut Context<'_>) -> Result<bool> {
        let mut progress = false;
        while !self.output.is_empty() {
            match self.write_some(context) {
                Poll::Ready(Ok(0)) => return Err(gone(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => self.sent(count),
                Poll::Ready(Err(error)) => return Err(gone(error)),
                Poll::Pending => break,
            }
            progress = true;
        }
        Ok(progress)
    }

    fn write_some(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); MAX_BUFFERS_PER_WRITE];
        let count = self.output.len().min(MAX_BUFFERS_PER_WRITE);
        for (slice, buffer) in slices.iter_mut().zip(&self.output) {
            *slice = IoSlice::new(buffer);
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, &slices[..count])
    }

    fn sent(&mut self, mut count: usize) {
        self.sent_bytes.increment(count as u64);
        self.output_bytes -= count as u64;
        while let Some(front) = self.output.front_mut() {
            if count < front.len() {
                front.advance(count);
                return;
            }
            count -= front.len();
            self.output.pop_front();
        }
    }

    /// Reads what the client sent, as far as there is room for it.
    fn receive(&mut self, context: &mut Context<'_>) -> Result<bool> {
        match self.read_some(context) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(0)) => {
                self.closing = true;
                if self.input.is_empty() && self.discard_bytes == 0 {
                    Ok(true)
                } else {
                    Err(broken("left in the middle of a request"))
                }
            }
            Poll::Ready(Ok(_)) => Ok(true),
            Poll::Ready(Err(error)) => Err(gone(error)),
        }
    }

    fn read_some(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.input.reserve(INPUT_BYTES);
        tokio_util::io::poll_read_buf(Pin::new(&mut self.stream), context, &mut self.input)
    }
}

/// The output queue, counting what is added.
struct Sent<'a> {
    queue: &'a mut VecDeque<Bytes>,
    added_bytes: u64,
}

impl Extend<Bytes> for Sent<'_> {
    fn extend<I: IntoIterator<Item = Bytes>>(&mut self, buffers: I) {
        for buffer in buffers {
            self.added_bytes += buffer.len() as u64;
            self.queue.push_back(buffer);
        }
    }
}

/// Runs the work beside the connection's task; it ends with the connection.
fn on_a_task(work: BoxFuture<'static, Finished>, request: Request) -> BoxFuture<'static, Finished> {
    let task = AbortOnDropHandle::new(tokio::spawn(work));
    Box::pin(async move {
        task.await.unwrap_or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "NBD read ended early");
            Finished { request, answer: Answer::Failed(EIO) }
        })
    })
}

fn work(device: Arc<dyn BlockDevice>, request: Request) -> BoxFuture<'static, Finished> {
    Box::pin(async move {
        let result = if request.kind == CMD_READ {
            device.read(request.range_bytes()).await.map(Answer::Read)
        } else {
            status(&*device, request).await.map(Answer::Status)
        };
        let answer = result.unwrap_or_else(|error| {
            let (offset_bytes, length_bytes) = (request.to.offset_bytes, request.length_bytes);
            tracing::error!(offset_bytes, length_bytes, error = &error as &dyn std::error::Error, "NBD read failed");
            Answer::Failed(if matches!(error, Error::Invalid(_)) { EINVAL } else { EIO })
        });
        Finished { request, answer }
    })
}

async fn status(device: &dyn BlockDevice, request: Request) -> Result<Vec<Extent>> {
    let start = request.to.offset_bytes;
    let range: Range<u64> = start..start + request.length_bytes.min(MAX_STATUS_BYTES);
    let one = request.to.flags & CMD_FLAG_REQ_ONE != 0;
    device.extents(range, if one { 1 } else { MAX_STATUS_EXTENTS }).await
}
