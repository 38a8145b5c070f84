//! The public documents of an external issuer, over HTTPS.
//!
//! What the discovery document names is asked next, so it must not lead this server to where only it can go: `https` alone
//! (`http` on loopback, when the issuer is there itself), no redirects, and no loopback or link-local address for an issuer that
//! is elsewhere. Whatever comes back is a key set or nothing; no answer is shown to anybody.

use std::{net::IpAddr, path::Path, time::Duration};

use async_trait::async_trait;
use galerie_control::{ExternalIssuer, IssuerDocuments};
use reqwest::{Certificate, StatusCode, Url, redirect::Policy};

use super::{Error, config::ExternalIssuerConfig};
use crate::{causes::in_full, client::is_loopback};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the whole of a document.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The way to one issuer.
#[derive(Debug)]
pub(super) struct HttpsDocuments {
    http: reqwest::Client,
    /// Whether the issuer is on this machine.
    is_near: bool,
}

impl HttpsDocuments {
    /// # Errors
    /// `Config`, when `ca_file` cannot be used.
    fn new(issuer: &str, ca_file: Option<&Path>) -> Result<Self, Error> {
        let failed = |problem: String| Error::Config(format!("external_issuers: {issuer}: {problem}"));
        let is_near = Url::parse(issuer).is_ok_and(|url| is_loopback(&url));
        let mut builder = reqwest::Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT);
        if is_near {
            builder = builder.no_proxy();
        }
        if let Some(path) = ca_file {
            let pem = std::fs::read(path).map_err(|error| failed(format!("ca_file {}: {error}", path.display())))?;
            let authorities = Certificate::from_pem_bundle(&pem)
                .map_err(|error| failed(format!("ca_file {}: {error}", path.display())))?;
            builder = builder.tls_certs_only(authorities);
        }
        let http = builder.build().map_err(|error| failed(error.to_string()))?;
        Ok(Self { http, is_near })
    }

    /// The URL, if it may be asked.
    fn allowed(&self, url: &str) -> Result<Url, String> {
        let url = Url::parse(url).map_err(|_| "a URL of its discovery document is none".to_owned())?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!("{url} has a user in it"));
        }
        match (url.scheme(), is_loopback(&url)) {
            ("https" | "http", true) if self.is_near => Ok(url),
            ("https", false) if !is_link_local(&url) => Ok(url),
            _ => Err(format!("{url} is not asked: it must be https, and on this machine only when the issuer is")),
        }
    }
}

#[async_trait]
impl IssuerDocuments for HttpsDocuments {
    async fn get(&self, url: &str, longest_bytes: usize) -> Result<Vec<u8>, String> {
        let url = self.allowed(url)?;
        let failed = |error: reqwest::Error| in_full(&error);
        let mut answer =
            self.http.get(url.clone()).header("Accept", "application/json").send().await.map_err(failed)?;
        if answer.status() != StatusCode::OK {
            return Err(format!("{url} answered {}", answer.status()));
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(failed)? {
            if body.len() + piece.len() > longest_bytes {
                return Err(format!("{url} is longer than {longest_bytes} bytes"));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }
}

/// The issuers of a configuration, each with the way to it.
///
/// # Errors
/// `Config`, when an authority's file cannot be used.
pub(super) fn external_issuers(configured: &[ExternalIssuerConfig]) -> Result<Vec<ExternalIssuer>, Error> {
    let issuer = |config: &ExternalIssuerConfig| -> Result<ExternalIssuer, Error> {
        Ok(ExternalIssuer {
            issuer: config.issuer.clone(),
            tenant: config.tenant.clone(),
            audience: config.audience.clone(),
            algorithms: config.algorithms.iter().map(|algorithm| algorithm.0).collect(),
            claims: config.claims.names(),
            groups: config.groups.clone(),
            required_claims: config.required(),
            max_principals: config.max_principals,
            built_in_users: config.built_in_users,
            documents: std::sync::Arc::new(HttpsDocuments::new(&config.issuer, config.ca_file.as_deref())?),
        })
    };
    configured.iter().map(issuer).collect()
}

/// Addresses that mean something on this machine's own wire alone: cloud providers tell a machine its secrets there. And no
/// address at all, which the kernel takes for this machine.
fn is_link_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_link_local() || address.is_unspecified(),
        Ok(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
            Some(mapped) => mapped.is_link_local() || mapped.is_unspecified() || mapped.is_loopback(),
            None => address.is_unicast_link_local() || address.is_unspecified(),
        },
        Err(_) => host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, response::Redirect, routing::get};
    use tokio::net::TcpListener;

    use super::*;

    fn documents(issuer: &str, ca_file: Option<&Path>) -> Result<HttpsDocuments, Error> {
        // The program does it when it starts; another test may have been faster.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        HttpsDocuments::new(issuer, ca_file)
    }

    #[test]
    fn only_urls_that_lead_outside_or_home_are_asked() {
        let far = documents("https://login.example.com", None).unwrap();
        let near = documents("http://127.0.0.1:1", None).unwrap();
        assert!(far.allowed("https://keys.example.com/jwks").is_ok() && near.allowed("http://localhost:2/k").is_ok());
        for url in [
            "http://login.example.com/k",
            "https://127.0.0.1/k",
            "https://localhost/k",
            "https://x.localhost/k",
            "https://[::1]/k",
            "https://[::ffff:127.0.0.1]/k",
            "https://169.254.169.254/latest",
            "https://2852039166/latest",
            "https://0.0.0.0/k",
            "https://[fe80::1]/k",
            "https://user@keys.example.com/k",
            "file:///etc/passwd",
            "gopher://x",
            "",
        ] {
            assert!(far.allowed(url).is_err(), "{url}");
        }
        for url in ["http://login.example.com/k", "http://169.254.169.254/", "file:///etc/passwd"] {
            assert!(near.allowed(url).is_err(), "{url}");
        }
    }

    #[tokio::test]
    async fn documents_are_bounded_and_redirects_not_followed() {
        let routes = Router::new()
            .route("/good", get(|| async { "{}" }))
            .route("/long", get(|| async { "x".repeat(2000) }))
            .route("/moved", get(|| async { Redirect::temporary("/good") }))
            .route("/not", get(|| async { axum::http::StatusCode::INTERNAL_SERVER_ERROR }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let near = documents(&base, None).unwrap();
        assert_eq!(near.get(&format!("{base}/good"), 1000).await.unwrap(), b"{}");
        for (path, why) in [("/long", "longer than"), ("/moved", "307"), ("/not", "500"), ("/none", "404")] {
            let refused = near.get(&format!("{base}{path}"), 1000).await.unwrap_err();
            assert!(refused.contains(why), "{path}: {refused}");
        }
    }

    #[test]
    fn an_authority_that_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let refused = documents("https://i", Some(&path)).unwrap_err().to_string();
        assert!(refused.contains("ca.pem") && refused.contains("https://i"), "{refused}");
    }
}
