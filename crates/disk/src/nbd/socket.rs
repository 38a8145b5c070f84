//! A connection's socket, for a thread that waits for it by itself.
//!
//! Reads and writes never block. One that has to wait notes what it waits for; [`Socket::interest`] hands that to whoever
//! waits ([`super::thread`]). Nothing wakes a task here: the thread looks at the socket, and polls again.

use std::{
    io::{self, IoSlice, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    pin::Pin,
    task::{Context, Poll},
};

use rustix::event::PollFlags;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What one receive takes at most: as much as a connection has room for.
const RECEIVE_BYTES: usize = 16 * 1024;

/// A socket that does not block.
pub(super) struct Socket {
    stream: UnixStream,
    received: Box<[u8]>,
    /// The last receive took all there was; another is of use only once the socket says that there is more.
    is_drained: bool,
    interest: PollFlags,
}

impl Socket {
    /// `stream` must be in non-blocking mode.
    pub(super) fn new(stream: UnixStream) -> Self {
        let received = vec![0; RECEIVE_BYTES].into_boxed_slice();
        Self { stream, received, is_drained: false, interest: PollFlags::empty() }
    }

    /// What reads and writes have waited for since this was last asked.
    pub(super) fn interest(&mut self) -> PollFlags {
        std::mem::replace(&mut self.interest, PollFlags::empty())
    }

    /// Something may have come since the last receive.
    pub(super) fn may_be_readable(&mut self) {
        self.is_drained = false;
    }

    fn wait_for<T>(&mut self, what: PollFlags) -> Poll<io::Result<T>> {
        self.interest |= what;
        Poll::Pending
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let room = this.received.len().min(buf.remaining());
        loop {
            if this.is_drained {
                return this.wait_for(PollFlags::IN);
            }
            match (&this.stream).read(&mut this.received[..room]) {
                Ok(count) => {
                    // The end, which is no bytes, is to be read again.
                    this.is_drained = (1..room).contains(&count);
                    buf.put_slice(&this.received[..count]);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => this.is_drained = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            match (&self.stream).write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.wait_for(PollFlags::OUT),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.shutdown(std::net::Shutdown::Write))
    }
}
