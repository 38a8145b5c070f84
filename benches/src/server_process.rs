//! `galerie serve` as a user starts it, and requests to it.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use bytes::Bytes;
use reqwest::{Certificate, Client, Method, Response};
use serde::Deserialize;
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::Result;

const START_TIMEOUT: Duration = Duration::from_secs(60);
const START_POLL: Duration = Duration::from_millis(2);
/// The API version of requests about galleries and of those about disks.
const API_VERSIONS: [(&str, &str); 2] = [("/disks/", "2025-01-02"), ("", "2024-03-03")];

/// A server in a process of its own; killed when it is dropped.
pub(crate) struct Server {
    process: Child,
    data_dir: PathBuf,
    admin: Admin,
    http: Client,
    token: String,
    /// From the process' beginning to the first answer.
    pub(crate) started_in: Duration,
}

/// What the server writes for its administrator.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Admin {
    endpoint: String,
    ca_file: PathBuf,
    tenant_id: String,
    subscription_id: String,
    client_id: String,
    client_secret: String,
}

impl Server {
    /// Starts a server and waits until it answers.
    pub(crate) async fn start(data_dir: &Path) -> Result<Self> {
        Self::start_on(data_dir, None).await
    }

    /// As [`Server::start`], with the catalogue in a PostgreSQL database.
    pub(crate) async fn start_on(data_dir: &Path, database: Option<&str>) -> Result<Self> {
        let log = data_dir.with_extension("log");
        let log_file = File::options().create(true).append(true).open(&log)?;
        let started = Instant::now();
        let mut command = Command::new(binary()?);
        if let Some(database) = database {
            command.env("GALERIE_DATABASE", database);
        }
        let mut process = command
            .arg("serve")
            .arg("--data-dir")
            .arg(data_dir)
            .args(["--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(log_file.try_clone()?)
            .stderr(log_file)
            .kill_on_drop(true)
            .spawn()?;
        let (admin, http) = loop {
            if let Some(ready) = ready(data_dir).await {
                break ready;
            }
            if let Some(status) = process.try_wait()? {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(format!("the server ended with {status}: {}", said.trim()).into());
            }
            if started.elapsed() > START_TIMEOUT {
                return Err("the server does not answer".into());
            }
            tokio::time::sleep(START_POLL).await;
        };
        let started_in = started.elapsed();
        let token = token(&admin, &http).await?;
        Ok(Self { process, data_dir: data_dir.to_owned(), admin, http, token, started_in })
    }

    /// For `/proc`.
    pub(crate) fn process(&self) -> String {
        self.process.id().unwrap_or_default().to_string()
    }

    /// The subscription's ARM id.
    pub(crate) fn subscription(&self) -> String {
        format!("/subscriptions/{}", self.admin.subscription_id)
    }

    /// Asks it to end, as an init system does, and waits.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let id = self.process.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
        let id = id.ok_or("the server has ended already")?;
        rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        self.process.wait().await?;
        Ok(())
    }

    /// Asks for another token; how long that took, on the client's side of the connection.
    pub(crate) async fn ask_token(&self) -> Result<Duration> {
        let begun = Instant::now();
        token(&self.admin, &self.http).await?;
        Ok(begun.elapsed())
    }

    /// Sends a request and reads its answer; how long that took, on the client's side of the connection.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(Duration, Value)> {
        let mut url = format!("{}{path}", self.admin.endpoint);
        if !path.contains("api-version=") {
            let version = API_VERSIONS.iter().find(|(part, _)| path.contains(part)).map_or("", |(_, version)| version);
            url += &format!("{}api-version={version}", if path.contains('?') { '&' } else { '?' });
        }
        let body = body.map(serde_json::to_vec).transpose()?.map(|bytes| ("application/json", bytes));
        let (took, answer) = self.exchange(method, &url, body).await?;
        Ok((took, if answer.is_empty() { Value::Null } else { serde_json::from_slice(&answer)? }))
    }

    /// Sends ids below `/content`; the answer's frames.
    pub(crate) async fn send_ids(&self, path: &str, ids: Vec<u8>) -> Result<Bytes> {
        let url = format!("{}{path}", self.admin.endpoint);
        Ok(self.exchange(Method::POST, &url, Some(("application/octet-stream", ids))).await?.1)
    }

    /// As [`Server::send_ids`], for what is asked without ids.
    pub(crate) async fn receive(&self, path: &str) -> Result<Bytes> {
        Ok(self.exchange(Method::GET, &format!("{}{path}", self.admin.endpoint), None).await?.1)
    }

    async fn exchange(&self, method: Method, url: &str, body: Option<(&str, Vec<u8>)>) -> Result<(Duration, Bytes)> {
        let mut request = self.http.request(method, url).bearer_auth(&self.token);
        if let Some((media_type, bytes)) = body {
            request = request.header("content-type", media_type).body(bytes);
        }
        let begun = Instant::now();
        let answer = request.send().await?;
        let (status, body) = (answer.status(), answer.bytes().await?);
        let took = begun.elapsed();
        if !status.is_success() {
            return Err(format!("{url}: {status} {}", String::from_utf8_lossy(&body)).into());
        }
        Ok((took, body))
    }

    /// How long a request takes that costs nothing: what the connection takes.
    pub(crate) async fn ping(&self) -> Result<Duration> {
        let begun = Instant::now();
        let answer = self.http.get(format!("{}/healthz", self.admin.endpoint)).send().await?;
        answer.error_for_status()?.bytes().await?;
        Ok(begun.elapsed())
    }

    /// Runs a command of the client against it.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<()> {
        let output = Command::new(binary()?).args(arguments).env("GALERIE_DATA_DIR", &self.data_dir).output().await?;
        match output.status.success() {
            true => Ok(()),
            false => {
                Err(format!("galerie {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)).into())
            }
        }
    }

    /// Publishes a raw image as `bench/web/VERSION` in East US, and answers the version's ARM id.
    pub(crate) async fn publish(&self, image: &Path, version: &str) -> Result<String> {
        let image = image.to_str().ok_or("the image's path is not UTF-8")?;
        let version_name = format!("bench/web/{version}");
        let place = ["--create", "--os-type", "Linux", "--resource-group", "bench", "--location", "eastus"];
        let arguments = ["publish", image, version_name.as_str(), "--format", "raw", "--target-region", "eastus"];
        self.run(&[&arguments[..], &place[..]].concat()).await?;
        let group = format!("{}/resourceGroups/bench/providers/Microsoft.Compute", self.subscription());
        Ok(format!("{group}/galleries/bench/images/web/versions/{version}"))
    }
}

/// The program that `cargo build --release` put beside this one.
fn binary() -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("galerie");
    match path.is_file() {
        true => Ok(path),
        false => Err(format!("{} is missing: cargo build --release --package galerie", path.display()).into()),
    }
}

/// The administrator's file and a client, as soon as the server that wrote it answers.
async fn ready(data_dir: &Path) -> Option<(Admin, Client)> {
    let admin: Admin = serde_json::from_slice(&std::fs::read(data_dir.join("admin.json")).ok()?).ok()?;
    let authority = std::fs::read(data_dir.join(&admin.ca_file)).ok()?;
    let http =
        Client::builder().tls_certs_only(Certificate::from_pem_bundle(&authority).ok()?).no_proxy().build().ok()?;
    let answer = http.get(format!("{}/healthz", admin.endpoint)).send().await.ok()?;
    answer.status().is_success().then_some((admin, http))
}

async fn token(admin: &Admin, http: &Client) -> Result<String> {
    #[derive(Deserialize)]
    struct Token {
        access_token: String,
    }
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}&scope={}",
        encode(&admin.client_id),
        encode(&admin.client_secret),
        encode(&format!("{}/.default", admin.endpoint))
    );
    let answer: Response = http
        .post(format!("{}/{}/oauth2/v2.0/token", admin.endpoint, admin.tenant_id))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
        .send()
        .await?;
    Ok(answer.error_for_status()?.json::<Token>().await?.access_token)
}

/// Times of many requests.
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The time that this share of requests did not exceed, in milliseconds.
    pub(crate) fn at_ms(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1) as f64;
        self.0.get((last * share).round() as usize).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    }
}
