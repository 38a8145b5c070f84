//! The configuration file: TOML, every key optional, unknown keys refused. `docs/configuration.md` explains each.

mod external_issuer;
mod fault;
mod fetch;
mod host;
mod min_free;
mod s3;
mod trusted_proxy;

use std::{
    collections::BTreeSet,
    fmt,
    fs::File,
    io::Read,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use galerie_api::{Faults, Throttling};
use galerie_arm::Location;
use galerie_control::Database;
use galerie_region::{Compression, MinFreeSpace, RegionTrouble};
use serde::Deserialize;

pub(crate) use self::{
    external_issuer::ExternalIssuerConfig,
    fault::{Fault, FaultKind},
    fetch::{AllowedRange, FetchConfig},
    host::{Host, PeerUrl},
    min_free::MinFree,
    s3::{S3Config, StorePlace},
    trusted_proxy::TrustedProxy,
};
use super::{DataDirectory, Error};

/// Longer than any configuration.
const LONGEST_FILE_BYTES: u64 = 1024 * 1024;
/// Most regions of one server.
const MOST_REGIONS: usize = 64;
/// Where metrics are served unless the configuration says otherwise; `docs/metrics.md` names the port too.
const METRICS_LISTEN: &str = "127.0.0.1:9464";
/// Overrides `database`: a password in it is seen by nobody else, neither in a file nor among the arguments.
const DATABASE_VARIABLE: &str = "GALERIE_DATABASE";
/// The regions of a server whose configuration names none.
const REGIONS: [&str; 3] = ["eastus", "westus", "westeurope"];

/// How a server runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Names (or addresses) under which clients reach the server, beside loopback and the listen address.
    pub(crate) hosts: Vec<Host>,
    /// Where the catalogue is: a PostgreSQL URL; `DIR/catalogue.db`, a SQLite file, by default.
    pub(crate) database: Option<DatabaseUrl>,
    pub(crate) regions: Vec<RegionConfig>,
    /// The regions that this process serves; all by default. Others serve the rest.
    pub(crate) serves: Option<Vec<RegionName>>,
    /// Where the other processes of the catalogue reach this one: `https://10.0.0.5:8443`.
    pub(crate) advertise: Option<PeerUrl>,
    /// Proxies that are believed when they say whose request they hand on.
    pub(crate) trusted_proxies: Vec<TrustedProxy>,
    /// The key that wraps the catalogue's keys; `DIR/master.key` by default.
    pub(crate) master_key_file: Option<PathBuf>,
    /// A certificate chain (PEM) in place of one from the server's own authority.
    pub(crate) certificate_file: Option<PathBuf>,
    /// Its private key (PEM).
    pub(crate) key_file: Option<PathBuf>,
    /// The authority behind it, for clients; `None` when their systems trust it already.
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) log_format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,galerie_store=debug`.
    pub(crate) log_level: String,
    /// Where metrics are served, or `"off"`.
    pub(crate) metrics_listen: Option<String>,
    /// How much decoded image data is kept in memory for readers, all regions together.
    pub(crate) cache_size_mib: u64,
    /// How often garbage is collected.
    pub(crate) collect_every_s: u64,
    /// How long what is garbage is kept for readers that are on their way.
    pub(crate) collect_grace_s: u64,
    /// How long requests under way may take to end when the server stops.
    pub(crate) shutdown_timeout_s: u64,
    /// What new work leaves free on the volumes of the regions and of the catalogue.
    pub(crate) min_free_space: MinFree,
    /// How fast a region's stored bytes are read again and checked, in MiB a second; 0 for never.
    pub(crate) scrub_rate_mib_s: u64,
    /// How long from the beginning of one such reading of everything to the next.
    pub(crate) scrub_period_h: u64,
    /// How many days the audit is kept; 0 for ever.
    pub(crate) audit_keep_days: u32,
    /// For how long the server says that it is not ready before it stops taking connections.
    pub(crate) drain_delay_s: u64,
    pub(crate) sign_in: SignInConfig,
    /// Whose budgets of requests are kept.
    pub(crate) throttling: ThrottlingConfig,
    /// What goes wrong on purpose.
    pub(crate) faults: Vec<Fault>,
    /// What users' links may have this server fetch.
    pub(crate) fetch: FetchConfig,
    /// Issuers of others whose tokens are trusted.
    pub(crate) external_issuers: Vec<ExternalIssuerConfig>,
}

/// How users sign in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SignInConfig {
    /// Whether a device code is enough to begin with. Who is talked into typing a stranger's code is signed in for the
    /// stranger; where nobody needs it, it is better off.
    pub(crate) device_code: bool,
}

impl Default for SignInConfig {
    fn default() -> Self {
        Self { device_code: true }
    }
}

/// One region.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegionConfig {
    pub(crate) name: RegionName,
    /// What clients see; Azure's display name by default.
    pub(crate) display_name: Option<String>,
    /// The store's directory; `DIR/regions/NAME` by default.
    pub(crate) path: Option<PathBuf>,
    /// The bucket that the store lies in, in place of a directory.
    pub(crate) store: Option<StorePlace>,
    /// How that bucket is reached.
    #[serde(default)]
    pub(crate) s3: S3Config,
    /// What new work leaves free on its volume; as for all by default.
    pub(crate) min_free_space: Option<MinFree>,
    /// What is compressed with when bytes come into its store.
    #[serde(default)]
    pub(crate) compression: Compression,
    /// Whether the server does not start without it.
    #[serde(default)]
    pub(crate) required: bool,
}

/// The URL of a PostgreSQL database, which may hold a password: it is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The database.
    ///
    /// # Errors
    /// What is wrong with the URL, without repeating it.
    pub(crate) fn database(&self) -> Result<Database, String> {
        Database::postgres(&self.0).map_err(|problem| format!("database: {problem}"))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(..)")
    }
}

/// Whose budgets of requests are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ThrottlingConfig {
    /// Nothing is throttled
    Off,
    /// As many requests as Azure allows, and 429 for more
    Azure,
}

impl From<ThrottlingConfig> for Throttling {
    fn from(config: ThrottlingConfig) -> Self {
        match config {
            ThrottlingConfig::Off => Self::Off,
            ThrottlingConfig::Azure => Self::Azure,
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A region's normalised name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct RegionName(pub(crate) Location);

/// Where metrics are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MetricsListen {
    Off,
    /// Nobody asked for it: when the port is taken, the server does without.
    Default(SocketAddr),
    /// When the port is taken, the server does not start.
    Asked(SocketAddr),
}

impl Default for Config {
    fn default() -> Self {
        let region = |name: &str| RegionConfig {
            name: RegionName(Location::normalise(name).expect("a region's name")),
            display_name: None,
            path: None,
            store: None,
            s3: S3Config::default(),
            min_free_space: None,
            compression: Compression::default(),
            required: false,
        };
        Self {
            hosts: Vec::new(),
            database: None,
            regions: REGIONS.map(region).to_vec(),
            serves: None,
            advertise: None,
            trusted_proxies: Vec::new(),
            master_key_file: None,
            certificate_file: None,
            key_file: None,
            ca_file: None,
            log_format: LogFormat::Text,
            log_level: "info".to_owned(),
            metrics_listen: None,
            cache_size_mib: 128,
            collect_every_s: 3600,
            collect_grace_s: 60,
            shutdown_timeout_s: 30,
            min_free_space: MinFree(MinFreeSpace { bytes: Some(10 << 30), percent: Some(5) }),
            scrub_rate_mib_s: 8,
            scrub_period_h: 7 * 24,
            audit_keep_days: 365,
            drain_delay_s: 0,
            sign_in: SignInConfig::default(),
            throttling: ThrottlingConfig::Off,
            faults: Vec::new(),
            fetch: FetchConfig::default(),
            external_issuers: Vec::new(),
        }
    }
}

impl Config {
    /// Reads a file. Relative paths in it start at the file's own folder.
    ///
    /// # Errors
    /// `Config`, naming the file, the line and what is wrong with it.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let invalid = |problem: String| Error::Config(format!("the configuration {}: {problem}", path.display()));
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(LONGEST_FILE_BYTES).read_to_string(&mut text))
            .map_err(|error| invalid(error.to_string()))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = folder.canonicalize().map_err(|error| invalid(error.to_string()))?;
        Self::parse(&text, &folder).map_err(invalid)
    }

    /// How long the audit is kept; `None` for ever.
    pub(crate) fn audit_kept(&self) -> Option<Duration> {
        let days = u64::from(self.audit_keep_days);
        (days > 0).then(|| Duration::from_secs(days * 24 * 3600))
    }

    /// Where the master key of the server with this data directory lies.
    pub(crate) fn master_key_file(&self, data_dir: &Path) -> PathBuf {
        self.master_key_file.clone().unwrap_or_else(|| data_dir.join("master.key"))
    }

    fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let mut config: Self = toml::from_str(text).map_err(|error| problem(text, &error))?;
        let files = [
            &mut config.certificate_file,
            &mut config.key_file,
            &mut config.ca_file,
            &mut config.master_key_file,
            &mut config.fetch.ca_file,
        ];
        let issuers = config.external_issuers.iter_mut().map(|issuer| &mut issuer.ca_file);
        let paths = files.into_iter().chain(config.regions.iter_mut().flat_map(RegionConfig::files)).chain(issuers);
        for path in paths.flatten() {
            *path = folder.join(&*path);
        }
        config.check()?;
        Ok(config)
    }

    /// Takes the database from the environment, which says more than the file.
    ///
    /// # Errors
    /// `Config`, when that is no PostgreSQL URL.
    pub(crate) fn with_environment(mut self) -> Result<Self, Error> {
        if let Ok(url) = std::env::var(DATABASE_VARIABLE) {
            let url = DatabaseUrl(url);
            url.database().map_err(|problem| Error::Config(format!("{DATABASE_VARIABLE}: {problem}")))?;
            self.database = Some(url);
        }
        Ok(self)
    }

    /// Where the catalogue is.
    ///
    /// # Errors
    /// `Config`, when the URL is none.
    pub(crate) fn catalogue(&self, directory: &DataDirectory) -> Result<Database, Error> {
        match &self.database {
            Some(url) => url.database().map_err(Error::Config),
            None => Ok(directory.database().into()),
        }
    }

    fn check(&self) -> Result<(), String> {
        if let Some(url) = &self.database {
            url.database()?;
        }
        if self.certificate_file.is_some() != self.key_file.is_some() {
            return Err("certificate_file and key_file come together".to_owned());
        }
        if self.ca_file.is_some() && self.certificate_file.is_none() {
            return Err("ca_file is the authority behind certificate_file, which is missing".to_owned());
        }
        if self.collect_every_s == 0 {
            return Err("collect_every_s is at least 1".to_owned());
        }
        if self.regions.is_empty() || self.regions.len() > MOST_REGIONS {
            return Err(format!("a server has 1 to {MOST_REGIONS} regions, not {}", self.regions.len()));
        }
        let mut names = BTreeSet::new();
        for region in &self.regions {
            if !names.insert(&region.name.0) {
                return Err(format!("region '{}' is there twice", region.name.0));
            }
        }
        for served in self.serves.iter().flatten() {
            if !names.contains(&served.0) {
                return Err(format!("serves names the region '{}', which is none of the [[regions]]", served.0));
            }
        }
        if self.serves.as_ref().is_some_and(Vec::is_empty) {
            return Err("serves names no region; leave it out to serve all".to_owned());
        }
        self.fetch.check()?;
        let mut paths = BTreeSet::new();
        for path in self.regions.iter().filter_map(|region| region.path.as_ref()) {
            if !paths.insert(path) {
                return Err(format!("two regions cannot share the directory {}", path.display()));
            }
        }
        let mut buckets = BTreeSet::new();
        for region in &self.regions {
            region.check()?;
            if let Some(place) = &region.store
                && !buckets.insert((&region.s3.endpoint, place))
            {
                return Err(format!("two regions cannot share the bucket and prefix {place}"));
            }
        }
        self.check_faults()?;
        let mut issuers = BTreeSet::new();
        for issuer in &self.external_issuers {
            issuer.check()?;
            if !issuers.insert(&issuer.issuer) {
                return Err(format!("external_issuers: {} is there twice; an issuer is of one tenant", issuer.issuer));
            }
        }
        self.metrics_listen().map(|_| ())
    }

    /// What the command line says beside the file.
    ///
    /// # Errors
    /// `Config`, when both together say something that cannot be.
    pub(crate) fn with_options(
        mut self,
        throttling: Option<ThrottlingConfig>,
        faults: &[Fault],
    ) -> Result<Self, Error> {
        self.throttling = throttling.unwrap_or(self.throttling);
        self.faults.extend_from_slice(faults);
        self.check_faults().map_err(Error::Config)?;
        Ok(self)
    }

    fn check_faults(&self) -> Result<(), String> {
        let mut troubled = BTreeSet::new();
        for fault in &self.faults {
            match &fault.kind {
                FaultKind::Region { name, .. } => {
                    if !self.regions.iter().any(|region| region.name == *name && self.serves(name)) {
                        return Err(format!("fault '{}': '{}' is no region that is served here", fault.text, name.0));
                    }
                    if !troubled.insert(&name.0) {
                        return Err(format!("fault '{}': the region has one already; say both in one", fault.text));
                    }
                }
                FaultKind::Clock if self.database.is_some() => {
                    return Err("fault 'clock': the catalogue's clock is PostgreSQL's, which nobody moves".to_owned());
                }
                FaultKind::Clock | FaultKind::Answer(_) => {}
            }
        }
        Ok(())
    }

    /// What is wrong on purpose with a region.
    pub(crate) fn trouble(&self, region: &RegionName) -> Option<RegionTrouble> {
        self.faults.iter().find_map(|fault| match &fault.kind {
            FaultKind::Region { name, trouble, .. } if name == region => Some(*trouble),
            _ => None,
        })
    }

    /// After how long a failed copy is tried again by itself, where a fault says so.
    pub(crate) fn failed_copies_retried_after(&self) -> Option<Duration> {
        let retries = self.faults.iter().filter_map(|fault| match fault.kind {
            FaultKind::Region { retry, .. } => retry,
            _ => None,
        });
        retries.min()
    }

    /// Whether the clock can be moved.
    pub(crate) fn has_movable_clock(&self) -> bool {
        self.faults.iter().any(|fault| fault.kind == FaultKind::Clock)
    }

    /// What the HTTP layer does wrong on purpose, and says of all of it.
    pub(crate) fn faults_of_answers(&self) -> Faults {
        let answer = |fault: &Fault| match &fault.kind {
            FaultKind::Answer(answer) => Some(answer.clone()),
            _ => None,
        };
        Faults {
            said: self.faults.iter().map(|fault| fault.text.clone()).collect(),
            answers: self.faults.iter().filter_map(answer).collect(),
        }
    }

    /// Whether this process serves a region.
    pub(crate) fn serves(&self, region: &RegionName) -> bool {
        self.serves.as_ref().is_none_or(|served| served.contains(region))
    }

    /// Refuses what only several processes can mean, of a catalogue that one process has.
    ///
    /// # Errors
    /// `Config`.
    pub(crate) fn check_processes(&self) -> Result<(), Error> {
        let leaves_out = self.regions.iter().any(|region| !self.serves(&region.name));
        match (&self.database, &self.advertise, leaves_out) {
            (None, Some(_), _) => Err("advertise"),
            (None, _, true) => Err("serves"),
            _ => Ok(()),
        }
        .map_err(|key| {
            Error::Config(format!("{key} is for several processes on one PostgreSQL database; SQLite has one"))
        })
    }

    /// Where metrics are served.
    ///
    /// # Errors
    /// When it is neither an address with a port nor `off`.
    pub(crate) fn metrics_listen(&self) -> Result<MetricsListen, String> {
        match self.metrics_listen.as_deref() {
            None => Ok(MetricsListen::Default(METRICS_LISTEN.parse().expect("an address"))),
            Some("off") => Ok(MetricsListen::Off),
            Some(text) => text.parse().map(MetricsListen::Asked).map_err(|_| {
                format!("metrics_listen is an address such as \"{METRICS_LISTEN}\" or \"off\", not \"{text}\"")
            }),
        }
    }
}

impl TryFrom<String> for RegionName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match Location::normalise(&text) {
            Some(location) => Ok(Self(location)),
            None => Err(format!("'{text}' is not a region's name: use letters, digits, '-' and '_'")),
        }
    }
}

/// What is wrong, in which line and of which key. The line's value is not repeated: it may hold the database's password.
fn problem(text: &str, error: &toml::de::Error) -> String {
    let Some(span) = error.span() else { return error.message().to_owned() };
    let before = text.get(..span.start).unwrap_or_default();
    let number = before.matches('\n').count();
    let key = text.lines().nth(number).and_then(|line| Some(line.split_once('=')?.0.trim()));
    let is_key = |key: &&str| !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c));
    let key = key.filter(is_key).map(|key| format!(", {key}")).unwrap_or_default();
    format!("line {}{key}: {}", number + 1, error.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What serde says there is, when it meets a key that is not: every key between backquotes, after the first.
    fn keys(refused: &str) -> BTreeSet<String> {
        let error = toml::from_str::<Config>(refused).unwrap_err().to_string();
        let listed = error.split("expected one of").nth(1).expect("a list of keys");
        listed.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn every_key_is_documented_and_nothing_else_is() {
        let text = include_str!("../../../../docs/configuration.md");
        let in_file = text.split("## In the file").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a part");
        let headings = in_file.lines().filter_map(|line| line.strip_prefix("### "));
        let documented: BTreeSet<String> = headings
            .flat_map(|line| line.split('`').skip(1).step_by(2))
            .map(|key| key.trim_matches(['[', ']']).to_owned())
            .collect();
        assert_eq!(documented, keys("none = 1"));
        let region = in_file.split("### ").find(|part| part.starts_with("`[[regions]]`")).expect("a part of its own");
        let rows = region.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        assert_eq!(rows.map(str::to_owned).collect::<BTreeSet<_>>(), keys("[[regions]]\nname = 'x'\nnone = 1"));
        let bucket = in_file.split("### ").find(|part| part.starts_with("`[regions.s3]`")).expect("a part of its own");
        let rows = bucket.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let documented = rows.map(str::to_owned).collect::<BTreeSet<_>>();
        assert_eq!(documented, keys("[[regions]]\nname = 'x'\n[regions.s3]\nnone = 1"));
        let issuer = "[[external_issuers]]\nissuer = 'x'\ntenant = 'x'\naudience = 'x'\n";
        for (part, text) in [
            ("`[fetch]`", "[fetch]\nnone = 1".to_owned()),
            ("`[[external_issuers]]`", format!("{issuer}none = 1")),
            ("`[external_issuers.claims]`", format!("{issuer}[external_issuers.claims]\nnone = 1")),
        ] {
            let found = in_file.split("### ").find(|found| found.starts_with(part)).expect("a part of its own");
            let rows = found.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
            assert_eq!(rows.map(str::to_owned).collect::<BTreeSet<_>>(), keys(&text), "{part}");
        }
    }

    #[test]
    fn the_password_in_a_database_url_is_never_shown() {
        let parse = |text: &str| Config::parse(text, Path::new("/etc/galerie"));
        let config = parse("database = 'postgres://me:hunter2@db/galerie'").unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        for text in [
            "database = 'mysql://me:hunter2@db/galerie'",
            "database = 'postgres://me:hunter2@db'",
            "database = 'postgres://me:hunter2@db/galerie' twice",
            "log_level = 'info'\ndatabase = 'postgres://me:hunter2@db/galerie",
        ] {
            let refused = parse(text).unwrap_err();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }

    fn check(text: &str, expected: &str) {
        let found = match Config::parse(text, Path::new("/etc/galerie")) {
            Ok(config) => format!("{config:?}"),
            Err(error) => error,
        };
        assert!(found.contains(expected), "expected '{expected}' in:\n{found}");
    }

    #[test]
    fn an_empty_file_is_the_default() {
        let config = Config::parse("", Path::new("/")).unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(config.regions.iter().map(|region| region.name.0.as_str()).collect::<Vec<_>>(), REGIONS);
    }

    #[test]
    fn every_key_is_read() {
        let text = r#"
            hosts = ["Gallery.Example.com", "10.0.0.7", "gallery:443", "[fd00::1]:8443"]
            certificate_file = "server.pem"
            key_file = "/keys/server.key"
            ca_file = "ca.pem"
            log_format = "json"
            log_level = "debug"
            metrics_listen = "127.0.0.1:0"
            cache_size_mib = 512
            shutdown_timeout_s = 5
            min_free_space = "3%, 512MiB"
            scrub_rate_mib_s = 0
            scrub_period_h = 24
            drain_delay_s = 7
            serves = ["eastus"]
            advertise = "https://10.0.0.5:8443/"
            master_key_file = "master.key"
            throttling = "azure"
            faults = ["region=eastus,fail=1,retry=10s", "throttle,every=5", "clock"]
            [[regions]]
            name = "East US"
            [[regions]]
            name = "muc-1"
            display_name = "Werk München"
            path = "stores/muc"
            min_free_space = "1GiB"
            compression = "lz4"
            required = true
            [[regions]]
            name = "muc-2"
            store = "s3://images/muc"
            [regions.s3]
            endpoint = "https://minio.example.com:9000"
            region = "muc"
            path_style = true
            ca_file = "minio.pem"
            credentials_file = "minio.keys"
            profile = "galerie"
            instance_credentials = false
        "#;
        let config = Config::parse(text, Path::new("/etc/galerie")).unwrap();
        let hosts: Vec<_> = config.hosts.iter().map(|host| (host.name.as_str(), host.port)).collect();
        assert_eq!(
            hosts,
            [("gallery.example.com", None), ("10.0.0.7", None), ("gallery", Some(443)), ("fd00::1", Some(8443))]
        );
        assert_eq!(config.throttling, ThrottlingConfig::Azure);
        assert_eq!(config.trouble(&config.regions[0].name).expect("a fault").failing_copies, 1);
        assert_eq!(config.trouble(&config.regions[1].name), None);
        assert_eq!(config.failed_copies_retried_after(), Some(Duration::from_secs(10)));
        let faults = config.faults_of_answers();
        assert!(config.has_movable_clock() && faults.said.len() == 3 && faults.answers.len() == 1);
        assert_eq!(config.hosts[3].authority(), "[fd00::1]:8443");
        assert_eq!(config.hosts[1].authority(), "10.0.0.7");
        assert_eq!(config.certificate_file.as_deref(), Some(Path::new("/etc/galerie/server.pem")));
        assert_eq!(config.key_file.as_deref(), Some(Path::new("/keys/server.key")));
        assert_eq!(config.advertise.as_ref().map(PeerUrl::as_url).as_deref(), Some("https://10.0.0.5:8443"));
        assert_eq!(config.master_key_file.as_deref(), Some(Path::new("/etc/galerie/master.key")));
        assert_eq!(
            config.regions.iter().map(|region| config.serves(&region.name)).collect::<Vec<_>>(),
            [true, false, false]
        );
        assert!(config.check_processes().is_err(), "without a database there is one process");
        assert_eq!(config.regions[0].name.0.as_str(), "eastus");
        assert_eq!(config.regions[1].path.as_deref(), Some(Path::new("/etc/galerie/stores/muc")));
        assert_eq!(config.min_free_space.0, MinFreeSpace { bytes: Some(512 << 20), percent: Some(3) });
        assert_eq!(config.regions.iter().map(|region| region.required).collect::<Vec<_>>(), [false, true, false]);
        let compressions = config.regions.iter().map(|region| region.compression).collect::<Vec<_>>();
        assert_eq!(compressions, [Compression::Zstd, Compression::Lz4, Compression::Zstd]);
        let muc = config.regions[1].min_free_space.expect("its own");
        assert_eq!(muc.0, MinFreeSpace { bytes: Some(1 << 30), percent: None });
        assert_eq!((config.scrub_rate_mib_s, config.scrub_period_h), (0, 24));
        assert_eq!(config.metrics_listen(), Ok(MetricsListen::Asked("127.0.0.1:0".parse().unwrap())));
        let bucket = config.regions[2].bucket().unwrap().expect("a bucket");
        assert_eq!(bucket.place.to_string(), "s3://images/muc");
        assert_eq!(bucket.ca_file.as_deref(), Some(Path::new("/etc/galerie/minio.pem")));
        assert_eq!(format!("{:?}", bucket.credentials), "File(/etc/galerie/minio.keys, galerie)");
        assert!(config.regions[1].bucket().unwrap().is_none());
    }

    #[test]
    fn what_is_wrong_is_named() {
        check("host = ['x']", "unknown field `host`");
        check("[[regions]]\nname = 'a'\nsize = 1", "unknown field `size`");
        check("regions = []", "1 to 64 regions");
        check("[[regions]]\nname = 'a'\ncompression = 'gzip'", "'gzip' is no compression; it is zstd or lz4");
        check("[[regions]]\nname = 'East US'\n[[regions]]\nname = 'eastus'", "'eastus' is there twice");
        check("[[regions]]\nname = 'a'\npath='x'\n[[regions]]\nname = 'b'\npath='x'", "cannot share");
        check("[[regions]]\nname = 'a/b'", "'a/b' is not a region's name");
        check("[[regions]]\nname = 'a'\nstore = '/srv/a'", "s3://BUCKET/PREFIX");
        check("[[regions]]\nname = 'a'\npath = 'x'\nstore = 's3://images'", "either a path or a store");
        check("[[regions]]\nname = 'a'\n[regions.s3]\nregion = 'x'", "has no store");
        check("[[regions]]\nname = 'a'\nstore = 's3://images'\n[regions.s3]\nprofile = 'x'", "credentials_file");
        check("[[regions]]\nname = 'a'\nstore = 's3://images'\n[regions.s3]\nsecret = 'x'", "unknown field `secret`");
        let twice =
            "[[regions]]\nname = 'a'\nstore = 's3://images/x'\n[[regions]]\nname = 'b'\nstore = 's3://images/x/'";
        check(twice, "cannot share the bucket");
        let issuer = "[[external_issuers]]\nissuer = 'https://i'\ntenant = 't'\naudience = 'api://galerie'\n";
        check(issuer, "api://galerie");
        check(&format!("{issuer}{issuer}"), "https://i is there twice");
        check(&format!("{issuer}algorithms = ['HS256']"), "'HS256' is none of the algorithms");
        check(&format!("{issuer}ca_file = 'idp.pem'"), "/etc/galerie/idp.pem");
        check(&issuer.replace("api://galerie", "https://management.azure.com"), "is Azure's own");
        check("certificate_file = 'x'", "come together");
        check("ca_file = 'x'", "which is missing");
        check("metrics_listen = 'here'", "or \"off\"");
        check("serves = ['x']", "none of the [[regions]]");
        check("serves = []", "names no region");
        for url in ["10.0.0.5:8443", "http://x", "https://", "https://x/y"] {
            check(&format!("advertise = '{url}'"), "is not a process's address");
        }
        check("log_format = 'xml'", "unknown variant `xml`");
        check("throttling = 'aws'", "unknown variant `aws`");
        check("faults = ['weather']", "'weather' is no fault");
        check("faults = ['region=mars,down']", "no region that is served here");
        check("faults = ['region=eastus,down', 'region=East US,fail']", "say both in one");
        check("database = 'postgres:///x'\nfaults = ['clock']", "PostgreSQL's");
        for text in ["much", "5%, 6%", "1GiB, 2GiB", "100%", "-1", "", "5%,"] {
            check(&format!("min_free_space = '{text}'"), "is neither a size");
        }
        for host in ["https://x", "*.x", "", "a..b", "-a", "x:0", "x:99999", "x y"] {
            check(&format!("hosts = ['{host}']"), "is not a host");
        }
    }
}
