//! A SAS URL: whoever has it may do what it says, so it is never shown or logged.

use reqwest::{Method, RequestBuilder, Url};

use super::{
    Client, Error, Result,
    profile::is_loopback,
    transport::{Answer, Repeat, json_max_bytes, plain_http, send_repeatedly},
};

/// The storage API version that we speak; ranges and headers are the same in all since 2012.
const VERSION: &str = "2021-12-02";

/// A blob, by its SAS URL.
pub(super) struct BlobEndpoint {
    http: reqwest::Client,
    url: Url,
}

impl BlobEndpoint {
    /// The blob behind a URL. The authority is trusted beside what the URL says nothing about: who its server is.
    ///
    /// # Errors
    /// `Invalid` when it is no SAS URL, `Profile` when the authority's file cannot be used.
    pub(super) fn new(url: &str, ca_file: Option<&std::path::Path>) -> Result<Self> {
        let invalid = || Error::Invalid("that is no SAS URL: it begins with https:// and has sig=... in it".to_owned());
        let url = Url::parse(url).map_err(|_| invalid())?;
        if url.scheme() != "https" || !url.query_pairs().any(|(name, _)| name == "sig") {
            return Err(invalid());
        }
        let http = plain_http(ca_file, is_loopback(&url))?;
        Ok(Self { http, url })
    }

    /// Sends a request about the blob. All that we send may be sent twice.
    ///
    /// # Errors
    /// `Refused`, `Unreachable`.
    pub(super) async fn send(
        &self,
        method: Method,
        comp: Option<&str>,
        finish: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Answer> {
        let url = self.url_for(comp);
        send_repeatedly(&self.url, Repeat::Safe, json_max_bytes(), || {
            finish(self.http.request(method.clone(), url.clone()).header("x-ms-version", VERSION))
        })
        .await?
        .successful()
    }

    /// As [`BlobEndpoint::send`], with the client's token beside the signature.
    ///
    /// # Errors
    /// `Refused`, `Unreachable`, `SignIn`.
    pub(super) async fn send_signed_in(
        &self,
        client: &Client,
        method: Method,
        comp: &str,
        finish: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Answer> {
        client.send(method, self.url_for(Some(comp)), Repeat::Safe, json_max_bytes(), finish).await?.successful()
    }

    fn url_for(&self, comp: Option<&str>) -> Url {
        let mut url = self.url.clone();
        if let Some(comp) = comp {
            url.query_pairs_mut().append_pair("comp", comp);
        }
        url
    }
}

impl std::fmt::Debug for BlobEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobEndpoint").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}
