//! A `galerie serve` process in a directory of its own, and commands against it.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// The program.
pub(crate) fn galerie() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_galerie"));
    for variable in ["DATA_DIR", "ENDPOINT", "CA_FILE", "TENANT_ID", "SUBSCRIPTION_ID", "CLIENT_ID", "CLIENT_SECRET"] {
        command.env_remove(format!("GALERIE_{variable}"));
    }
    command.env_remove("GALERIE_CONFIG").env_remove("GALERIE_LISTEN").env_remove("GALERIE_LOG");
    command.stdin(Stdio::null());
    command
}

/// Sends a signal to a process that this test started.
pub(crate) fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// A directory, and the server that runs in it from time to time.
pub(crate) struct Server {
    folder: TempDir,
    child: Option<Child>,
    /// What it printed when it was ready.
    pub(crate) welcome: String,
}

impl Server {
    /// A directory with a configuration; nothing runs yet.
    pub(crate) fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("galerie.toml"), format!("metrics_listen = \"off\"\n{config}")).unwrap();
        Self { folder, child: None, welcome: String::new() }
    }

    /// A server that runs.
    pub(crate) fn start() -> Self {
        let mut server = Self::new("");
        server.run();
        server
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.path("data")
    }

    /// The command that starts it.
    pub(crate) fn serve_command(&self) -> Command {
        let mut command = galerie();
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(self.data_dir())
            .arg("--config")
            .arg(self.path("galerie.toml"));
        command
    }

    /// Starts it and waits until it says that it is ready.
    pub(crate) fn run(&mut self) {
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        // Tests wait for blobs, whose lines are told at this level only.
        let mut command = self.serve_command();
        command.env("GALERIE_LOG", "info,galerie::access=debug");
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        self.welcome = lines.by_ref().map_while(Result::ok).take_while(|line| !line.starts_with("Ctrl-C")).fold(
            String::new(),
            |mut text, line| {
                text.push_str(&line);
                text.push('\n');
                text
            },
        );
        assert!(self.welcome.contains("is ready at"), "the server did not start:\n{}", self.log());
        self.child = Some(child);
    }

    pub(crate) fn child(&self) -> &Child {
        self.child.as_ref().expect("the server runs")
    }

    /// Asks it to end, as an init system does.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the server runs");
        signal(&child, "TERM");
        child.wait().unwrap()
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("the server runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub(crate) fn admin(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.data_dir().join("admin.json")).unwrap()).unwrap()
    }

    /// A client command for this server.
    pub(crate) fn client(&self, arguments: &[&str]) -> Command {
        let mut command = galerie();
        command.args(arguments).env("GALERIE_DATA_DIR", self.data_dir()).current_dir(self.folder.path());
        command
    }

    /// Runs a client command, which must succeed; answers what it printed.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.client(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}\nserver:\n{}", text(&output.stderr), self.log());
        text(&output.stdout)
    }

    /// As [`Server::ok`], for a command that prints JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(arguments)).unwrap()
    }

    /// Runs a client command, which must fail with this exit code; answers its complaint.
    pub(crate) fn fails(&self, exit_code: i32, arguments: &[&str]) -> String {
        let output = self.client(arguments).output().unwrap();
        let complaint = text(&output.stderr);
        assert_eq!(output.status.code(), Some(exit_code), "{arguments:?}: {complaint}");
        complaint
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a command that must fail wrote to standard error.
pub(crate) fn complaint(output: Output) -> String {
    assert!(!output.status.success(), "it succeeded: {}", text(&output.stdout));
    text(&output.stderr)
}

/// Sends a GET over TLS that trusts this authority only; answers the status, or why there is none.
pub(crate) fn get(url: &str, ca_file: &Path, host: Option<&str>) -> Result<u16, String> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let pem = std::fs::read(ca_file).unwrap();
    let roots = reqwest::Certificate::from_pem_bundle(&pem).unwrap();
    let mut client = reqwest::Client::builder().no_proxy().tls_certs_only(roots);
    let mut url = reqwest::Url::parse(url).unwrap();
    if let Some(host) = host {
        let address = url.socket_addrs(|| None).unwrap();
        client = client.resolve_to_addrs(host, &address);
        url.set_host(Some(host)).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sent = runtime.block_on(async { client.build().unwrap().get(url).send().await });
    sent.map(|answer| answer.status().as_u16()).map_err(|error| format!("{error:?}"))
}

/// Everything that a process writes until it ends.
pub(crate) fn read_all(mut from: impl Read) -> String {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    text(&bytes)
}
