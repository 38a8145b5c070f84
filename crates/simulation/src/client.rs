//! A client of the gallery: it asks any process that runs, tries again what failed for the moment, and goes where an
//! upload or a region is served, as the forwarding between processes does.

use std::time::Duration;

use futures::future::BoxFuture;
use galerie_arm::{ArmError, OperationStatus};
use galerie_control::{BlobError, Content, Control, Expand, OperationRef, Place, RequestContext};
use galerie_store::{Manifest, Segment};
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    image::Disk,
    random::Random,
    world::{Process, World, url},
};

/// Between attempts.
const PAUSE: Duration = Duration::from_millis(700);
/// Attempts before a client gives a request up. With the pauses it is a quarter of an hour, longer than any fault lasts
/// but the freezing of a process, which is waited for.
const MOST_ATTEMPTS: u32 = 1200;
/// How often an operation is asked about.
const POLL: Duration = Duration::from_secs(3);

/// Why a request came to nothing.
#[derive(Debug, Clone)]
pub(crate) enum Refusal {
    /// It was understood and refused.
    Refused(ArmError),
    /// It was tried for very long.
    GivenUp(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(error) => write!(f, "{} {}: {}", error.status, error.code, error.message),
            Self::GivenUp(why) => write!(f, "given up: {why}"),
        }
    }
}

pub(crate) type Answer<T> = Result<T, Refusal>;

/// One client.
pub(crate) struct Client {
    pub(crate) world: World,
    /// For the journal.
    pub(crate) name: String,
    pub(crate) random: Random,
}

/// Whether the same request may succeed later. 409 is for whoever waits for another's end; 507 for a store that is full.
fn may_pass(error: &ArmError) -> bool {
    matches!(error.status, 500 | 503 | 507) || error.status == 409 && error.message.contains("in progress")
}

impl Client {
    pub(crate) fn new(world: &World, name: String, stream: u64) -> Self {
        Self { world: world.clone(), name, random: world.random(stream) }
    }

    pub(crate) fn note(&self, event: impl std::fmt::Display) {
        self.world.journal().note(format_args!("{}: {event}", self.name));
    }

    /// A process to ask; waits until one runs.
    pub(crate) async fn any_process(&mut self) -> Process {
        loop {
            let running = self.world.running();
            if let Some(process) = self.random.pick(&running) {
                return process.clone();
            }
            sleep(PAUSE).await;
        }
    }

    /// Asks until it is answered for good.
    pub(crate) async fn ask<T: Send + 'static>(
        &mut self,
        what: &str,
        request: impl Fn(Control, RequestContext) -> BoxFuture<'static, Result<T, ArmError>>,
    ) -> Answer<T> {
        let mut last = String::new();
        for _ in 0..MOST_ATTEMPTS {
            let process = self.any_process().await;
            let (number, context) = (process.number, self.world.context());
            match process.call(request(process.control.clone(), context)).await {
                Some(Ok(answer)) => {
                    self.note(format_args!("{what} at {number}: done"));
                    return Ok(answer);
                }
                Some(Err(error)) if may_pass(&error) => last = format!("{} {}", error.status, error.message),
                Some(Err(error)) => {
                    let refusal = Refusal::Refused(error);
                    self.note(format_args!("{what} at {number}: {refusal}"));
                    return Err(refusal);
                }
                None => "the process died".clone_into(&mut last),
            }
            self.note(format_args!("{what} at {number}: {last}"));
            sleep(PAUSE).await;
        }
        Err(Refusal::GivenUp(last))
    }

    pub(crate) async fn put(&mut self, below: &str, body: Value) -> Answer<OperationRef> {
        let id = self.world.id(below);
        self.ask(&format!("PUT {below}"), move |control, context| {
            let (id, body) = (id.clone(), body.clone());
            Box::pin(async move { Ok(control.put(&context, &id, body).await?.operation) })
        })
        .await
    }

    pub(crate) async fn patch(&mut self, below: &str, body: Value) -> Answer<OperationRef> {
        let id = self.world.id(below);
        self.ask(&format!("PATCH {below}"), move |control, context| {
            let (id, body) = (id.clone(), body.clone());
            Box::pin(async move { Ok(control.patch(&context, &id, body).await?.operation) })
        })
        .await
    }

    /// What is not there is deleted already.
    pub(crate) async fn delete(&mut self, below: &str) -> Answer<()> {
        let id = self.world.id(below);
        let deleted = self
            .ask(&format!("DELETE {below}"), move |control, context| {
                let id = id.clone();
                Box::pin(async move { control.delete(&context, &id).await })
            })
            .await?;
        let operation = deleted.map(|accepted| accepted.operation);
        match operation {
            Some(operation) => self.ended(&operation).await,
            None => Ok(()),
        }
    }

    /// The document, with the state of its replicas.
    pub(crate) async fn get(&mut self, below: &str) -> Answer<Value> {
        let id = self.world.id(below);
        let expand = Expand { replication_status: below.contains("/versions/"), ..Expand::default() };
        self.ask(&format!("GET {below}"), move |control, context| {
            let id = id.clone();
            Box::pin(async move { Ok(control.get(&context, &id, &expand).await?.document) })
        })
        .await
    }

    /// Waits until an operation has ended.
    pub(crate) async fn ended(&mut self, operation: &OperationRef) -> Answer<()> {
        let (subscription, id) = (operation.subscription, operation.id);
        loop {
            let document = self
                .ask("operation", move |control, context| {
                    Box::pin(async move { Ok(control.operation_status(&context, subscription, id).await?.document) })
                })
                .await?;
            match document.status {
                OperationStatus::Succeeded => return Ok(()),
                OperationStatus::Failed | OperationStatus::Canceled => {
                    let error = document.error.unwrap_or_else(|| ArmError::internal("without an error"));
                    return Err(Refusal::Refused(error));
                }
                OperationStatus::InProgress => sleep(POLL).await,
            }
        }
    }

    /// The process where something is served, if it runs.
    pub(crate) fn at(&self, here: &Process, place: &Place) -> Option<Process> {
        match place {
            Place::Here => Some(here.clone()),
            Place::At(peer) => (0..self.world.places())
                .find(|number| url(*number) == peer.url)
                .and_then(|number| self.world.process(number)),
            Place::Away(_) => None,
        }
    }
}

/// An image's bytes, as a client reads them blob by blob.
pub(crate) async fn read(content: &Content) -> Result<Disk, ArmError> {
    let unreadable = |error: galerie_store::Error| ArmError::internal(&format!("a client cannot decode: {error}"));
    let manifest = content.manifest_blob().await?.decode().map_err(unreadable)?;
    let manifest = Manifest::decode(&manifest).map_err(unreadable)?;
    let mut data = Vec::new();
    for (index, id) in manifest.segments() {
        let segment = content.segments(&[*id]).await?.remove(0).decode().map_err(unreadable)?;
        let segment = Segment::decode(&segment).map_err(unreadable)?;
        let ids: Vec<_> = segment.entries().iter().filter_map(|entry| entry.chunk).collect();
        let mut chunks = content.chunks(*id, &ids).await?.into_iter();
        let mut at = *index as usize * galerie_store::chunking::SEGMENT_SIZE_BYTES as usize;
        for entry in segment.entries() {
            if entry.chunk.is_some() {
                let chunk = chunks.next().ok_or_else(|| ArmError::internal("fewer chunks than were asked for"))?;
                data.push((at, chunk.decode().map_err(unreadable)?));
            }
            at += entry.length_bytes as usize;
        }
    }
    Ok(Disk { size_bytes: manifest.virtual_size_bytes(), data })
}

/// Whether a blob request may succeed later.
pub(crate) fn blob_may_pass(error: &BlobError) -> bool {
    matches!(error.status_and_code().0, 500 | 503 | 507)
}
