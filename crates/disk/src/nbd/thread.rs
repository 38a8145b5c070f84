//! A connection's own thread.
//!
//! ```text
//!   poll the transmission --Pending--> look for a while --nothing--> sleep in poll(2)
//!        ^                                   |                            |
//!        +---- the socket is ready, or the bell rang (a read is done, shutdown) ----+
//! ```
//! A thread that waits for its socket alone answers a cached read without another thread's doing: on the runtime's workers
//! a request meets whoever waits for all sockets, and the task may move to another processor, which has to wake up first. A read
//! that is not cached is done here, too, when it comes alone or last; several at once are tasks of the runtime, which ring the bell.
//!
//! What it costs is a thread for each connection, of which a socket takes `MAX_CONNECTIONS`.

use std::{
    future::Future,
    io,
    os::unix::net::UnixStream,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Instant,
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    fd::OwnedFd,
    io::Errno,
};
use tokio::{runtime::Handle, sync::oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    handshake::{Session, gone},
    patience::{Looking, Patience},
    socket::Socket,
    transmission::Transmission,
};
use crate::{Error, Result};

const NAME: &str = "nbd";

/// Serves requests on a thread until the client leaves or `cancel` fires. Dropped, it hangs up at once.
///
/// # Errors
/// As the transmission's; `Io` when there is no thread to be had.
pub(super) async fn run(stream: UnixStream, session: Session, cancel: &CancellationToken) -> Result<()> {
    let start = |error| Error::io("start a thread for an NBD connection", error);
    let bell = Arc::new(Bell::new().map_err(|error| start(error.into()))?);
    let (runtime, cancel, rung) = (Handle::current(), cancel.clone(), Arc::clone(&bell));
    let (hang_up, hung_up) = oneshot::channel::<()>();
    let (end, ended) = oneshot::channel();
    let work = move || {
        let _runtime = runtime.enter();
        let _ = end.send(drive(stream, session, cancel, &rung, hung_up));
    };
    std::thread::Builder::new().name(NAME.to_owned()).spawn(work).map_err(start)?;
    // Dropped with this future, which the thread hears.
    let _hang_up = hang_up;
    ended.await.unwrap_or_else(|_| Err(Error::io("serve an NBD client", io::Error::other("the thread panicked"))))
}

fn drive(
    stream: UnixStream,
    session: Session,
    cancel: CancellationToken,
    bell: &Arc<Bell>,
    hung_up: oneshot::Receiver<()>,
) -> Result<()> {
    let waker = Waker::from(Arc::clone(bell));
    let mut context = Context::from_waker(&waker);
    let mut transmission = Transmission::new(Socket::new(stream), session, cancel);
    let mut hung_up = pin!(hung_up);
    let mut patience = Patience::default();
    loop {
        if hung_up.as_mut().poll(&mut context).is_ready() {
            return Ok(());
        }
        if let Poll::Ready(ended) = transmission.poll(&mut context) {
            return ended;
        }
        let is_clients_turn = transmission.waits_for_client();
        let ready = wait(transmission.stream(), bell, is_clients_turn.then_some(&mut patience)).map_err(gone)?;
        if ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            transmission.stream().may_be_readable();
        }
    }
}

/// Waits until the socket is ready for what its reads and writes waited for, or the bell rings. Answers what the socket is
/// ready for. With patience it looks for a while first.
fn wait(socket: &mut Socket, bell: &Bell, patience: Option<&mut Patience>) -> io::Result<PollFlags> {
    let interest = socket.interest();
    let begun = Instant::now();
    if let Some(patience) = &patience
        && let Some(ready) = look(socket, bell, interest, patience, begun)?
    {
        return Ok(ready);
    }
    let ready = sleep(socket, bell, interest)?;
    if let Some(patience) = patience {
        patience.learn(begun.elapsed());
    }
    Ok(ready)
}

fn look(
    socket: &Socket,
    bell: &Bell,
    interest: PollFlags,
    patience: &Patience,
    begun: Instant,
) -> io::Result<Option<PollFlags>> {
    if patience.window().is_zero() {
        return Ok(None);
    }
    let Some(_looking) = Looking::begin() else { return Ok(None) };
    while begun.elapsed() < patience.window() {
        let mut watched = [PollFd::new(socket, interest)];
        let ready = retried(|| poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })))?;
        if ready > 0 || bell.has_rung() {
            return Ok(Some(watched[0].revents()));
        }
    }
    Ok(None)
}

fn sleep(socket: &Socket, bell: &Bell, interest: PollFlags) -> io::Result<PollFlags> {
    if !bell.may_sleep() {
        return Ok(PollFlags::empty());
    }
    let mut watched = [PollFd::new(&bell.event, PollFlags::IN), PollFd::new(socket, interest)];
    // A socket that nothing waits for would still tell that its client is gone, time and again.
    let count = if interest.is_empty() { 1 } else { 2 };
    let slept = retried(|| poll(&mut watched[..count], None));
    let [rung, ready] = watched.map(|watched| watched.revents());
    bell.wake_up(!rung.is_empty());
    slept.map(|_| ready)
}

fn retried<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return done.map_err(Into::into),
        }
    }
}

/// Wakes the thread; costs a system call only when it sleeps.
struct Bell {
    state: AtomicU8,
    event: OwnedFd,
}

const AWAKE: u8 = 0;
const RUNG: u8 = 1;
const ASLEEP: u8 = 2;

impl Bell {
    fn new() -> rustix::io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { state: AtomicU8::new(AWAKE), event })
    }

    fn ring(&self) {
        if self.state.swap(RUNG, Ordering::AcqRel) == ASLEEP {
            // Full means that it has rung, and nothing else can go wrong.
            let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
        }
    }

    fn has_rung(&self) -> bool {
        self.state.compare_exchange(RUNG, AWAKE, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Whether it has not rung since it was last heard; then it counts as asleep.
    fn may_sleep(&self) -> bool {
        let slept = self.state.compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if !slept {
            self.state.swap(AWAKE, Ordering::AcqRel);
        }
        slept
    }

    /// `is_heard` says that the event is there. Whoever rings swaps first and makes the event afterwards, so that it may come
    /// when this was called already, and end the next sleep.
    fn wake_up(&self, is_heard: bool) {
        if self.state.swap(AWAKE, Ordering::AcqRel) == RUNG || is_heard {
            let _ = rustix::io::read(&self.event, &mut [0_u8; 8]);
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}
