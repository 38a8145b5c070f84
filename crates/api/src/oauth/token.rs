//! The token endpoints: client credentials (RFC 6749, section 4.4), authorization codes (4.1), refresh tokens (6) and device
//! codes (RFC 8628).

use axum::{
    extract::Request,
    http::{HeaderValue, Method, header},
    response::Response,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use galerie_control::{
    ANY_TENANT, ClientProof, Identity, IdentityError, IssuedToken, Redemption, TokenShape, TokenVersion, UserTokens,
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Style, TENANT_ALIASES, error::OAuthError, form, resource};
use crate::{arm::response, hosts::AcceptedHost, query::Query, state::ApiState};

/// RFC 8628, section 3.4; version 1 has its own name.
const DEVICE_GRANTS: [&str; 2] = ["urn:ietf:params:oauth:grant-type:device_code", "device_code"];

/// A request to the endpoint, taken apart.
struct Asked<'a> {
    state: &'a ApiState,
    host: &'a AcceptedHost,
    style: Style,
    /// The path's segment.
    tenant: &'a str,
    form: Query,
    client_id: String,
    proof: ClientProof,
}

/// `POST .../token`.
pub(super) async fn issue(
    state: &ApiState,
    request: Request,
    host: &AcceptedHost,
    tenant: &str,
    style: Style,
) -> Result<Response, OAuthError> {
    if request.method() != Method::POST {
        return Err(OAuthError::method_not_allowed(request.method().as_str()));
    }
    let path = request.uri().path().to_owned();
    let (headers, form) = form::read(request).await?;
    let grant = form::given(&form, "grant_type").ok_or_else(|| OAuthError::missing_parameter("grant_type"))?.to_owned();
    let is_known = ["client_credentials", "authorization_code", "refresh_token"].contains(&grant.as_str());
    if !is_known && !DEVICE_GRANTS.contains(&grant.as_str()) {
        return Err(OAuthError::unsupported_grant(&grant));
    }
    let audiences = || assertion_audiences(host, tenant, &path);
    let (client_id, proof) = form::credentials(&headers, &form, audiences)?;
    let asked = Asked { state, host, style, tenant, form, client_id, proof };
    let response = match grant.as_str() {
        "client_credentials" => asked.client_credentials().await,
        "authorization_code" => asked.authorization_code().await,
        "refresh_token" => asked.refresh_token().await,
        _ => asked.device_code().await,
    }?;
    Ok(not_stored(response))
}

/// What an assertion may be for: this endpoint by each of its names, or the issuer.
fn assertion_audiences(host: &AcceptedHost, tenant: &str, path: &str) -> Vec<String> {
    let base = format!("{}/{tenant}", host.url());
    let mut audiences = vec![format!("{}{path}", host.url())];
    audiences.extend(["/oauth2/v2.0/token", "/oauth2/token", "/v2.0", "/"].map(|end| format!("{base}{end}")));
    audiences
}

impl Asked<'_> {
    fn identity(&self) -> &Identity {
        self.state.control.identity()
    }

    async fn client_credentials(&self) -> Result<Response, OAuthError> {
        if matches!(self.proof, ClientProof::None) {
            return Err(OAuthError::missing_secret());
        }
        let audience = match self.style {
            Style::V1 => self.required("resource")?.to_owned(),
            Style::V2 => resource::of_scope(self.required("scope")?)?,
            Style::Adfs => match form::given(&self.form, "resource") {
                Some(resource) => resource.to_owned(),
                None => resource::of_scope(self.required("scope")?)?,
            },
        };
        let tenant = resolve_tenant(self.state, self.tenant, &self.client_id).await?;
        let shape = self.shape(&audience);
        let issued = self.identity().token_for_client(&self.client_id, &self.proof, &tenant, &shape);
        let issued = issued.await.map_err(|error| self.refused(error))?;
        Ok(response::json(200, &document(&issued, &audience, self.style)))
    }

    async fn authorization_code(&self) -> Result<Response, OAuthError> {
        let (code, redirect_uri) = (self.required("code")?, self.required("redirect_uri")?);
        let verifier = self.required("code_verifier")?;
        let scope = match self.asked_scope() {
            Some(scope) => scope,
            None => self.identity().scope_of_code(code).await?.unwrap_or_default(),
        };
        let audience = self.audience(&scope)?;
        let client = self.identity().client(&self.client_id).await?;
        let redemption = Redemption { code, redirect_uri, verifier, tenant: self.users_tenant().await? };
        let shape = self.shape(&audience);
        let tokens = self.identity().redeem_code(&client, &self.proof, &redemption, &shape);
        Ok(self.users(&tokens.await.map_err(|error| self.refused(error))?, &audience))
    }

    async fn refresh_token(&self) -> Result<Response, OAuthError> {
        let refresh_token = self.required("refresh_token")?;
        let audience = self.audience(&self.asked_scope().unwrap_or_default())?;
        let client = self.identity().client(&self.client_id).await?;
        let tenant = self.users_tenant().await?;
        let shape = self.shape(&audience);
        let tokens = self.identity().refresh(&client, &self.proof, refresh_token, tenant, &shape);
        Ok(self.users(&tokens.await.map_err(|error| self.refused(error))?, &audience))
    }

    async fn device_code(&self) -> Result<Response, OAuthError> {
        let code = form::given(&self.form, "device_code").or_else(|| form::given(&self.form, "code"));
        let code = code.ok_or_else(|| OAuthError::missing_parameter("device_code"))?;
        let scope = match self.asked_scope() {
            Some(scope) => scope,
            None => self.identity().scope_of_device(code).await?.unwrap_or_default(),
        };
        let audience = self.audience(&scope)?;
        let client = self.identity().client(&self.client_id).await?;
        let shape = self.shape(&audience);
        let tokens = self.identity().device_redeem(&client, &self.proof, code, &shape);
        Ok(self.users(&tokens.await.map_err(|error| self.refused(error))?, &audience))
    }

    fn required(&self, name: &str) -> Result<&str, OAuthError> {
        form::given(&self.form, name).ok_or_else(|| OAuthError::missing_parameter(name))
    }

    /// What the form asks for, as a scope.
    fn asked_scope(&self) -> Option<String> {
        let resource = form::given(&self.form, "resource").filter(|_| self.style != Style::V2);
        resource.map(resource::as_scope).or_else(|| form::given(&self.form, "scope").map(str::to_owned))
    }

    fn audience(&self, scope: &str) -> Result<String, OAuthError> {
        resource::of_user_scope(scope, self.host)
    }

    /// The tenant whose users may be signed in; `None` for an alias.
    async fn users_tenant(&self) -> Result<Option<Uuid>, OAuthError> {
        super::users_tenant(self.state, self.tenant).await
    }

    fn shape(&self, audience: &str) -> TokenShape {
        let url = self.host.url();
        let (version, issuer) = match self.style {
            Style::V1 => (TokenVersion::V1, format!("{url}/{ANY_TENANT}/")),
            Style::V2 => (TokenVersion::V2, format!("{url}/{ANY_TENANT}/v2.0")),
            Style::Adfs => (TokenVersion::V1, format!("{url}/adfs")),
        };
        let is_application = !resource::is_service(&self.state.hosts, audience);
        let graph = format!("{url}/msgraph");
        TokenShape { audience: audience.to_owned(), is_application, version, issuer, graph }
    }

    fn refused(&self, error: IdentityError) -> OAuthError {
        match error {
            IdentityError::WrongSecret if matches!(self.proof, ClientProof::None) => OAuthError::missing_secret(),
            IdentityError::WrongSecret => OAuthError::wrong_secret(&self.client_id),
            other => other.into(),
        }
    }

    /// The answer for a user.
    fn users(&self, tokens: &UserTokens, audience: &str) -> Response {
        let mut whole = document(&tokens.access, audience, self.style);
        // Clients look their cached tokens up by the scopes that they ask for, `.default` among them.
        let scope = format!("{audience}/user_impersonation {audience}/.default");
        let user = json!({ "uid": tokens.user.id, "utid": tokens.user.tenant });
        whole["scope"] = scope.into();
        whole["refresh_token"] = tokens.refresh_token.expose_secret().into();
        whole["id_token"] = tokens.id_token.as_str().into();
        whole["client_info"] = URL_SAFE_NO_PAD.encode(user.to_string()).into();
        response::json(200, &whole)
    }
}

/// An alias is the tenant of the application that asks.
async fn resolve_tenant(state: &ApiState, tenant: &str, client_id: &str) -> Result<String, OAuthError> {
    if !TENANT_ALIASES.contains(&tenant.to_ascii_lowercase().as_str()) {
        let found = state.control.find_tenant(tenant).await?;
        return found.map(|found| found.id.to_string()).ok_or_else(|| OAuthError::unknown_tenant(tenant));
    }
    let found = state.control.identity().tenant_of_application(client_id).await?;
    found.map(|tenant| tenant.to_string()).ok_or_else(|| OAuthError::unknown_application(client_id))
}

fn document(issued: &IssuedToken, audience: &str, style: Style) -> Value {
    let (lifetime_s, issued_at_s) = (issued.expires_in_s, issued.issued_at_s);
    match style {
        Style::V1 => json!({
            "token_type": "Bearer",
            "expires_in": lifetime_s.to_string(),
            "ext_expires_in": lifetime_s.to_string(),
            "expires_on": (issued_at_s + lifetime_s).to_string(),
            "not_before": issued_at_s.to_string(),
            "resource": audience,
            "access_token": issued.access_token
        }),
        Style::V2 | Style::Adfs => json!({
            "token_type": "Bearer",
            "expires_in": lifetime_s,
            "ext_expires_in": lifetime_s,
            "access_token": issued.access_token
        }),
    }
}

/// A token is in no cache (RFC 6749, section 5.1).
fn not_stored(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-cache"));
    response
}
