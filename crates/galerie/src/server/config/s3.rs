//! A region whose store lies in a bucket: where, and who asks.

use std::{fmt, path::PathBuf};

use galerie_store::backend::{S3Credentials, S3Options, S3Place, S3Retries};
use serde::Deserialize;

use super::RegionConfig;

/// The section of a credentials file that is read unless the configuration says otherwise; as in Amazon's tools.
const PROFILE: &str = "default";
/// The variables that hold the keys when the configuration names no other source; as in Amazon's tools.
const KEY_ID_VARIABLE: &str = "AWS_ACCESS_KEY_ID";
const SECRET_VARIABLE: &str = "AWS_SECRET_ACCESS_KEY";
const SESSION_VARIABLE: &str = "AWS_SESSION_TOKEN";

/// A bucket and a prefix, written `s3://BUCKET/PREFIX`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct StorePlace(S3Place);

/// How a bucket is reached.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct S3Config {
    pub(crate) endpoint: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) path_style: Option<bool>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) credentials_file: Option<PathBuf>,
    pub(crate) profile: Option<String>,
    pub(crate) instance_credentials: bool,
}

impl TryFrom<String> for StorePlace {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self).map_err(|error: galerie_store::Error| error.to_string())
    }
}

impl fmt::Display for StorePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl RegionConfig {
    /// The files it names, so that relative paths can be completed.
    pub(super) fn files(&mut self) -> [&mut Option<PathBuf>; 3] {
        [&mut self.path, &mut self.s3.ca_file, &mut self.s3.credentials_file]
    }

    /// What can be said without looking at the environment or a file.
    pub(super) fn check(&self) -> Result<(), String> {
        let (name, s3) = (&self.name.0, &self.s3);
        if self.store.is_some() && self.path.is_some() {
            return Err(format!("region '{name}' has either a path or a store, not both"));
        }
        if self.store.is_none() && *s3 != S3Config::default() {
            return Err(format!("region '{name}' has no store that its s3 could be about"));
        }
        if s3.profile.is_some() && s3.credentials_file.is_none() {
            return Err(format!("region '{name}': profile is a section of credentials_file, which is missing"));
        }
        if s3.instance_credentials && s3.credentials_file.is_some() {
            return Err(format!("region '{name}' has either a credentials_file or instance_credentials, not both"));
        }
        Ok(())
    }

    /// The bucket that the store lies in; `None` for a directory.
    ///
    /// # Errors
    /// When nothing says with which keys.
    pub(crate) fn bucket(&self) -> Result<Option<S3Options>, String> {
        let Some(StorePlace(place)) = &self.store else { return Ok(None) };
        let s3 = &self.s3;
        Ok(Some(S3Options {
            place: place.clone(),
            endpoint: s3.endpoint.clone(),
            region: s3.region.clone(),
            path_style: s3.path_style,
            ca_file: s3.ca_file.clone(),
            credentials: self.credentials(|name| std::env::var(name).ok())?,
            retries: S3Retries::default(),
        }))
    }

    fn credentials(&self, variable: impl Fn(&str) -> Option<String>) -> Result<S3Credentials, String> {
        if let Some(path) = &self.s3.credentials_file {
            let profile = self.s3.profile.clone().unwrap_or_else(|| PROFILE.to_owned());
            return Ok(S3Credentials::File { path: path.clone(), profile });
        }
        if self.s3.instance_credentials {
            return Ok(S3Credentials::Instance);
        }
        match (variable(KEY_ID_VARIABLE), variable(SECRET_VARIABLE)) {
            (Some(key_id), Some(secret_key)) => {
                Ok(S3Credentials::Static { key_id, secret_key, session_token: variable(SESSION_VARIABLE) })
            }
            _ => Err(format!(
                "region '{}' has its store in a bucket, but nothing says with which keys: set {KEY_ID_VARIABLE} and \
                 {SECRET_VARIABLE}, or credentials_file or instance_credentials in its s3",
                self.name.0
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    fn credentials(s3: &str, variables: &[(&str, &str)]) -> Result<String, String> {
        let text = format!("[[regions]]\nname = 'a'\nstore = 's3://images/a'\n[regions.s3]\n{s3}");
        let config = Config::parse(&text, std::path::Path::new("/etc")).unwrap();
        let variable =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        config.regions[0].credentials(variable).map(|credentials| format!("{credentials:?}"))
    }

    #[test]
    fn keys_come_from_the_file_the_machine_or_the_environment() {
        let keys = [("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "hunter2")];
        assert_eq!(credentials("", &keys).unwrap(), "Static(..)");
        assert_eq!(credentials("credentials_file = 'keys'", &keys).unwrap(), "File(/etc/keys, default)");
        assert_eq!(credentials("instance_credentials = true", &[]).unwrap(), "Instance");
        assert!(credentials("", &keys[..1]).unwrap_err().contains("AWS_SECRET_ACCESS_KEY"));
    }
}
