//! The queries of Azure Resource Graph that galleries' clients send: the list of community galleries, and nothing else.
//!
//! `az sig list-community` sends one text with an optional second filter. It is read word by word, so that spaces and case do
//! not matter; anything else is refused with what is understood. This is no query engine.

use serde::Deserialize;
use serde_json::Value;

use crate::error::{ArmError, quoted};

/// Rows of a page when the request does not say.
const USUAL_TOP: u32 = 100;
/// Most rows of a page: Resource Graph's own bound.
const MOST_TOP: i64 = 1000;
/// The one table, and its one type.
const TABLE: &str = "communitygalleryresources";
const TYPE: &str = "microsoft.compute/locations/communitygalleries";

/// A query for published galleries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommunityGalleryQuery {
    /// Only those that live here, as it was written.
    pub location: Option<String>,
    /// Rows of a page.
    pub top: u32,
    /// Where to go on.
    pub skip_token: Option<String>,
}

/// The request's body, as far as it is looked at.
#[derive(Debug, Deserialize)]
struct Request {
    query: String,
    #[serde(default)]
    options: Options,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Options {
    #[serde(rename = "$top")]
    top: Option<i64>,
    #[serde(rename = "$skipToken")]
    skip_token: Option<String>,
    #[serde(rename = "$skip")]
    skip: Option<i64>,
    #[serde(rename = "resultFormat")]
    result_format: Option<String>,
}

impl CommunityGalleryQuery {
    /// Reads a request.
    ///
    /// # Errors
    /// `InvalidQuery` for any other query; `InvalidParameter` for options out of bounds or not offered.
    pub fn read(body: Value) -> Result<Self, ArmError> {
        let unreadable =
            |error: serde_json::Error| ArmError::invalid_request_content(&format!("the query cannot be read: {error}"));
        let Request { query, options } = serde_json::from_value(body).map_err(unreadable)?;
        let top = options.top.unwrap_or(USUAL_TOP.into());
        if !(1..=MOST_TOP).contains(&top) {
            return Err(ArmError::out_of_range("options.$top", top, 1, MOST_TOP));
        }
        if options.skip.is_some_and(|skip| skip != 0) {
            let message = "'$skip' is not supported by this server: follow '$skipToken'.";
            return Err(ArmError::invalid_parameter("options.$skip", message));
        }
        if options.result_format.is_some_and(|format| !format.eq_ignore_ascii_case("objectArray")) {
            let message = "The only 'resultFormat' of this server is 'objectArray'.";
            return Err(ArmError::invalid_parameter("options.resultFormat", message));
        }
        let location = location_of(&query).ok_or_else(|| not_understood(&query))?;
        Ok(Self { location, top: u32::try_from(top).unwrap_or(USUAL_TOP), skip_token: options.skip_token })
    }
}

/// The location that a query names; `None` when it is not a query for community galleries.
fn location_of(query: &str) -> Option<Option<String>> {
    let mut stages = query.split('|').map(str::trim);
    if !stages.next()?.eq_ignore_ascii_case(TABLE) || !equality(stages.next()?, "type")?.eq_ignore_ascii_case(TYPE) {
        return None;
    }
    let location = match stages.next() {
        Some(stage) => Some(equality(stage, "location")?),
        None => None,
    };
    stages.next().is_none().then_some(location)
}

/// The value of `where {name} == '{value}'`, also with `=~`.
fn equality(stage: &str, name: &str) -> Option<String> {
    let (clause, value) = stage.split_once("==").or_else(|| stage.split_once("=~"))?;
    let mut words = clause.split_whitespace();
    let is_ours = words.next()?.eq_ignore_ascii_case("where") && words.next()?.eq_ignore_ascii_case(name);
    let value = value.trim();
    let value = value.strip_prefix('\'')?.strip_suffix('\'')?;
    (is_ours && words.next().is_none() && !value.contains('\'')).then(|| value.to_owned())
}

fn not_understood(query: &str) -> ArmError {
    ArmError::invalid_graph_query(&format!(
        "This server understands \"{TABLE} | where type == '{TYPE}'\", with \"| where location == '...'\" or without, and not \
         \"{}\".",
        quoted(query)
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const AZ: &str = "communitygalleryresources| where type == 'microsoft.compute/locations/communitygalleries' ";

    fn read(query: &str, options: Value) -> Result<CommunityGalleryQuery, String> {
        let read = CommunityGalleryQuery::read(json!({ "query": query, "options": options }));
        read.map_err(|error| error.code.into_owned())
    }

    #[test]
    fn what_az_sends() {
        let all = CommunityGalleryQuery { location: None, top: 30, skip_token: None };
        assert_eq!(read(AZ, json!({ "$top": 30 })), Ok(all.clone()));
        let here = format!("{AZ}| where location == 'westus' ");
        let expected = CommunityGalleryQuery { location: Some("westus".into()), skip_token: Some("x".into()), ..all };
        assert_eq!(read(&here, json!({ "$top": 30, "$skipToken": "x" })), Ok(expected));
        assert_eq!(CommunityGalleryQuery::read(json!({ "query": AZ })).unwrap().top, USUAL_TOP);
    }

    #[test]
    fn anything_else_is_refused() {
        let more = format!("{AZ}| where location == 'x' | project name");
        let or = format!("{AZ}or 1 == 1");
        for query in ["", "resources", "resources | where type == 'x'", "communitygalleryresources", &more, &or] {
            assert_eq!(read(query, json!({})), Err("InvalidQuery".to_owned()), "{query}");
        }
        for options in
            [json!({ "$top": 0 }), json!({ "$top": 1001 }), json!({ "$skip": 3 }), json!({ "resultFormat": "table" })]
        {
            assert_eq!(read(AZ, options.clone()), Err("InvalidParameter".to_owned()), "{options}");
        }
        assert_eq!(CommunityGalleryQuery::read(json!([])).unwrap_err().status, 400);
    }

    proptest! {
        #[test]
        fn any_text_is_answered(query in "(communitygalleryresources|where|[|='a-z ]){0,12}") {
            let _ = location_of(&query);
        }
    }
}
