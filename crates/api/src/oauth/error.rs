//! OAuth errors (RFC 6749, section 5.2) as Entra writes them: an `AADSTS` number in the description.

use axum::response::Response;
use galerie_arm::timestamp;
use galerie_control::IdentityError;
use serde_json::json;

use crate::{
    arm::response,
    middleware::{audit::Refused, request_ids::RequestIds},
};

/// What went wrong at an identity endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OAuthError {
    status: u16,
    error: &'static str,
    number: u32,
    description: String,
}

impl OAuthError {
    fn new(status: u16, error: &'static str, number: u32, description: impl Into<String>) -> Self {
        Self { status, error, number, description: description.into() }
    }

    pub(super) fn missing_parameter(name: &str) -> Self {
        let description = format!("The request body must contain the following parameter: '{name}'.");
        Self::new(400, "invalid_request", 900_144, description)
    }

    pub(super) fn invalid_request(description: &str) -> Self {
        Self::new(400, "invalid_request", 90_014, description)
    }

    pub(super) fn unsupported_grant(grant: &str) -> Self {
        let description = format!(
            "The app requested an unsupported grant type '{}'. This server has client_credentials, authorization_code, \
             refresh_token and device_code.",
            cut(grant)
        );
        Self::new(400, "unsupported_grant_type", 70_003, description)
    }

    pub(super) fn unknown_resource(resource: &str) -> Self {
        let description = format!(
            "The resource principal named '{}' was not found in the tenant. Check the scope or resource that is asked for.",
            cut(resource)
        );
        Self::new(400, "invalid_resource", 500_011, description)
    }

    pub(super) fn invalid_scope(scope: &str) -> Self {
        let description = format!(
            "The provided value for scope '{}' is not valid. Client credential flows must have a scope value with /.default \
             suffixed to the resource identifier.",
            cut(scope)
        );
        Self::new(400, "invalid_scope", 1_002_012, description)
    }

    pub(super) fn unknown_tenant(tenant: &str) -> Self {
        let description =
            format!("Tenant '{}' not found. Check to make sure you have the correct tenant ID.", cut(tenant));
        Self::new(400, "invalid_request", 90_002, description)
    }

    pub(super) fn unknown_application(client_id: &str) -> Self {
        let description = format!("Application with identifier '{}' was not found in the directory.", cut(client_id));
        Self::new(400, "unauthorized_client", 700_016, description)
    }

    pub(super) fn wrong_secret(client_id: &str) -> Self {
        let description = format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the \
             client secret ID, for a secret added to app '{}'.",
            cut(client_id)
        );
        Self::new(401, "invalid_client", 7_000_215, description)
    }

    pub(super) fn wrong_assertion(why: &str) -> Self {
        let description = format!("Client assertion failed signature validation: {}.", cut(why));
        Self::new(401, "invalid_client", 700_027, description)
    }

    pub(super) fn wrong_redirect_uri(uri: &str, client_id: &str) -> Self {
        let description = format!(
            "The redirect URI '{}' specified in the request does not match the redirect URIs configured for the application \
             '{}'.",
            cut(uri),
            cut(client_id)
        );
        Self::new(400, "invalid_request", 50_011, description)
    }

    pub(super) fn device_codes_are_off() -> Self {
        let description = "Signing in with a device code is switched off on this server.";
        Self::new(400, "unauthorized_client", 700_014, description)
    }

    /// The HTTP status.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// What a person can read.
    pub(super) fn description(&self) -> &str {
        &self.description
    }

    pub(super) fn missing_secret() -> Self {
        let description =
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
        Self::new(401, "invalid_client", 7_000_218, description)
    }

    pub(super) fn unknown_instance() -> Self {
        Self::new(400, "invalid_instance", 50_049, "Unknown or invalid instance.")
    }

    pub(super) fn not_found(path: &str) -> Self {
        Self::new(404, "invalid_request", 900_561, format!("Nothing is served at '{}'.", cut(path)))
    }

    pub(super) fn method_not_allowed(method: &str) -> Self {
        let description = format!("The endpoint does not accept {} requests.", cut(method));
        Self::new(405, "invalid_request", 900_561, description)
    }

    pub(super) fn too_large() -> Self {
        Self::new(413, "invalid_request", 90_014, "The request body is too large.")
    }

    pub(super) fn unsupported_media_type() -> Self {
        let description = "The request body must be application/x-www-form-urlencoded.";
        Self::new(415, "invalid_request", 900_144, description)
    }

    /// What ARM would say of a request that no endpoint has seen, or whose endpoint failed.
    pub(super) fn of_the_front_door(error: &galerie_arm::ArmError) -> Self {
        match error.status {
            500.. => Self::new(error.status, "server_error", 90_033, error.message.as_str()),
            _ => Self::new(error.status, "invalid_request", 90_014, error.message.as_str()),
        }
    }

    fn server_error() -> Self {
        Self::new(500, "server_error", 90_033, "The identity provider failed. Try again.")
    }

    /// The answer. The ids are the request's own.
    pub(super) fn response(&self, ids: RequestIds, now_ms: i64) -> Response {
        let timestamp = timestamp::format_ms(now_ms);
        let seconds = timestamp.get(..19).unwrap_or_default().replace('T', " ");
        let description = format!(
            "AADSTS{}: {} Trace ID: {} Correlation ID: {} Timestamp: {seconds}Z",
            self.number, self.description, ids.request, ids.correlation
        );
        let body = json!({
            "error": self.error,
            "error_description": description,
            "error_codes": [self.number],
            "timestamp": format!("{seconds}Z"),
            "trace_id": ids.request.to_string(),
            "correlation_id": ids.correlation.to_string()
        });
        let answer = response::json(self.status, &body);
        // A grant that is not good (a code, a refresh token) is 400 to clients.
        let is_refusal = self.status == 401 || self.error == "invalid_grant";
        if is_refusal { Refused::mark(answer, format!("AADSTS{}", self.number)) } else { answer }
    }
}

impl From<IdentityError> for OAuthError {
    fn from(error: IdentityError) -> Self {
        match &error {
            IdentityError::UnknownTenant(tenant) => Self::unknown_tenant(tenant),
            IdentityError::UnknownApplication(client_id) => Self::unknown_application(client_id),
            IdentityError::WrongSecret => Self::wrong_secret(""),
            IdentityError::WrongAssertion(why) => Self::wrong_assertion(why),
            IdentityError::DisabledApplication => {
                Self::new(401, "unauthorized_client", 7_000_112, "The application is disabled.")
            }
            IdentityError::UnknownResource(resource) => Self::unknown_resource(resource),
            IdentityError::NotAssigned(application) => {
                let description =
                    format!("Who asks is not assigned to a role for the application '{}'.", cut(application));
                Self::new(400, "invalid_grant", 50_105, description)
            }
            IdentityError::InvalidGrant(why) => {
                Self::new(400, "invalid_grant", 70_000, format!("The provided grant is not good (any more): {why}."))
            }
            IdentityError::AuthorizationPending => {
                let description = "OAuth 2.0 device flow error. Authorization is pending. Continue polling.";
                Self::new(400, "authorization_pending", 70_016, description)
            }
            IdentityError::SlowDown => Self::new(400, "slow_down", 70_016, "Wait for the interval between questions."),
            IdentityError::Declined => {
                Self::new(400, "authorization_declined", 70_018, "The user did not let the device in.")
            }
            IdentityError::ExpiredDeviceCode => Self::new(400, "expired_token", 70_020, "The device code has expired."),
            IdentityError::Busy => {
                Self::new(503, "temporarily_unavailable", 90_033, "The identity provider is busy. Try again.")
            }
            _ => {
                tracing::error!(error = &error as &dyn std::error::Error, "issue a token");
                Self::server_error()
            }
        }
    }
}

impl From<galerie_arm::ArmError> for OAuthError {
    fn from(error: galerie_arm::ArmError) -> Self {
        tracing::error!(%error, "look a tenant up");
        Self::server_error()
    }
}

/// Longest text of a caller that an error repeats, in characters.
const LONGEST_QUOTE_CHARS: usize = 200;

fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST_QUOTE_CHARS).collect()
}
