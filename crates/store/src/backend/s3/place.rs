//! Where in a bucket a store lies, and how the bucket is reached.

use std::{fmt, str::FromStr};

use reqwest::Url;

use super::super::Key;
use crate::{Error, Result};

/// Together with a key this stays below the 1024 bytes that object stores allow.
const PREFIX_MAX_BYTES: usize = 400;

/// A bucket and a prefix in it, written `s3://BUCKET/PREFIX`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct S3Place {
    bucket: String,
    /// Empty, or names that end in `/`.
    folder: String,
}

impl S3Place {
    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The object that a key stands for.
    pub(super) fn name_of(&self, key: &Key) -> String {
        self.name_under(key.as_str())
    }

    pub(super) fn name_under(&self, text: &str) -> String {
        format!("{}{text}", self.folder)
    }

    /// The key that an object's name stands for; `None` when it is none of the store's.
    pub(super) fn key_of(&self, name: &str) -> Option<Key> {
        name.strip_prefix(&self.folder)?.parse().ok()
    }
}

impl fmt::Display for S3Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.folder.trim_end_matches('/'))
    }
}

impl FromStr for S3Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = || Error::Invalid(format!("a store in a bucket is written s3://BUCKET/PREFIX, not '{text}'"));
        let (bucket, prefix) =
            text.strip_prefix("s3://").map(|rest| rest.split_once('/').unwrap_or((rest, ""))).ok_or_else(invalid)?;
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        if !is_bucket(bucket)
            || prefix.len() > PREFIX_MAX_BYTES
            || !(prefix.is_empty() || prefix.split('/').all(is_name))
        {
            return Err(invalid());
        }
        let folder = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { bucket: bucket.to_owned(), folder })
    }
}

/// The rules of Amazon's general purpose buckets, which others share.
fn is_bucket(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    (3..=63).contains(&name.len())
        && name.bytes().all(is_inner)
        && !name.starts_with(['.', '-'])
        && !name.ends_with(['.', '-'])
        && !name.contains("..")
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(allowed)
}

/// The URL that requests for the bucket begin with, less the bucket when it is in the path.
///
/// # Errors
/// `Invalid`, without what may be a password in it.
pub(super) fn endpoint(configured: Option<&str>, region: &str, bucket: &str, path_style: bool) -> Result<Url> {
    let text = configured.map_or_else(|| format!("https://s3.{region}.amazonaws.com"), str::to_owned);
    let invalid =
        |why: &str| Error::Invalid(format!("an endpoint is a URL such as https://s3.example.com:9000; this one {why}"));
    let mut url = Url::parse(&text).map_err(|error| invalid(&format!("is none: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("is neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("has credentials in it, which belong elsewhere"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("has more than a host and a port"));
    }
    if !path_style {
        let host = url.host_str().unwrap_or_default().to_owned();
        url.set_host(Some(&format!("{bucket}.{host}"))).map_err(|_| invalid("has a host that takes no bucket"))?;
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_written() {
        for (text, written) in [
            ("s3://images", "s3://images/"),
            ("s3://images/", "s3://images/"),
            ("s3://images.example.com/Team-A/west_1/", "s3://images.example.com/Team-A/west_1"),
        ] {
            assert_eq!(text.parse::<S3Place>().unwrap().to_string(), written);
        }
        for bad in [
            "",
            "images",
            "https://images/x",
            "s3://",
            "s3://ab",
            "s3://Images",
            "s3://-ab",
            "s3://a..b",
            "s3://images//x",
            "s3://images/a/../b",
            "s3://images/.hidden",
            "s3://images/a b",
            "s3://images/a?b",
            "s3://images/x//",
        ] {
            assert!(bad.parse::<S3Place>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_what_lies_under_the_prefix_is_a_key() {
        let place: S3Place = "s3://images/a/b".parse().unwrap();
        let key: Key = "store.json".parse().unwrap();
        assert_eq!(place.name_of(&key), "a/b/store.json");
        assert_eq!(place.key_of("a/b/store.json"), Some(key));
        for foreign in ["a/bc/store.json", "store.json", "a/b", "a/b/.tmp", "a/b/Store"] {
            assert_eq!(place.key_of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn the_bucket_is_in_the_path_or_in_the_host() {
        let url =
            |configured, path_style| endpoint(configured, "eu-west-1", "images", path_style).map(|url| url.to_string());
        assert_eq!(url(None, false).unwrap(), "https://images.s3.eu-west-1.amazonaws.com/");
        assert_eq!(url(Some("http://10.0.0.7:9000"), true).unwrap(), "http://10.0.0.7:9000/");
        assert_eq!(url(Some("https://s3.example.com/"), false).unwrap(), "https://images.s3.example.com/");
        for bad in ["s3.example.com", "ftp://x", "https://me:hunter2@x", "https://x/y", "https://x?y"] {
            let refused = url(Some(bad), true).unwrap_err().to_string();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
        assert!(url(Some("http://10.0.0.7:9000"), false).is_err(), "an address takes no bucket before it");
    }
}
