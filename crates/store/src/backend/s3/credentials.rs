//! Who asks: keys that were given, a file with keys, or the machine.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use object_store::{
    CredentialProvider,
    aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential},
};

use crate::{Error, Result};

/// How long keys from a file are used before the file is looked at again, so that they can be exchanged under a running
/// server.
const FILE_FRESH_FOR: Duration = Duration::from_secs(60);

/// Where a client's keys come from. Never shown.
#[derive(Clone)]
pub enum S3Credentials {
    /// These keys.
    Static {
        /// The access key's id.
        key_id: String,
        /// The secret.
        secret_key: String,
        /// For keys that expire.
        session_token: Option<String>,
    },
    /// A file in the format of Amazon's shared credentials files, looked at again once a minute.
    File {
        /// The file.
        path: PathBuf,
        /// The section in it.
        profile: String,
    },
    /// What the machine is given: a web identity token or a container's credentials where the environment names them, else
    /// the instance metadata service.
    Instance,
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static { .. } => f.write_str("Static(..)"),
            Self::File { path, profile } => write!(f, "File({}, {profile})", path.display()),
            Self::Instance => f.write_str("Instance"),
        }
    }
}

impl S3Credentials {
    /// Makes the client use them.
    ///
    /// # Errors
    /// `Io` and `Invalid`, when a file cannot be read or has no such keys.
    pub(super) fn apply(self, builder: AmazonS3Builder) -> Result<AmazonS3Builder> {
        match self {
            Self::Static { key_id, secret_key, session_token } => {
                let builder = builder.with_access_key_id(key_id).with_secret_access_key(secret_key);
                Ok(session_token.into_iter().fold(builder, AmazonS3Builder::with_token))
            }
            Self::File { path, profile } => {
                Ok(builder.with_credentials(Arc::new(FileCredentials::open(path, profile)?)))
            }
            Self::Instance => Ok(from_machine(builder)),
        }
    }
}

/// The variables by which a platform says where its credentials are; the same that Amazon's SDKs read.
fn from_machine(builder: AmazonS3Builder) -> AmazonS3Builder {
    use AmazonS3ConfigKey as Name;
    const VARIABLES: [(&str, AmazonS3ConfigKey); 6] = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", Name::WebIdentityTokenFile),
        ("AWS_ROLE_ARN", Name::RoleArn),
        ("AWS_ROLE_SESSION_NAME", Name::RoleSessionName),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", Name::ContainerCredentialsRelativeUri),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", Name::ContainerCredentialsFullUri),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", Name::ContainerAuthorizationTokenFile),
    ];
    VARIABLES.into_iter().fold(builder, |builder, (variable, name)| match std::env::var(variable) {
        Ok(value) => builder.with_config(name, value),
        Err(_) => builder,
    })
}

struct FileCredentials {
    path: PathBuf,
    profile: String,
    current: Mutex<(Instant, Arc<AwsCredential>)>,
}

impl fmt::Debug for FileCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileCredentials({}, {})", self.path.display(), self.profile)
    }
}

impl FileCredentials {
    fn open(path: PathBuf, profile: String) -> Result<Self> {
        let credential = Arc::new(read(&path, &profile)?);
        Ok(Self { path, profile, current: Mutex::new((Instant::now(), credential)) })
    }
}

#[async_trait]
impl CredentialProvider for FileCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0.elapsed() >= FILE_FRESH_FOR {
            current.0 = Instant::now();
            match read(&self.path, &self.profile) {
                Ok(credential) => current.1 = Arc::new(credential),
                // Perhaps it is being written. The keys there were may still be good; if not, the server says so.
                Err(error) => tracing::warn!(%error, "credentials are not renewed"),
            }
        }
        Ok(Arc::clone(&current.1))
    }
}

fn read(path: &Path, profile: &str) -> Result<AwsCredential> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::io(format!("read the credentials file {}", path.display()), source))?;
    parse(&text, profile).map_err(|why| Error::Invalid(format!("the credentials file {}: {why}", path.display())))
}

/// The keys of one section. What is wrong is said without repeating the file.
fn parse(text: &str, profile: &str) -> Result<AwsCredential, String> {
    let (mut is_in_profile, mut key_id, mut secret_key, mut token) = (false, None, None, None);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';'])) {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            is_in_profile = section.trim() == profile;
        } else if is_in_profile && let Some((name, value)) = line.split_once('=') {
            let value = Some(value.trim().to_owned());
            match name.trim() {
                "aws_access_key_id" => key_id = value,
                "aws_secret_access_key" => secret_key = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    match (key_id, secret_key) {
        (Some(key_id), Some(secret_key)) => Ok(AwsCredential { key_id, secret_key, token }),
        _ => Err(format!("[{profile}] has no aws_access_key_id and aws_secret_access_key")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# ours\n[default]\naws_access_key_id = AKIA1\naws_secret_access_key=abc=/+\n\n[ other ]\n\
                        aws_access_key_id=AKIA2\naws_secret_access_key = def\naws_session_token = t\nregion = x\n[half]\naws_secret_access_key = hunter2\n";

    #[test]
    fn a_section_of_a_shared_credentials_file_is_read() {
        let found = parse(FILE, "default").unwrap();
        assert_eq!((found.key_id.as_str(), found.secret_key.as_str(), found.token), ("AKIA1", "abc=/+", None));
        let found = parse(FILE, "other").unwrap();
        assert_eq!((found.key_id.as_str(), found.token.as_deref()), ("AKIA2", Some("t")));
        for profile in ["half", "none"] {
            let why = parse(FILE, profile).unwrap_err();
            assert!(why.contains(profile) && !why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn keys_are_never_shown() {
        let keys =
            S3Credentials::Static { key_id: "k".to_owned(), secret_key: "hunter2".to_owned(), session_token: None };
        assert!(!format!("{keys:?}").contains("hunter2"));
    }
}
