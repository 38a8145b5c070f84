//! ARM: documents, lists, and operations that take a while.

use std::time::Duration;

use reqwest::{Method, Url};
use serde_json::Value;

use super::{
    Client, Error, Result,
    transport::{Answer, Repeat, json_max_bytes},
};

/// The shapes that this client reads and writes.
const GALLERIES: &str = "2024-03-03";
/// The first that says until when a deleted version can be used and restored, and deletes one for good.
const SOFT_DELETION: &str = "2026-03-03";
const DISKS: &str = "2024-03-02";
const GROUPS: &str = "2024-11-01";
/// Most pages of one list; at the server's page size that is millions of resources.
const PAGES_MAX: usize = 100_000;
/// The first pause between two looks at an operation; each doubles, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A write that the server accepted and may still carry out.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// What the write answered; `Null` when it had no body.
    pub(crate) body: Value,
    status_url: Option<Url>,
    location: Option<Url>,
}

impl Client {
    /// The id of the profile's subscription.
    pub(crate) fn subscription_path(&self) -> String {
        format!("/subscriptions/{}", self.profile().subscription_id)
    }

    /// The path of a group.
    pub(crate) fn group_path(&self, group: &str) -> String {
        format!("{}/resourceGroups/{group}", self.subscription_path())
    }

    /// Reads a resource.
    ///
    /// # Errors
    /// `Refused`, with status 404 when there is none.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        self.get_url(self.arm_url(path, query)).await
    }

    /// Reads a resource; `None` when there is none.
    ///
    /// # Errors
    /// `Refused`.
    pub(crate) async fn find(&self, path: &str, query: &[(&str, &str)]) -> Result<Option<Value>> {
        match self.get(path, query).await {
            Ok(document) => Ok(Some(document)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a whole list.
    ///
    /// # Errors
    /// `Refused`.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut next = Some(self.arm_url(path, &[]));
        for _ in 0..PAGES_MAX {
            let Some(url) = next else { return Ok(items) };
            let mut page = self.get_url(url).await?;
            if let Some(Value::Array(mut value)) = page.get_mut("value").map(Value::take) {
                items.append(&mut value);
            }
            let link = page.get("nextLink").or_else(|| page.get("@odata.nextLink"));
            next = match link.and_then(Value::as_str).filter(|link| !link.is_empty()) {
                Some(link) => Some(parse(link, "list")?),
                None => None,
            };
        }
        Err(Error::nonsense(path, "the list does not end"))
    }

    /// Makes or changes a resource.
    ///
    /// # Errors
    /// `Refused`.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Accepted> {
        self.write(Method::PUT, path, Some(body), Repeat::Safe).await
    }

    /// Changes some of a resource's properties.
    ///
    /// # Errors
    /// `Refused`.
    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Result<Accepted> {
        self.write(Method::PATCH, path, Some(body), Repeat::Safe).await
    }

    /// Calls an action of a resource.
    ///
    /// # Errors
    /// `Refused`.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Accepted> {
        self.write(Method::POST, path, Some(body), Repeat::Unsent).await
    }

    /// Calls something of the server's own that answers at once.
    ///
    /// # Errors
    /// `Refused`.
    pub(crate) async fn call(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        let url = self.arm_url(path, query);
        self.request(Method::POST, url, None, Repeat::Unsent).await?.successful()?.json(path)
    }

    /// Deletes a resource; one that is not there is fine.
    ///
    /// # Errors
    /// `Refused`.
    pub(crate) async fn delete(&self, path: &str) -> Result<Accepted> {
        self.write(Method::DELETE, path, None, Repeat::Safe).await
    }

    /// Deletes an image version so that it does not come back, whatever its gallery's policy is.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn delete_for_good(&self, path: &str) -> Result<Accepted> {
        let url = self.url(path, &[("api-version", SOFT_DELETION), ("bypassSoftDelete", "true")]);
        self.write_to(Method::DELETE, url, path, None, Repeat::Safe).await
    }

    /// Waits until the write is carried out; answers its result: the resource, an action's answer, or `Null`.
    ///
    /// # Errors
    /// `Ended` when it failed, `Refused`.
    pub(crate) async fn wait(&self, what: &str, accepted: Accepted) -> Result<Value> {
        if let Some(url) = accepted.status_url {
            self.wait_for_status(what, url).await?;
        }
        match accepted.location {
            Some(url) => self.wait_for_location(what, url).await,
            None => Ok(accepted.body),
        }
    }

    async fn wait_for_status(&self, what: &str, url: Url) -> Result<()> {
        let mut pause = FIRST_PAUSE;
        loop {
            let status = self.get_url(url.clone()).await?;
            let state = text(&status, "status").unwrap_or_default().to_owned();
            match state.as_str() {
                "Succeeded" => return Ok(()),
                "Failed" | "Canceled" => {
                    let error = status.get("error").unwrap_or(&Value::Null);
                    let part = |name: &str| text(error, name).unwrap_or("unknown").to_owned();
                    return Err(Error::Ended {
                        what: what.to_owned(),
                        state,
                        code: part("code"),
                        message: part("message"),
                    });
                }
                "" => return Err(Error::nonsense(what, "the operation has no status")),
                _ => {}
            }
            rest(&mut pause).await;
        }
    }

    async fn wait_for_location(&self, what: &str, url: Url) -> Result<Value> {
        let mut pause = FIRST_PAUSE;
        loop {
            let answer = self.request(Method::GET, url.clone(), None, Repeat::Safe).await?.successful()?;
            if answer.status != reqwest::StatusCode::ACCEPTED {
                return answer.json(what);
            }
            rest(&mut pause).await;
        }
    }

    async fn write(&self, method: Method, path: &str, body: Option<&Value>, repeat: Repeat) -> Result<Accepted> {
        self.write_to(method, self.arm_url(path, &[]), path, body, repeat).await
    }

    async fn write_to(
        &self,
        method: Method,
        url: Url,
        path: &str,
        body: Option<&Value>,
        repeat: Repeat,
    ) -> Result<Accepted> {
        let answer = self.request(method, url, body, repeat).await?.successful()?;
        let link = |name: &str| answer.header(name).map(|url| parse(url, path)).transpose();
        Ok(Accepted {
            status_url: link("azure-asyncoperation")?,
            location: link("location")?,
            body: answer.json(path)?,
        })
    }

    async fn get_url(&self, url: Url) -> Result<Value> {
        let what = super::transport::without_query(&url);
        self.request(Method::GET, url, None, Repeat::Safe).await?.successful()?.json(&what)
    }

    async fn request(&self, method: Method, url: Url, body: Option<&Value>, repeat: Repeat) -> Result<Answer> {
        self.send(method, url, repeat, json_max_bytes(), |request| match body {
            Some(body) => request.json(body),
            None => request,
        })
        .await
    }

    fn arm_url(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut all = vec![("api-version", api_version(path))];
        all.extend_from_slice(query);
        self.url(path, &all)
    }
}

/// The shape that this client speaks for what lies at a path.
fn api_version(path: &str) -> &'static str {
    let path = path.to_ascii_lowercase();
    if path.contains("/softdeletedartifacttypes/") {
        SOFT_DELETION
    } else if path.contains("/providers/microsoft.compute/galleries") || path.starts_with("/galerie/") {
        GALLERIES
    } else if path.contains("/providers/microsoft.compute/") {
        DISKS
    } else {
        GROUPS
    }
}

fn parse(link: &str, what: &str) -> Result<Url> {
    Url::parse(link).map_err(|_| Error::nonsense(what, "a link in it is no URL"))
}

fn text<'a>(document: &'a Value, name: &str) -> Option<&'a str> {
    document.get(name).and_then(Value::as_str)
}

async fn rest(pause: &mut Duration) {
    tokio::time::sleep(*pause).await;
    *pause = (*pause * 2).min(LONGEST_PAUSE);
}
