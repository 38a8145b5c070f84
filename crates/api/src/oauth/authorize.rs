//! The authorization endpoint (RFC 6749, section 3.1) and its sign-in page.
//!
//! Until the client and where it is sent back to are known to be right, a fault is a page; afterwards it is the client's to
//! hear of, with its state.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, header},
    response::Response,
};
use galerie_control::{ClientApplication, CodeRequest, IdentityError, SignIn, SignInError, is_challenge};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::{
    error::OAuthError,
    form,
    page::{Form, NEW_PASSWORD, Page, is_guarded, is_new_password_repeated},
    resource,
};
use crate::{
    arm::response,
    hosts::AcceptedHost,
    middleware::audit::Refused,
    query::{Query, encode},
    state::ApiState,
};

/// Longest `state` and `nonce` that are taken, in bytes.
const LONGEST_STATE_BYTES: usize = 8 * 1024;
const LONGEST_NONCE_BYTES: usize = 512;

/// How the client hears of the outcome (OAuth 2.0 Multiple Response Types; Form Post Response Mode).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResponseMode {
    Query,
    Fragment,
    FormPost,
}

/// What a client asks for, checked.
struct Asked {
    client: ClientApplication,
    mode: ResponseMode,
    state: Option<String>,
    code: CodeRequest,
    /// Whose users may sign in; `None`: any.
    tenant: Option<Uuid>,
    /// The request as it came, for the form.
    raw: String,
    login_hint: String,
}

/// Where the client is, when its request is wrong.
struct Reply {
    redirect_uri: String,
    mode: ResponseMode,
    state: Option<String>,
}

/// A fault, and who hears of it.
enum Fault {
    Page(OAuthError),
    Client(Reply, &'static str, String),
}

impl From<OAuthError> for Fault {
    fn from(error: OAuthError) -> Self {
        Self::Page(error)
    }
}

/// `GET` and `POST .../authorize`.
pub(super) async fn answer(
    state: &ApiState,
    request: Request,
    host: &AcceptedHost,
    tenant: &str,
) -> Result<Response, OAuthError> {
    let (address, path) = (form::address(&request), request.uri().path().to_owned());
    let outcome = match *request.method() {
        Method::GET | Method::HEAD => {
            let raw = request.uri().query().unwrap_or_default().to_owned();
            let headers = request.headers().clone();
            match read(state, host, tenant, &raw).await {
                Ok(asked) => Ok(page(state, &headers, &path, &asked, (200, None, false))),
                Err(fault) => Err(fault),
            }
        }
        Method::POST => {
            let (headers, posted) = form::read(request).await?;
            match read(state, host, tenant, posted.get("request").unwrap_or_default()).await {
                Ok(asked) => sign_in(state, &headers, &path, &posted, asked, address).await,
                Err(fault) => Err(fault),
            }
        }
        ref other => return Err(OAuthError::method_not_allowed(other.as_str())),
    };
    match outcome {
        Ok(response) => Ok(response),
        Err(Fault::Client(reply, error, description)) => {
            Ok(reply.answer(&[("error", error), ("error_description", &description)]))
        }
        Err(Fault::Page(error)) => Ok(super::error_page(&error)),
    }
}

/// Takes a request apart.
async fn read(state: &ApiState, host: &AcceptedHost, tenant: &str, raw: &str) -> Result<Asked, Fault> {
    let query = Query::parse(Some(raw));
    let given = |name: &str| form::given(&query, name).map(str::to_owned);
    let client_id = given("client_id").ok_or_else(|| OAuthError::missing_parameter("client_id"))?;
    let client = state.control.identity().client(&client_id).await.map_err(OAuthError::from)?;
    let redirect_uri = given("redirect_uri").ok_or_else(|| OAuthError::missing_parameter("redirect_uri"))?;
    if !client.has_redirect(&redirect_uri) {
        return Err(OAuthError::wrong_redirect_uri(&redirect_uri, &client_id).into());
    }
    let tenant = super::users_tenant(state, tenant).await?;
    let mode = match query.get("response_mode") {
        None | Some("" | "query") => ResponseMode::Query,
        Some("fragment") => ResponseMode::Fragment,
        Some("form_post") => ResponseMode::FormPost,
        Some(_) => return Err(OAuthError::invalid_request("response_mode is query, fragment or form_post.").into()),
    };
    let client_state = given("state");
    if client_state.as_ref().is_some_and(|state| state.len() > LONGEST_STATE_BYTES) {
        return Err(OAuthError::invalid_request("The state is too long.").into());
    }
    // From here on the client is the one to hear of a fault.
    let reply = || Reply { redirect_uri: redirect_uri.clone(), mode, state: client_state.clone() };
    let to_client = |error: &'static str, description: &str| Fault::Client(reply(), error, description.to_owned());
    if query.get("response_type") != Some("code") {
        return Err(to_client("unsupported_response_type", "AADSTS700054: response_type must be 'code'."));
    }
    if query.get("prompt") == Some("none") {
        return Err(to_client("login_required", "AADSTS50058: nobody is signed in here without typing a password."));
    }
    let challenge = given("code_challenge").filter(|text| is_challenge(text));
    let challenge = challenge.filter(|_| query.get("code_challenge_method") == Some("S256")).ok_or_else(|| {
        to_client("invalid_request", "AADSTS9002313: a code_challenge of the method S256 is required (PKCE).")
    })?;
    let nonce = given("nonce");
    if nonce.as_ref().is_some_and(|nonce| nonce.len() > LONGEST_NONCE_BYTES) {
        return Err(to_client("invalid_request", "AADSTS90014: the nonce is too long."));
    }
    let scope = given("resource").map(|resource| resource::as_scope(&resource)).or_else(|| given("scope"));
    let scope = scope.unwrap_or_default();
    let is_there = match resource::of_user_scope(&scope, host) {
        Ok(audience) => resource::check(state, tenant, &audience).await,
        Err(error) => Err(error),
    };
    if let Err(error) = is_there {
        return Err(to_client("invalid_scope", error.description()));
    }
    let code = CodeRequest { redirect_uri, challenge, scope, nonce };
    let login_hint = given("login_hint").unwrap_or_default();
    Ok(Asked { client, mode, state: client_state, code, tenant, raw: raw.to_owned(), login_hint })
}

/// The sign-in page; `change` asks for another password, too.
fn page(
    state: &ApiState,
    headers: &HeaderMap,
    path: &str,
    asked: &Asked,
    (status, message, change): (u16, Option<&str>, bool),
) -> Response {
    let identity = state.control.identity();
    let form = Form::guarded(path, identity, headers)
        .hidden("request", &asked.raw)
        .field("User name", "user_name", "text", "username", &asked.login_hint)
        .field("Password", "password", "password", "current-password", "");
    let form = match change {
        true => form.new_password(),
        false => form,
    };
    Page::new(status, "Sign in")
        .text(&format!("to go on to {}", asked.client.display_name))
        .error(message)
        .form(form.button("Sign in", "sign-in", true).button("Cancel", "cancel", false))
        .leading_to(&asked.code.redirect_uri)
        .response()
}

async fn sign_in(
    state: &ApiState,
    headers: &HeaderMap,
    path: &str,
    posted: &Query,
    mut asked: Asked,
    address: String,
) -> Result<Response, Fault> {
    let identity = state.control.identity();
    let reply = Reply { redirect_uri: asked.code.redirect_uri.clone(), mode: asked.mode, state: asked.state.clone() };
    if !is_guarded(identity, headers, posted) {
        let message = "The page was open for too long, or your browser keeps no cookies. Try again.";
        return Ok(page(state, headers, path, &asked, (400, Some(message), false)));
    }
    if posted.get("action") == Some("cancel") {
        let description = "AADSTS65004: the user did not sign in.".to_owned();
        return Err(Fault::Client(reply, "access_denied", description));
    }
    let typed = |name: &str| posted.get(name).unwrap_or_default();
    asked.login_hint = typed("user_name").to_owned();
    let change = posted.get(NEW_PASSWORD).is_some();
    if change && !is_new_password_repeated(posted) {
        let message = "The new passwords are not the same.";
        return Ok(page(state, headers, path, &asked, (400, Some(message), true)));
    }
    let (tenant, user_name) = (asked.tenant, typed("user_name").to_owned());
    let typed = SignIn {
        tenant: asked.tenant,
        user_name: typed("user_name").to_owned(),
        password: SecretString::from(typed("password")),
        new_password: posted.get(NEW_PASSWORD).map(SecretString::from),
        address,
    };
    let user = match identity.sign_in(&asked.client, typed).await {
        Ok(user) => user,
        Err(SignInError::Identity(error)) if !is_told(&error) => return Err(OAuthError::from(error).into()),
        Err(SignInError::MustChange) => {
            let message = "Choose another password to go on.";
            return Ok(page(state, headers, path, &asked, (200, Some(message), true)));
        }
        Err(error) => {
            let (status, message) = told(&error);
            let tried = identity.tried_user(tenant, &user_name).await.map_err(OAuthError::from)?;
            return Ok(refused(page(state, headers, path, &asked, (status, Some(&message), change)), &error, tried));
        }
    };
    let code = identity.issue_code(&asked.client, &user, &asked.code).await.map_err(OAuthError::from)?;
    Ok(reply.answer(&[("code", code.expose_secret())]))
}

/// A page that answers a wrong name, password or code, and every further try that has to wait for one: the audit's, too. `user` is
/// who was tried, if that may be said.
pub(super) fn refused(page: Response, error: &SignInError, user: Option<String>) -> Response {
    let number = match error {
        SignInError::Wrong => "AADSTS50126",
        SignInError::Slow(_) => "AADSTS50053",
        SignInError::Disabled => "AADSTS50057",
        SignInError::Identity(error) if is_told(error) => "AADSTS50105",
        _ => return page,
    };
    Refused::mark_user(page, number.to_owned(), user)
}

/// Whether a fault of the identity provider's is one that a user can do something about.
pub(super) fn is_told(error: &IdentityError) -> bool {
    matches!(error, IdentityError::NotAssigned(_))
}

/// What a user is told, with Entra's number.
pub(super) fn told(error: &SignInError) -> (u16, String) {
    match error {
        SignInError::Wrong => {
            (400, "The user name or the password is wrong. If it was right until now, ask who looks after your directory. Where there are several tenants, the name needs its domain: name@domain. (AADSTS50126)".to_owned())
        }
        SignInError::Slow(seconds) => {
            (429, format!("There were too many wrong passwords. Try again in {seconds} s. (AADSTS50053)"))
        }
        SignInError::Disabled => (400, "This user may not sign in. (AADSTS50057)".to_owned()),
        SignInError::Weak(weak) => (400, format!("This cannot be the new password: {weak}.")),
        SignInError::Identity(IdentityError::NotAssigned(application)) => {
            (400, format!("You are not assigned to {application}; ask who looks after it. (AADSTS50105)"))
        }
        SignInError::UnknownApplication => {
            (400, "The application is not known in your tenant. (AADSTS700016)".to_owned())
        }
        other => (400, format!("{other}.")),
    }
}

impl Reply {
    /// Sends the browser back to the client.
    fn answer(&self, parameters: &[(&str, &str)]) -> Response {
        let state = self.state.as_deref().map(|state| ("state", state));
        let all: Vec<(&str, &str)> = parameters.iter().copied().chain(state).collect();
        let encoded: Vec<String> = all.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let separator = match self.mode {
            ResponseMode::FormPost => {
                let form = Form::foreign(&self.redirect_uri);
                let form = all.iter().fold(form, |form, (name, value)| form.hidden(name, value));
                return Page::new(200, "Almost done")
                    .text("Go on to the application that asked you to sign in.")
                    .form(form.button("Continue", "continue", true))
                    .leading_to(&self.redirect_uri)
                    .response();
            }
            ResponseMode::Fragment => "#",
            ResponseMode::Query if self.redirect_uri.contains('?') => "&",
            ResponseMode::Query => "?",
        };
        let mut response = response::empty(303);
        let location = format!("{}{separator}{}", self.redirect_uri, encoded.join("&"));
        let headers = response.headers_mut();
        if let Ok(location) = HeaderValue::from_str(&location) {
            headers.insert(header::LOCATION, location);
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    }
}
