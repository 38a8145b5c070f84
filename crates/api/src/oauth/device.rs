//! Device codes (RFC 8628): the endpoint that devices ask, and the page where users let them in.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, header},
    response::Response,
};
use galerie_control::{DeviceDecision, DeviceShown, SignIn, SignInError};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::{
    Style, authorize,
    error::OAuthError,
    form,
    page::{Form, NEW_PASSWORD, Page, is_guarded, is_new_password_repeated},
    resource,
};
use crate::{arm::response, hosts::AcceptedHost, query::Query, state::ApiState};

/// Where users type the code; short, because they type this, too.
pub(super) const PAGE_PATH: &str = "/devicelogin";

/// `POST .../devicecode`.
pub(super) async fn begin(
    state: &ApiState,
    request: Request,
    host: &AcceptedHost,
    tenant: &str,
    style: Style,
) -> Result<Response, OAuthError> {
    if !state.options.device_code {
        return Err(OAuthError::device_codes_are_off());
    }
    if request.method() != Method::POST {
        return Err(OAuthError::method_not_allowed(request.method().as_str()));
    }
    let address = form::address(&request);
    let (_, form) = form::read(request).await?;
    let client_id = form::given(&form, "client_id").ok_or_else(|| OAuthError::missing_parameter("client_id"))?;
    let client = state.control.identity().client(client_id).await?;
    let resource = form::given(&form, "resource").filter(|_| style != Style::V2).map(resource::as_scope);
    let scope = resource.or_else(|| form::given(&form, "scope").map(str::to_owned)).unwrap_or_default();
    let (audience, tenant) = (resource::of_user_scope(&scope, host)?, super::users_tenant(state, tenant).await?);
    resource::check(state, tenant, &audience).await?;
    let begun = state.control.identity().device_begin(&client, tenant, &scope, &address).await?;
    let (uri, user_code) = (format!("{}{PAGE_PATH}", host.url()), begun.user_code.expose_secret());
    let message =
        format!("To sign in, use a web browser to open the page {uri} and enter the code {user_code} to authenticate.");
    let number = |number: u64| if style == Style::V1 { json!(number.to_string()) } else { json!(number) };
    let document = json!({
        "user_code": user_code,
        "device_code": begun.device_code.expose_secret(),
        "verification_uri": uri,
        // Version 1's name.
        "verification_url": uri,
        "expires_in": number(begun.expires_in_s),
        "interval": number(begun.interval_s),
        "message": message
    });
    let mut response = response::json(200, &document);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The page.
pub(super) async fn page(state: &ApiState, request: Request) -> Result<Response, OAuthError> {
    if !state.options.device_code {
        return Ok(super::error_page(&OAuthError::device_codes_are_off()));
    }
    let address = form::address(&request);
    match *request.method() {
        Method::GET | Method::HEAD => Ok(ask_for_code(state, request.headers(), (200, None))),
        Method::POST => {
            let (headers, posted) = form::read(request).await?;
            posted_page(state, &headers, &posted, address).await
        }
        ref other => Err(OAuthError::method_not_allowed(other.as_str())),
    }
}

fn ask_for_code(state: &ApiState, headers: &HeaderMap, (status, message): (u16, Option<&str>)) -> Response {
    let form = Form::guarded(PAGE_PATH, state.control.identity(), headers)
        .field("Code", "user_code", "text", "off", "")
        .button("Next", "next", true);
    Page::new(status, "Let a device in")
        .text("Type the code that the device or the command line shows.")
        .error(message)
        .form(form)
        .response()
}

async fn posted_page(
    state: &ApiState,
    headers: &HeaderMap,
    posted: &Query,
    address: String,
) -> Result<Response, OAuthError> {
    let identity = state.control.identity();
    if !is_guarded(identity, headers, posted) {
        let message = "The page was open for too long, or your browser keeps no cookies. Try again.";
        return Ok(ask_for_code(state, headers, (400, Some(message))));
    }
    let user_code = posted.get("user_code").unwrap_or_default();
    let shown = match identity.device_find(user_code, &address).await {
        Ok(shown) => shown,
        Err(SignInError::Identity(error)) => return Err(error.into()),
        Err(SignInError::Wrong) => {
            let message = "This code is not known, was used, or has expired. Look whether the device shows another.";
            return Ok(authorize::refused(
                ask_for_code(state, headers, (400, Some(message))),
                &SignInError::Wrong,
                None,
            ));
        }
        Err(error) => {
            let (status, message) = authorize::told(&error);
            return Ok(authorize::refused(ask_for_code(state, headers, (status, Some(&message))), &error, None));
        }
    };
    match posted.get("action") {
        Some("approve") => approve(state, headers, posted, &shown, address).await,
        Some("deny") => {
            identity.device_decide(user_code, &DeviceDecision::Deny).await?;
            Ok(Page::new(200, "The device stays out").text("You can close this window.").response())
        }
        _ => Ok(ask_to_sign_in(state, headers, user_code, &shown, "", (200, None, false))),
    }
}

/// Shows who asks, before a password is typed.
fn ask_to_sign_in(
    state: &ApiState,
    headers: &HeaderMap,
    user_code: &str,
    shown: &DeviceShown,
    user_name: &str,
    (status, message, change): (u16, Option<&str>, bool),
) -> Response {
    let age = match shown.age_s {
        seconds @ 0..60 => format!("{seconds} s ago"),
        seconds => format!("{} min ago", seconds / 60),
    };
    let facts =
        [("Application", shown.application.display_name.as_str()), ("Asks from", &shown.address), ("Since", &age)];
    let form = Form::guarded(PAGE_PATH, state.control.identity(), headers)
        .hidden("user_code", user_code)
        .field("User name", "user_name", "text", "username", user_name)
        .field("Password", "password", "password", "current-password", "");
    let form = match change {
        true => form.new_password(),
        false => form,
    };
    Page::new(status, "Let this device in?")
        .text("Go on only if you started this yourself: who holds the code will be signed in as you.")
        .facts(&facts)
        .error(message)
        .form(form.button("Sign in and let it in", "approve", true).button("Do not", "deny", false))
        .response()
}

async fn approve(
    state: &ApiState,
    headers: &HeaderMap,
    posted: &Query,
    shown: &DeviceShown,
    address: String,
) -> Result<Response, OAuthError> {
    let identity = state.control.identity();
    let typed = |name: &str| posted.get(name).unwrap_or_default();
    let (user_code, user_name) = (typed("user_code"), typed("user_name"));
    let change = posted.get(NEW_PASSWORD).is_some();
    let typed = SignIn {
        tenant: shown.tenant,
        user_name: user_name.to_owned(),
        password: SecretString::from(typed("password")),
        new_password: posted.get(NEW_PASSWORD).map(SecretString::from),
        address,
    };
    let again = |status, message: &str, change| {
        ask_to_sign_in(state, headers, user_code, shown, user_name, (status, Some(message), change))
    };
    if change && !is_new_password_repeated(posted) {
        return Ok(again(400, "The new passwords are not the same.", true));
    }
    let user = match identity.sign_in(&shown.application, typed).await {
        Ok(user) => user,
        Err(SignInError::Identity(error)) if !authorize::is_told(&error) => return Err(error.into()),
        Err(SignInError::MustChange) => return Ok(again(200, "Choose another password to go on.", true)),
        Err(error) => {
            let (status, message) = authorize::told(&error);
            let tried = identity.tried_user(shown.tenant, user_name).await?;
            return Ok(authorize::refused(again(status, &message, change), &error, tried));
        }
    };
    let name = user.name.clone();
    if identity.device_decide(user_code, &DeviceDecision::Approve(user)).await? {
        let text = format!("The device is signed in as {name}. You can close this window.");
        return Ok(Page::new(200, "Done").text(&text).response());
    }
    Ok(ask_for_code(state, headers, (400, Some("This code was used or has expired meanwhile."))))
}
