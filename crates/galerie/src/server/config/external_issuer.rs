//! An issuer of others whose tokens a tenant trusts.

use std::{collections::BTreeMap, path::PathBuf};

use galerie_control::{ClaimNames, RequiredClaim, SigningAlgorithm};
use reqwest::Url;
use serde::Deserialize;
use uuid::Uuid;

use crate::client::is_loopback;

/// Groups of one issuer.
const MOST_GROUPS: usize = 1000;
/// Claims that may be required, and values of each.
const MOST_REQUIRED: usize = 20;
const MOST_VALUES: usize = 100;
/// Users and service principals that an issuer's tokens may make, unless the configuration says otherwise; at most as many as a
/// directory has room for.
const DEFAULT_MAX_PRINCIPALS: u64 = 10_000;
const MOST_PRINCIPALS: u64 = 500_000;
/// Characters of a name, an audience, a claim or a group.
const LONGEST_TEXT_CHARS: usize = 512;
/// Microsoft's domains: whoever has a token for what is below them has it for Azure, not for this gallery.
const AZURE_DOMAINS: [&str; 11] = [
    "azure.com",
    "azure.net",
    "windows.net",
    "microsoft.com",
    "microsoftonline.com",
    "office.com",
    "chinacloudapi.cn",
    "azure.cn",
    "usgovcloudapi.net",
    "azure.us",
    "microsoftonline.us",
];
/// Claims that people can change, or that another may have later.
const UNSTABLE_CLAIMS: [&str; 8] =
    ["email", "preferred_username", "upn", "unique_name", "name", "nickname", "phone_number", "client_id"];

/// `[[external_issuers]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExternalIssuerConfig {
    /// Its URL, exactly as its tokens have it.
    pub(crate) issuer: String,
    /// The tenant whose principals it vouches for: the id or the domain.
    pub(crate) tenant: String,
    /// What its tokens must be for: this gallery's own audience there.
    pub(crate) audience: String,
    /// What it may sign with; RS256, PS256 and ES256 by default.
    #[serde(default = "all_algorithms")]
    pub(crate) algorithms: Vec<Algorithm>,
    /// The authority to trust for it; the system's by default.
    pub(crate) ca_file: Option<PathBuf>,
    /// Whether the tenant's built-in users sign in, too.
    #[serde(default = "yes")]
    pub(crate) built_in_users: bool,
    /// How many users and service principals its tokens may make.
    #[serde(default = "default_max_principals")]
    pub(crate) max_principals: u64,
    /// What other claims must say: a value, or a list of which one must be there.
    #[serde(default)]
    pub(crate) required_claims: BTreeMap<String, RequiredValues>,
    #[serde(default)]
    pub(crate) claims: ClaimsConfig,
    /// Values of the groups claim that count, with what the group is called here.
    #[serde(default)]
    pub(crate) groups: BTreeMap<String, String>,
}

/// The values of which a claim has one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum RequiredValues {
    One(RequiredValue),
    Any(Vec<RequiredValue>),
}

/// A value of a claim.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(untagged)]
pub(crate) enum RequiredValue {
    Text(String),
    Integer(i64),
    Flag(bool),
}

impl RequiredValues {
    fn all(&self) -> &[RequiredValue] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Any(values) => values,
        }
    }
}

/// `[external_issuers.claims]`: a claim's name, or a JSON pointer when it begins with `/`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ClaimsConfig {
    pub(crate) subject: String,
    pub(crate) user_name: String,
    pub(crate) display_name: String,
    pub(crate) groups: String,
    pub(crate) application: String,
    pub(crate) application_value: Option<String>,
}

impl Default for ClaimsConfig {
    fn default() -> Self {
        let ClaimNames { subject, user_name, display_name, groups, application, application_value } =
            ClaimNames::default();
        Self { subject, user_name, display_name, groups, application, application_value }
    }
}

impl ClaimsConfig {
    pub(crate) fn names(&self) -> ClaimNames {
        let Self { subject, user_name, display_name, groups, application, application_value } = self.clone();
        ClaimNames { subject, user_name, display_name, groups, application, application_value }
    }
}

/// What an issuer may sign with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Algorithm(pub(crate) SigningAlgorithm);

impl TryFrom<String> for Algorithm {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let found = SigningAlgorithm::ALL.into_iter().find(|algorithm| algorithm.as_str() == text);
        found.map(Self).ok_or_else(|| format!("'{text}' is none of the algorithms RS256, PS256 and ES256"))
    }
}

fn all_algorithms() -> Vec<Algorithm> {
    SigningAlgorithm::ALL.map(Algorithm).to_vec()
}

fn default_max_principals() -> u64 {
    DEFAULT_MAX_PRINCIPALS
}

fn yes() -> bool {
    true
}

impl ExternalIssuerConfig {
    /// What other claims must say.
    pub(crate) fn required(&self) -> Vec<RequiredClaim> {
        let value = |value: &RequiredValue| serde_json::json!(value);
        let claim = |(name, values): (&String, &RequiredValues)| RequiredClaim {
            name: name.clone(),
            values: values.all().iter().map(value).collect(),
        };
        self.required_claims.iter().map(claim).collect()
    }

    /// # Errors
    /// What is wrong, with the issuer's name.
    pub(super) fn check(&self) -> Result<(), String> {
        self.check_issuer()
            .and_then(|()| self.check_audience())
            .and_then(|()| self.check_required())
            .and_then(|()| self.check_rest())
            .map_err(|problem| format!("external_issuers: {}: {problem}", self.issuer))
    }

    fn check_issuer(&self) -> Result<(), String> {
        let url = Url::parse(&self.issuer).map_err(|_| "issuer is no URL".to_owned())?;
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            return Err("issuer has a query, a fragment or a user, which no issuer has".to_owned());
        }
        match url.scheme() {
            "https" => Ok(()),
            "http" if is_loopback(&url) => Ok(()),
            _ => Err("issuer must begin with https:// (http:// only on this machine)".to_owned()),
        }
    }

    fn check_audience(&self) -> Result<(), String> {
        let audience = self.audience.trim();
        let bare = audience.strip_prefix("spn:").unwrap_or(audience).trim_end_matches('/');
        if bare.is_empty() || audience != self.audience {
            return Err("audience is empty, or has spaces around it".to_owned());
        }
        if bare.parse::<Uuid>().is_ok() {
            return Err(format!(
                "the audience '{audience}' is a bare GUID: a client id, which id tokens have, too, or one of Azure's own services. Take \
                 one that is this gallery's alone, such as api://{bare} or its URL"
            ));
        }
        let host = Url::parse(audience).ok().and_then(|url| url.host_str().map(str::to_ascii_lowercase));
        let host = host.unwrap_or_else(|| bare.split('/').next().unwrap_or_default().to_ascii_lowercase());
        let host = host.trim_end_matches('.');
        let is_below = |domain: &str| host == domain || host.ends_with(&format!(".{domain}"));
        // `api://NAME` and `https://TENANT.onmicrosoft.com/NAME` are what Entra's customers call their own.
        if !audience.starts_with("api://") && AZURE_DOMAINS.into_iter().any(is_below) {
            return Err(format!(
                "the audience '{audience}' is Azure's own: anybody's token for Azure would be good here. Register this gallery at \
                 the issuer, and take its audience"
            ));
        }
        if bare == "account" {
            return Err(
                "the audience 'account' is in every token of Keycloak; give this gallery one of its own".to_owned()
            );
        }
        Ok(())
    }

    fn check_required(&self) -> Result<(), String> {
        if self.required_claims.len() > MOST_REQUIRED {
            return Err(format!("required_claims names more than {MOST_REQUIRED} claims"));
        }
        for (name, values) in &self.required_claims {
            let too_long = |value: &RequiredValue| matches!(value, RequiredValue::Text(text) if text.chars().count() > LONGEST_TEXT_CHARS);
            if name.is_empty() || name.chars().count() > LONGEST_TEXT_CHARS {
                return Err("required_claims has a name that is empty or too long".to_owned());
            }
            if !(1..=MOST_VALUES).contains(&values.all().len()) || values.all().iter().any(too_long) {
                return Err(format!(
                    "required_claims: '{name}' has a value, or a list of 1 to {MOST_VALUES}, of at most {LONGEST_TEXT_CHARS} \
                     characters each"
                ));
            }
        }
        if self.max_principals > MOST_PRINCIPALS {
            return Err(format!("max_principals is at most {MOST_PRINCIPALS}"));
        }
        Ok(())
    }

    fn check_rest(&self) -> Result<(), String> {
        if self.algorithms.is_empty() {
            return Err("algorithms names none".to_owned());
        }
        let claims = &self.claims;
        if UNSTABLE_CLAIMS.contains(&claims.subject.as_str()) {
            return Err(format!(
                "the claim '{}' is not for claims.subject: it can change, or become another's. Take sub, or Entra's oid",
                claims.subject
            ));
        }
        let names = [&claims.subject, &claims.user_name, &claims.display_name, &claims.groups, &claims.application];
        if names.iter().any(|name| name.is_empty()) {
            return Err("a claim has no name".to_owned());
        }
        if self.groups.len() > MOST_GROUPS {
            return Err(format!("there are more than {MOST_GROUPS} groups"));
        }
        let texts = names.into_iter().chain([&self.issuer, &self.audience]).chain(self.groups.keys());
        match texts.into_iter().find(|text| text.chars().count() > LONGEST_TEXT_CHARS) {
            Some(text) => Err(format!("'{}...' is too long", text.chars().take(40).collect::<String>())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(text: &str) -> Result<ExternalIssuerConfig, String> {
        let config: ExternalIssuerConfig = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        config.check().map(|()| config)
    }

    fn with(issuer_url: &str, audience: &str, rest: &str) -> Result<ExternalIssuerConfig, String> {
        issuer(&format!("issuer = '{issuer_url}'\ntenant = 't'\naudience = '{audience}'\n{rest}"))
    }

    #[test]
    fn audiences_are_the_gallerys_own() {
        for audience in
            ["api://galerie", "https://gallery.example.com", "galerie", "api://00000002-0000-0000-c000-000000000000"]
        {
            assert!(with("https://i", audience, "").is_ok(), "{audience}");
        }
        for audience in [
            "https://management.azure.com",
            "https://management.azure.com/",
            "https://MANAGEMENT.core.windows.net/",
            "https://management.core.windows.net//",
            "https://graph.microsoft.com",
            "https://vault.azure.net",
            "https://management.usgovcloudapi.net",
            "management.azure.com",
            "https://management.azure.com:443",
            "https://management.azure.com.",
        ] {
            let refused = with("https://i", audience, "").unwrap_err();
            assert!(refused.contains("is Azure's own"), "{audience}: {refused}");
        }
        for audience in ["797f4846-ba00-4fd7-bacd-f8ec3b61f7e8", "spn:797f4846-ba00-4fd7-bacd-f8ec3b61f7e8"] {
            assert!(with("https://i", audience, "").unwrap_err().contains("bare GUID"), "{audience}");
        }
        assert!(with("https://i", "account", "").unwrap_err().contains("Keycloak"));
        assert!(with("https://i", "", "").unwrap_err().contains("empty"));
    }

    #[test]
    fn issuers_are_https_or_on_this_machine() {
        for url in ["https://login.example.com/realms/x", "http://127.0.0.1:1", "http://localhost/x", "http://[::1]:9"]
        {
            assert!(with(url, "a", "").is_ok(), "{url}");
        }
        for url in [
            "http://login.example.com",
            "http://127.0.0.1.evil.example",
            "ftp://i",
            "i",
            "https://i?x",
            "https://i#x",
            "https://a:b@i",
        ] {
            assert!(with(url, "a", "").is_err(), "{url}");
        }
    }

    #[test]
    fn required_claims_are_values_or_lists() {
        let config = with(
            "https://i",
            "a",
            "[required_claims]\ntid = 't-1'\n'/realm_access/roles' = ['images', 'admins']\nemail_verified = true\nacr = 1",
        );
        let required: Vec<(String, serde_json::Value)> =
            config.unwrap().required().into_iter().map(|claim| (claim.name, claim.values.into())).collect();
        let expected = [
            ("/realm_access/roles", serde_json::json!(["images", "admins"])),
            ("acr", serde_json::json!([1])),
            ("email_verified", serde_json::json!([true])),
            ("tid", serde_json::json!(["t-1"])),
        ];
        assert_eq!(required, expected.map(|(name, values)| (name.to_owned(), values)));
        for (values, why) in [
            ("[]", "1 to 100"),
            ("{ a = 1 }", "did not match"),
            ("1.5", "did not match"),
            (&format!("'{}'", "x".repeat(513)), "512 characters"),
        ] {
            let refused = with("https://i", "a", &format!("required_claims.x = {values}")).unwrap_err();
            assert!(refused.contains(why), "{values}: {refused}");
        }
        let many: Vec<String> = (0..21).map(|number| format!("required_claims.c{number} = 'x'")).collect();
        assert!(with("https://i", "a", &many.join("\n")).unwrap_err().contains("more than 20"));
        assert_eq!(with("https://i", "a", "").unwrap().max_principals, 10_000);
        assert_eq!(with("https://i", "a", "max_principals = 0").unwrap().max_principals, 0);
        for text in ["500001", "-1", "'many'"] {
            assert!(with("https://i", "a", &format!("max_principals = {text}")).is_err(), "{text}");
        }
    }

    #[test]
    fn only_asymmetric_algorithms_and_stable_subjects() {
        let only = with("https://i", "a", "algorithms = ['ES256']").unwrap();
        assert_eq!(only.algorithms, [Algorithm(SigningAlgorithm::Es256)]);
        assert_eq!(with("https://i", "a", "").unwrap().algorithms, SigningAlgorithm::ALL.map(Algorithm));
        for algorithm in ["none", "HS256", "RS512", "rs256", ""] {
            let refused = with("https://i", "a", &format!("algorithms = ['{algorithm}']")).unwrap_err();
            assert!(refused.contains("none of the algorithms"), "{refused}");
        }
        assert!(with("https://i", "a", "algorithms = []").unwrap_err().contains("names none"));
        assert!(with("https://i", "a", "[claims]\nsubject = 'email'").unwrap_err().contains("become another's"));
        assert_eq!(with("https://i", "a", "[claims]\nsubject = 'oid'").unwrap().claims.names().subject, "oid");
        assert!(with("https://i", "a", "[claims]\nroles = 'x'").unwrap_err().contains("unknown field"));
    }
}
