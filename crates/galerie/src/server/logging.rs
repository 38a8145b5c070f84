//! Log lines on standard error: for people, or JSON. `GALERIE_LOG` overrides the level of the configuration.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt};

use super::{
    Error,
    config::{Config, LogFormat},
};

/// What overrides the configured level; also switches a client command's log on.
pub(crate) const VARIABLE: &str = "GALERIE_LOG";
/// Libraries that talk about their inner life at `info`.
const QUIET: &str = "sqlx=warn,hyper=warn,h2=warn,rustls=warn,reqwest=warn";

/// Starts the server's log.
///
/// # Errors
/// `Config` when the level is none.
pub(crate) fn start(config: &Config) -> Result<(), Error> {
    let level = std::env::var(VARIABLE).unwrap_or_else(|_| config.log_level.clone());
    let filter = EnvFilter::try_new(format!("{QUIET},{level}"))
        .map_err(|error| Error::Config(format!("log_level \"{level}\": {error}")))?;
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Json => lines.json().flatten_event(true).init(),
        LogFormat::Text => lines.with_target(false).with_ansi(std::io::stderr().is_terminal()).init(),
    }
    Ok(())
}

/// Starts a client command's log, if somebody asked for one.
pub(crate) fn start_if_asked() {
    if let Ok(filter) = EnvFilter::try_from_env(VARIABLE) {
        fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
}
