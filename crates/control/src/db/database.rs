//! Which database a catalogue lies in.

use std::{fmt, path::PathBuf, str::FromStr};

use sqlx::postgres::PgConnectOptions;

/// Where a catalogue lies.
#[derive(Clone)]
pub enum Database {
    /// A SQLite file, made when it is missing. One process at a time.
    Sqlite(PathBuf),
    /// A PostgreSQL database, which must exist; several processes may use it at once.
    Postgres(Box<PgConnectOptions>),
}

impl Database {
    /// A PostgreSQL database by its URL: `postgres://user:password@host:port/database?sslmode=verify-full`, or
    /// `postgres:///database?host=/run/postgresql` for a Unix socket.
    ///
    /// # Errors
    /// What is wrong with the URL; the message never repeats it, since it may hold a password.
    pub fn postgres(url: &str) -> Result<Self, String> {
        let scheme = url.starts_with("postgres://") || url.starts_with("postgresql://");
        if !scheme {
            return Err("a database is named by a URL that begins with postgres://".to_owned());
        }
        let options = PgConnectOptions::from_str(url).map_err(|_| "it is not a PostgreSQL URL".to_owned())?;
        if options.get_database().is_none() {
            return Err("the URL names no database after the host".to_owned());
        }
        Ok(Self::Postgres(Box::new(options.application_name("galerie"))))
    }

    /// Whether other processes may use the catalogue at the same time.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }
}

impl From<PathBuf> for Database {
    fn from(file: PathBuf) -> Self {
        Self::Sqlite(file)
    }
}

impl fmt::Display for Database {
    /// For people: a path, or host and database. Never a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres(options) => {
                let host = options
                    .get_socket()
                    .map_or_else(|| options.get_host().to_owned(), |path| path.display().to_string());
                write!(f, "{} at {host}:{}", options.get_database().unwrap_or_default(), options.get_port())
            }
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        let database = Database::postgres("postgres://me:hunter2@db.example:5433/galerie").unwrap();
        for shown in [database.to_string(), format!("{database:?}")] {
            assert!(shown.contains("galerie at db.example:5433") && !shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn what_is_no_database_is_refused_without_repeating_it() {
        for url in ["mysql://me:hunter2@db/x", "postgres://me:hunter2@[db", "postgres://me:hunter2@db", "catalogue.db"]
        {
            let refused = Database::postgres(url).unwrap_err();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }
}
