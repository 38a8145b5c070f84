//! The gallery itself: started, asked, stopped, started again.

use std::{path::Path, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, HttpBody},
    http::{Method, Request, Response, header, uri::PathAndQuery},
};
use bytes::Bytes;
use galerie_api::{ApiOptions, Faults, Throttling};
use galerie_control::{
    Clock, Control, ControlOptions, Database, ExternalIssuer, MovableClock, ServedRegion, StoreIdentities, SystemClock,
    WorkerTuning,
};
use galerie_region::{Compression, FaultyRegion, LocalRegion, LocalRegionOptions, Region, RegionTrouble};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::OnceCell};
use tower::ServiceExt;
use uuid::Uuid;

use crate::{
    Answer, VirtualClock,
    openapi::{self, Exchange},
};

/// The host of requests in process.
const HOST: &str = "localhost:8443";
/// Decoded chunks that a region keeps; tests are small.
const CACHE_BYTES: u64 = 8 << 20;
/// How often workers look without being woken.
const POLL_EVERY: Duration = Duration::from_millis(20);

/// How a gallery is started.
#[derive(Debug, Clone)]
pub struct GalleryOptions {
    /// The regions' names.
    pub regions: Vec<String>,
    /// Configured hosts.
    pub hosts: Vec<String>,
    /// A clock to move; the machine's without one.
    pub clock: Option<Arc<VirtualClock>>,
    /// Whether workers run; without them, accepted work stays accepted.
    pub workers: bool,
    /// Whether users may sign in by a device code.
    pub device_code: bool,
    /// Issuers of others that are trusted.
    pub external_issuers: Vec<ExternalIssuer>,
    /// Whose budgets of requests are kept.
    pub throttling: Throttling,
    /// What goes wrong on purpose.
    pub faults: Faults,
    /// Regions that are in trouble on purpose, by name.
    pub troubled_regions: Vec<(String, RegionTrouble)>,
    /// Whether the clock can be moved by a request, and remembers it; it takes the place of `clock`.
    pub movable_clock: bool,
}

impl Default for GalleryOptions {
    fn default() -> Self {
        let regions = ["eastus", "westus", "westeurope"].map(str::to_owned).to_vec();
        Self {
            regions,
            hosts: Vec::new(),
            clock: None,
            workers: true,
            device_code: true,
            external_issuers: Vec::new(),
            throttling: Throttling::Off,
            faults: Faults::default(),
            troubled_regions: Vec::new(),
            movable_clock: false,
        }
    }
}

/// A tenant beside the gallery's first.
#[derive(Debug)]
pub struct SecondTenant {
    /// Its id.
    pub tenant: Uuid,
    /// Its subscription.
    pub subscription: Uuid,
    /// Its administrator's token for Azure Resource Manager.
    pub token: String,
}

/// A running gallery.
pub struct Gallery {
    /// The domain, for what has no route.
    pub control: Control,
    /// The first tenant.
    pub tenant: Uuid,
    /// The first subscription.
    pub subscription: Uuid,
    /// The administrator's client id.
    pub client_id: Uuid,
    client_secret: SecretString,
    router: Router,
    token: OnceCell<String>,
    options: GalleryOptions,
    directory: TempDir,
}

impl Gallery {
    /// Three regions, the machine's clock, workers running.
    pub async fn start() -> Self {
        Self::start_with(GalleryOptions::default()).await
    }

    /// As `options` say, in a new directory.
    pub async fn start_with(options: GalleryOptions) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let control = open(directory.path(), &options).await;
        let bootstrap = control.bootstrap().await.expect("a first start");
        let client_secret = bootstrap.client_secret.expect("a new administrator");
        let (tenant, subscription, client_id) = (bootstrap.tenant, bootstrap.subscription, bootstrap.client_id);
        control.identity().trust(options.external_issuers.clone()).await.expect("issuers that can be trusted");
        let router = serve(&control, &options);
        let token = OnceCell::new();
        Self { control, tenant, subscription, client_id, client_secret, router, token, options, directory }
    }

    /// Stops the gallery and starts it again on the same directory, workers and all.
    #[must_use]
    pub async fn restart(self) -> Self {
        let Self { control, tenant, subscription, client_id, client_secret, router, token, mut options, directory } =
            self;
        control.shutdown().await;
        // Regions are one process's: the old ones go before the new ones come.
        drop((router, control));
        options.workers = true;
        let control = open(directory.path(), &options).await;
        control.identity().trust(options.external_issuers.clone()).await.expect("issuers that can be trusted");
        let router = serve(&control, &options);
        Self { control, tenant, subscription, client_id, client_secret, router, token, options, directory }
    }

    /// Where everything is kept.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The administrator's secret.
    #[must_use]
    pub fn client_secret(&self) -> &str {
        self.client_secret.expose_secret()
    }

    /// `https://HOST` of requests in process.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{HOST}")
    }

    /// The administrator's token, asked for once.
    pub async fn token(&self) -> &str {
        self.token.get_or_init(|| self.ask_token()).await
    }

    async fn ask_token(&self) -> String {
        self.token_of(&self.tenant.to_string(), self.client_id, self.client_secret()).await
    }

    async fn token_of(&self, tenant: &str, client_id: Uuid, secret: &str) -> String {
        let form = format!(
            "grant_type=client_credentials&client_id={client_id}&client_secret={secret}&scope=https://{HOST}/.default"
        );
        let answer = self.form(&format!("/{tenant}/oauth2/v2.0/token"), &form).await.expect(200);
        answer.json()["access_token"].as_str().expect("a token").to_owned()
    }

    /// Makes a tenant beside the first, with a subscription and an administrator, whose token it asks for.
    pub async fn second_tenant(&self) -> SecondTenant {
        let new = self.control.add_tenant("Other").await.expect("a tenant");
        let token = self.token_of(&new.tenant.to_string(), new.client_id, new.client_secret.expose_secret()).await;
        SecondTenant { tenant: new.tenant, subscription: new.subscription, token }
    }

    /// Posts a form, without a token.
    pub async fn form(&self, path: &str, form: &str) -> Answer {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(form.to_owned())).expect("a request")).await
    }

    /// Sends a request as it is; a `Host` is added when it has none.
    ///
    /// # Panics
    /// When what Azure Resource Manager accepted or answered is not as Azure describes it: see [`openapi`].
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let (request, asked) = Asked::read(request).await;
        let (parts, body) = self.open(request).await.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.expect("a whole body");
        let answer = Answer { status: parts.status.as_u16(), headers: parts.headers, body };
        asked.hold(&answer);
        answer
    }

    /// As [`Gallery::send`], with the answer's body left to be read.
    pub async fn open(&self, mut request: Request<Body>) -> Response<Body> {
        request.headers_mut().entry(header::HOST).or_insert(header::HeaderValue::from_static(HOST));
        self.router.clone().oneshot(request).await.expect("a router answers")
    }

    /// Sends a request with the administrator's token. `{s}` in the path stands for `/subscriptions/{subscription}`, an
    /// absolute URL is sent to its path.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(self.path(path))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token().await));
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.send(request.body(body).expect("a request")).await
    }

    /// The path of a shortened path or an absolute URL.
    #[must_use]
    pub fn path(&self, path: &str) -> String {
        let path = path.strip_prefix(&self.url()).unwrap_or(path);
        path.replace("{s}", &format!("/subscriptions/{}", self.subscription))
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    /// PUT.
    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PUT, path, Some(body)).await
    }

    /// PATCH.
    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PATCH, path, Some(body)).await
    }

    /// POST.
    pub async fn post(&self, path: &str, body: Option<Value>) -> Answer {
        self.call(Method::POST, path, body).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, None).await
    }

    /// Listens on a loopback port, in plain HTTP, until the test's runtime ends.
    pub async fn listen(&self) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = self.router.clone();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }
}

/// A request, kept until its answer can be held against Azure's description.
struct Asked {
    method: Method,
    target: String,
    body: Bytes,
}

impl Asked {
    /// Keeps what the request says. A body that comes bit by bit is left alone: such a request is no good one.
    async fn read(request: Request<Body>) -> (Request<Body>, Self) {
        let (parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str).to_owned();
        let mut asked = Self { method: parts.method.clone(), target, body: Bytes::new() };
        if body.size_hint().exact().is_none() {
            return (Request::from_parts(parts, body), asked);
        }
        asked.body = axum::body::to_bytes(body, usize::MAX).await.expect("a body in memory");
        (Request::from_parts(parts, Body::from(asked.body.clone())), asked)
    }

    fn hold(&self, answer: &Answer) {
        let headers: Vec<&str> = answer.headers.keys().map(header::HeaderName::as_str).collect();
        let exchange = Exchange {
            method: self.method.as_str(),
            target: &self.target,
            request: &self.body,
            status: answer.status,
            headers: &headers,
            response: &answer.body,
        };
        let violations: Vec<String> = openapi::check(&exchange).iter().map(ToString::to_string).collect();
        assert!(violations.is_empty(), "{} {}: {}\n{answer}", self.method, self.target, violations.join("\n"));
    }
}

async fn open(directory: &Path, options: &GalleryOptions) -> Control {
    let database = database(directory).await;
    let identities = StoreIdentities::read(&database).await.expect("a catalogue");
    let mut regions = Vec::new();
    for name in &options.regions {
        let known = identities.region_stores.get(name);
        let opened = LocalRegion::open(LocalRegionOptions {
            name: name.clone(),
            root: directory.join("regions").join(name),
            catalogue_id: identities.catalogue_id,
            expected_store_id: known.map(|identity| identity.store_id),
            epoch: known.map_or(1, |identity| identity.epoch),
            index_dir: directory.join("index").join(name),
            cache_bytes: CACHE_BYTES,
            compression: Compression::default(),
        });
        let mut region: Arc<dyn Region> = Arc::new(opened.await.expect("a region"));
        if let Some((_, trouble)) = options.troubled_regions.iter().find(|(troubled, _)| troubled == name) {
            region = Arc::new(FaultyRegion::new(region, *trouble));
        }
        regions.push(ServedRegion { region, display_name: None });
    }
    let clock: Arc<dyn Clock> = match &options.clock {
        _ if options.movable_clock => Arc::new(MovableClock::default()),
        Some(clock) => clock.clone(),
        None => Arc::new(SystemClock),
    };
    let tuning = WorkerTuning { poll_every: POLL_EVERY, ..WorkerTuning::default() };
    let master_key_file = directory.join("master.key");
    let control = ControlOptions { clock, tuning, ..ControlOptions::new(database, master_key_file, regions) };
    let control = Control::open(control).await.expect("a control plane");
    if options.workers {
        control.start();
    }
    control
}

/// Where the catalogue of a test in `directory` is: see `galerie_testdb`.
async fn database(directory: &Path) -> Database {
    match galerie_testdb::postgres_of(directory).await {
        Some(url) => Database::postgres(&url).expect("a PostgreSQL URL"),
        None => Database::Sqlite(directory.join("catalogue.sqlite")),
    }
}

fn serve(control: &Control, options: &GalleryOptions) -> Router {
    let listen = "127.0.0.1:8443".parse().expect("an address");
    let options = ApiOptions {
        hosts: options.hosts.clone(),
        listen,
        trusted_proxies: Vec::new(),
        version: "test".to_owned(),
        device_code: options.device_code,
        throttling: options.throttling,
        faults: options.faults.clone(),
        forward: None,
    };
    galerie_api::router(control.clone(), options)
}
