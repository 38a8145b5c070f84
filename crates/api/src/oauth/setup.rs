//! The page of the one-time link, where the first administrator chooses a name and a password.

use std::net::IpAddr;

use axum::{extract::Request, http::HeaderMap, http::Method, response::Response};
use galerie_control::InvitationUse;
use secrecy::SecretString;
use uuid::Uuid;

use super::{
    error::OAuthError,
    form,
    page::{Form, Page, is_guarded},
};
use crate::{middleware::client_address::ClientAddress, query::Query, state::ApiState};

/// Where the link leads. The code is in the query, which no log has.
pub(super) const PATH: &str = "/setup";

/// `GET` and `POST /setup`.
pub(super) async fn answer(state: &ApiState, request: Request, correlation: Uuid) -> Result<Response, OAuthError> {
    match *request.method() {
        Method::GET | Method::HEAD => {
            let query = Query::parse(request.uri().query());
            show(state, request.headers(), query.get("code").unwrap_or_default(), "", (200, None)).await
        }
        Method::POST => {
            let address = ClientAddress::of(&request);
            let (headers, posted) = form::read(request).await?;
            make(state, &headers, &posted, (correlation, address)).await
        }
        ref other => Err(OAuthError::method_not_allowed(other.as_str())),
    }
}

async fn show(
    state: &ApiState,
    headers: &HeaderMap,
    code: &str,
    user_name: &str,
    (status, message): (u16, Option<&str>),
) -> Result<Response, OAuthError> {
    let identity = state.control.identity();
    let Some(domain) = identity.invitation_domain(code).await? else {
        return Ok(Page::new(404, "This link is not good (any more)")
            .text(
                "It was used, replaced by a newer one, or is over. On the server, `galerie tenant link` makes another.",
            )
            .response());
    };
    let form = Form::guarded(PATH, identity, headers)
        .hidden("code", code)
        .field("User name", "user_name", "text", "username", user_name)
        .field("Password", "password", "password", "new-password", "")
        .field("Password, again", "password_again", "password", "new-password", "")
        .button("Make the administrator", "make", true);
    Ok(Page::new(status, "The first administrator")
        .text(&format!(
            "Choose a user name and a password. Without a domain the name ends in @{domain}. The user administers the directory \
             and owns everything in it."
        ))
        .error(message)
        .form(form)
        .response())
}

async fn make(
    state: &ApiState,
    headers: &HeaderMap,
    posted: &Query,
    (correlation, address): (Uuid, Option<IpAddr>),
) -> Result<Response, OAuthError> {
    let typed = |name: &str| posted.get(name).unwrap_or_default();
    let (code, user_name) = (typed("code"), typed("user_name"));
    let message = if !is_guarded(state.control.identity(), headers, posted) {
        "The page was open for too long, or your browser keeps no cookies. Try again.".to_owned()
    } else if typed("password") != typed("password_again") {
        "The passwords are not the same.".to_owned()
    } else {
        let password = SecretString::from(typed("password"));
        let asked = InvitationUse { code, user_name, display_name: "", password, address };
        match state.control.use_invitation(&asked, correlation).await {
            Ok(user) => return Ok(welcome(&user.name)),
            Err(error) if error.status < 500 => error.message,
            Err(error) => return Err(error.into()),
        }
    };
    show(state, headers, code, user_name, (400, Some(&message))).await
}

fn welcome(name: &str) -> Response {
    Page::new(200, "Welcome")
        .text(&format!("You are {name}. `az login` and every other client know you by this name from now on."))
        .text("You can close this window.")
        .response()
}
