//! The identity provider's endpoints and pages: what proves what.

use axum::{
    body::Body,
    http::{Method, Request},
};
use galerie_testkit::{Gallery, GalleryOptions, Principal, client_form};
use secrecy::ExposeSecret;
use uuid::Uuid;

use super::{METHODS, Table};
use crate::{route_class::RouteClass, routes};

/// What comes with the request, in the query and in the form.
const ASKERS: [&str; 10] = [
    "nothing",
    "client and secret",
    "wrong secret",
    "disabled client",
    "deleted client",
    "another tenant's client",
    "public client",
    "public client, device codes off",
    "one-time code",
    "replaced one-time code",
];
/// az.
const PUBLIC_CLIENT: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
/// RFC 7636, appendix B.
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// What the discovery of instances wants to know; nothing else looks at it.
const INSTANCE: &str = "api-version=1.1&authorization_endpoint=https://localhost:8443/common/oauth2/authorize";

/// Each asker's parameters.
async fn parameters(gallery: &Gallery) -> Vec<String> {
    let url = gallery.url();
    let good = gallery.make_principal("good").await;
    let (disabled, deleted) = (gallery.make_principal("disabled").await, gallery.make_principal("deleted").await);
    gallery.disable(&disabled).await;
    gallery.delete_principal(&deleted).await;
    let other = gallery.control.add_tenant("Other").await.expect("a tenant");
    let replaced = gallery.control.first_link().await.expect("the catalogue").expect("a link");
    let link = gallery.control.reset_link(gallery.tenant).await.expect("a link");
    let of = |principal: &Principal| {
        client_form(principal.caller.app_id.expect("an application"), principal.secret.expose_secret(), &url)
    };
    let public = format!(
        "client_id={PUBLIC_CLIENT}&response_type=code&redirect_uri=http://localhost:8400&scope={url}/.default&state=s\
         &code_challenge={CHALLENGE}&code_challenge_method=S256"
    );
    ASKERS
        .into_iter()
        .map(|asker| match asker {
            "nothing" => String::new(),
            "client and secret" => of(&good),
            "wrong secret" => client_form(good.caller.app_id.expect("an application"), "wrong", &url),
            "disabled client" => of(&disabled),
            "deleted client" => of(&deleted),
            "another tenant's client" => client_form(other.client_id, other.client_secret.expose_secret(), &url),
            "one-time code" => format!("code={}", link.code.expose_secret()),
            "replaced one-time code" => format!("code={}", replaced.code.expose_secret()),
            _ => public.clone(),
        })
        .collect()
}

async fn status(gallery: &Gallery, method: &Method, path: &str, parameters: &str) -> u16 {
    let path = path.replace("{tenant}", &gallery.tenant.to_string());
    let request = Request::builder().method(method.clone()).uri(format!("{path}?{INSTANCE}&{parameters}"));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let body = if *method == Method::POST { Body::from(parameters.to_owned()) } else { Body::empty() };
    gallery.send(request.body(body).expect("a request")).await.status
}

#[tokio::test]
async fn every_endpoint_answers_everybody_as_the_table_says() {
    let gallery = Gallery::start().await;
    let without_devices = Gallery::start_with(GalleryOptions { device_code: false, ..GalleryOptions::default() }).await;
    let parameters = parameters(&gallery).await;
    let mut table = Table::new(&ASKERS);
    for pattern in routes::of(RouteClass::OAuth) {
        for method in METHODS {
            let mut statuses = Vec::new();
            for (asker, parameters) in ASKERS.iter().zip(&parameters) {
                let gallery = if asker.ends_with("off") { &without_devices } else { &gallery };
                statuses.push(status(gallery, &method, pattern, parameters).await);
            }
            table.push(&method, pattern, statuses);
        }
    }
    table.check(RouteClass::OAuth);
}

/// A tenant that is none is a tenant of nobody at every endpoint that names one.
#[tokio::test]
async fn an_unknown_tenant_is_refused_everywhere() {
    let gallery = Gallery::start().await;
    let parameters = &parameters(&gallery).await[1];
    let nobodys = Uuid::new_v4().to_string();
    for pattern in routes::of(RouteClass::OAuth).iter().filter(|pattern| pattern.contains("{tenant}/oauth2/")) {
        let path = pattern.replace("{tenant}", &nobodys);
        for method in [Method::GET, Method::POST] {
            let status = status(&gallery, &method, &path, parameters).await;
            let is_a_page_without_tenant = path.ends_with("deviceauth");
            assert!(status >= 400 || is_a_page_without_tenant, "{method} {path}: {status}");
        }
    }
}
