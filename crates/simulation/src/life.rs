//! The life of a simulated process: everything it does is polled only while it lives, is not while it is frozen, and is
//! dropped at one moment when it dies.

use std::{
    collections::BTreeMap,
    fmt, mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures::future::BoxFuture;
use galerie_control::Spawn;
use tokio::sync::oneshot;

/// The life of one process, from its start to its end. Clones are one.
#[derive(Clone, Default)]
pub(crate) struct Life(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    phase: Phase,
    next_task: u64,
    tasks: BTreeMap<u64, Task>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    Alive,
    Frozen,
    Over,
}

/// What a process does. While it is being polled the work is with whoever polls it.
#[derive(Default)]
struct Task {
    work: Option<BoxFuture<'static, ()>>,
    waker: Option<Waker>,
}

impl Life {
    /// Stops every task until [`Life::thaw`], as a machine does that swaps or is suspended.
    pub(crate) fn freeze(&self) {
        let mut state = self.state();
        if state.phase == Phase::Alive {
            state.phase = Phase::Frozen;
        }
    }

    /// Goes on.
    pub(crate) fn thaw(&self) {
        let mut state = self.state();
        if state.phase == Phase::Frozen {
            state.phase = Phase::Alive;
            state.tasks.values_mut().filter_map(|task| task.waker.take()).for_each(Waker::wake);
        }
    }

    /// Ends it: every task is dropped where it stands.
    pub(crate) fn end(&self) {
        let tasks = {
            let mut state = self.state();
            state.phase = Phase::Over;
            mem::take(&mut state.tasks)
        };
        for task in tasks.into_values() {
            drop(task.work);
            task.waker.into_iter().for_each(Waker::wake);
        }
    }

    /// Does something in the process; `None` when it died before that had come to its end.
    pub(crate) async fn call<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (sender, answer) = oneshot::channel();
        self.spawn(Box::pin(async move {
            let _ = sender.send(work.await);
        }));
        answer.await.ok()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Life").field(&self.state().phase).finish()
    }
}

impl Spawn for Life {
    fn spawn(&self, work: BoxFuture<'static, ()>) {
        let number = {
            let mut state = self.state();
            if state.phase == Phase::Over {
                return;
            }
            let number = state.next_task;
            state.next_task += 1;
            state.tasks.insert(number, Task { work: Some(work), waker: None });
            number
        };
        tokio::spawn(Lived { life: self.clone(), number });
    }
}

/// A task, as the runtime sees it.
struct Lived {
    life: Life,
    number: u64,
}

impl Future for Lived {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut work = {
            let mut state = self.life.state();
            let phase = state.phase;
            let Some(task) = state.tasks.get_mut(&self.number) else { return Poll::Ready(()) };
            task.waker = Some(context.waker().clone());
            match (phase, task.work.take()) {
                (Phase::Alive, Some(work)) => work,
                (_, work) => {
                    task.work = work;
                    return Poll::Pending;
                }
            }
        };
        let polled = work.as_mut().poll(context);
        let mut state = self.life.state();
        match (polled, state.tasks.get_mut(&self.number)) {
            (Poll::Pending, Some(task)) => {
                task.work = Some(work);
                Poll::Pending
            }
            // It has ended, or its process has.
            _ => {
                state.tasks.remove(&self.number);
                drop(state);
                drop(work);
                Poll::Ready(())
            }
        }
    }
}
