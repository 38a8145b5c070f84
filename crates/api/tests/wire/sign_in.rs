//! The pages where users sign in, as a browser sees them.

use axum::{body::Body, http::Request};
use galerie_testkit::{Answer, Gallery, GalleryOptions};
use secrecy::ExposeSecret;

use crate::{
    audit::{refusals, rows},
    graph::Graph,
    tokens::claims,
};

const AZ: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
/// RFC 7636, appendix B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const PASSWORD: &str = "correct horse";

/// What az asks for, but for the response mode.
pub(crate) fn request(changes: &[(&str, &str)]) -> String {
    let mut parameters = vec![
        ("client_id", AZ),
        ("response_type", "code"),
        ("redirect_uri", "http://localhost:8400"),
        ("scope", "https://localhost:8443/.default openid profile offline_access"),
        ("state", "a state & more"),
        ("nonce", "n-1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in changes {
        parameters.retain(|(known, _)| known != name);
        parameters.push((name, value));
    }
    form(&parameters)
}

pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    pairs.join("&")
}

/// A browser that keeps one cookie.
pub(crate) struct Browser<'a> {
    gallery: &'a Gallery,
    cookie: Option<String>,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(gallery: &'a Gallery) -> Self {
        Self { gallery, cookie: None }
    }

    async fn send(&mut self, request: axum::http::request::Builder, body: String) -> Answer {
        let request = match &self.cookie {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        };
        let answer = self.gallery.send(request.body(Body::from(body)).expect("a request")).await;
        if let Some(cookie) = answer.header("set-cookie") {
            assert!(cookie.starts_with("__Host-") && cookie.contains("Secure; HttpOnly; SameSite=Strict"), "{cookie}");
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
        answer
    }

    pub(crate) async fn open(&mut self, path: &str) -> Answer {
        self.send(Request::get(path), String::new()).await
    }

    /// Posts a page's form: its hidden fields, and what is typed.
    pub(crate) async fn post(&mut self, path: &str, page: &Answer, typed: &[(&str, &str)]) -> Answer {
        let hidden = hidden(page);
        let mut fields: Vec<(&str, &str)> =
            hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        fields.extend_from_slice(typed);
        let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        self.send(request, form(&fields)).await
    }
}

pub(crate) fn html(page: &Answer) -> String {
    String::from_utf8(page.body.to_vec()).expect("text")
}

/// The hidden fields of a page.
pub(crate) fn hidden(page: &Answer) -> Vec<(String, String)> {
    let unescape = |text: &str| {
        text.replace("&quot;", "\"")
            .replace("&#39;", "'")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&")
    };
    let html = html(page);
    let inputs = html.split("<input type=\"hidden\" name=\"").skip(1);
    let field = |input: &str| {
        let (name, rest) = input.split_once("\" value=\"")?;
        Some((unescape(name), unescape(rest.split_once('"')?.0)))
    };
    inputs.filter_map(field).collect()
}

fn typed(action: &'static str) -> [(&'static str, &'static str); 3] {
    [("user_name", "ada@galerie.internal"), ("password", PASSWORD), ("action", action)]
}

/// What the client gets from an answer: `code=...&state=...` behind the redirect URI.
pub(crate) fn returned(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{answer}");
    let location = answer.header("location").expect("a location");
    location.strip_prefix("http://localhost:8400?").unwrap_or_else(|| panic!("{location}")).to_owned()
}

pub(crate) fn parameter(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}="))).map(str::to_owned)
}

async fn redeem(gallery: &Gallery, tenant: &str, code: &str) -> Answer {
    let fields = form(&[
        ("grant_type", "authorization_code"),
        ("client_id", AZ),
        ("code", code),
        ("redirect_uri", "http://localhost:8400"),
        ("code_verifier", VERIFIER),
        ("scope", "https://localhost:8443/.default openid profile offline_access"),
    ]);
    gallery.form(&format!("/{tenant}/oauth2/v2.0/token"), &fields).await
}

#[tokio::test]
async fn a_browser_signs_in_and_the_client_is_told() {
    let graph = Graph::start().await;
    graph.user("ada", PASSWORD).await;
    let gallery = &graph.gallery;
    let mut browser = Browser::new(gallery);
    for tenant in ["organizations", "common", &gallery.tenant.to_string()] {
        let path = format!("/{tenant}/oauth2/v2.0/authorize");
        let page = browser.open(&format!("{path}?{}", request(&[]))).await.expect(200);
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("form-action 'self' http://localhost:8400;"),
            "{policy}"
        );
        assert!(
            policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe") && !html(&page).contains("<script")
        );
        assert_eq!(
            (page.header("x-frame-options"), page.header("referrer-policy")),
            (Some("DENY"), Some("no-referrer"))
        );
        assert!(html(&page).contains("Azure CLI"), "{}", html(&page));
        let wrong = browser.post(&path, &page, &[("user_name", "ada"), ("password", "x"), ("action", "sign-in")]).await;
        assert!(wrong.status == 400 && html(&wrong).contains("AADSTS50126"), "{wrong}");
        let answer = returned(&browser.post(&path, &page, &typed("sign-in")).await);
        assert_eq!(parameter(&answer, "state").as_deref(), Some("a%20state%20%26%20more"), "{answer}");
        let code = parameter(&answer, "code").expect("a code");
        let tokens = redeem(gallery, tenant, &code).await.expect(200).json();
        assert_eq!(claims(tokens["id_token"].as_str().expect("an id token"))["nonce"], "n-1");
        let access = claims(tokens["access_token"].as_str().expect("a token"));
        assert_eq!(
            (&access["upn"], &access["aud"]),
            (&"ada@galerie.internal".into(), &"https://localhost:8443".into())
        );
        assert!(tokens["scope"].as_str().is_some_and(|scope| scope.contains("https://localhost:8443/.default")));
        assert!(tokens["client_info"].is_string() && tokens["refresh_token"].is_string());
        assert_eq!(redeem(gallery, tenant, &code).await.json()["error"], "invalid_grant");
        // Another resource with the same session, as az asks for Graph.
        let fields = form(&[
            ("grant_type", "refresh_token"),
            ("client_id", AZ),
            ("refresh_token", tokens["refresh_token"].as_str().expect("a token")),
            ("scope", "https://localhost:8443/msgraph/.default"),
        ]);
        let refreshed = gallery.form(&format!("/{tenant}/oauth2/v2.0/token"), &fields).await;
        assert_eq!(refreshed.status, 400, "the code was shown twice, so its session is over: {refreshed}");
    }
    // In each of the three rounds a wrong password, and a code and a refresh token that were good no more.
    refusals(gallery, "AADSTS50126", 3).await;
    refusals(gallery, "AADSTS70000", 6).await;
}

#[tokio::test]
async fn faults_before_the_client_is_known_are_pages_and_later_ones_the_clients() {
    let graph = Graph::start().await;
    let mut browser = Browser::new(&graph.gallery);
    let path = "/organizations/oauth2/v2.0/authorize";
    for (changes, expected) in [
        (vec![("client_id", "00000000-0000-0000-0000-000000000001")], "was not found in the directory"),
        (vec![("client_id", "x")], "was not found in the directory"),
        (vec![("redirect_uri", "https://evil.example/")], "does not match the redirect URIs"),
        (vec![("redirect_uri", "http://localhost:8400/evil")], "does not match the redirect URIs"),
        (vec![("redirect_uri", "http://localhost.evil.example:8400")], "does not match the redirect URIs"),
        (vec![("redirect_uri", "")], "redirect_uri"),
    ] {
        let page = browser.open(&format!("{path}?{}", request(&changes))).await.expect(400);
        assert!(html(&page).contains(expected) && page.header("location").is_none(), "{changes:?}: {page}");
    }
    for (changes, expected) in [
        (vec![("response_type", "token")], "unsupported_response_type"),
        (vec![("code_challenge", "")], "invalid_request"),
        (vec![("code_challenge_method", "plain")], "invalid_request"),
        (vec![("prompt", "none")], "login_required"),
    ] {
        let answer = returned(&browser.open(&format!("{path}?{}", request(&changes))).await);
        assert_eq!(parameter(&answer, "error").as_deref(), Some(expected), "{changes:?}");
        assert!(parameter(&answer, "state").is_some() && parameter(&answer, "code").is_none(), "{answer}");
    }
    let page = browser.open(&format!("{path}?{}", request(&[]))).await.expect(200);
    let cancelled = returned(&browser.post(path, &page, &typed("cancel")).await);
    assert_eq!(parameter(&cancelled, "error").as_deref(), Some("access_denied"));
}

/// Regression: who asks without a tenant was told which applications there are in any.
#[tokio::test]
async fn nobody_is_told_what_other_tenants_have() {
    let graph = Graph::start().await;
    let offered = serde_json::json!({ "displayName": "app", "identifierUris": ["api://ours"] });
    let app = graph.post("applications", offered).await.expect(201).json();
    let _ = graph.post("servicePrincipals", serde_json::json!({ "appId": app["appId"] })).await.expect(201);
    let asked = async |tenant: &str, resource: &str| {
        let scope = format!("{resource}/.default openid");
        let path = format!("/{tenant}/oauth2/v2.0/authorize?{}", request(&[("scope", &scope)]));
        Browser::new(&graph.gallery).open(&path).await.status
    };
    let ours = app["appId"].as_str().expect("a client id");
    for resource in ["api://ours", "api://nobodys", ours, AZ] {
        assert_eq!(asked("organizations", resource).await, 200, "{resource}");
    }
    let here = graph.gallery.tenant.to_string();
    assert_eq!((asked(&here, "api://ours").await, asked(&here, "api://nobodys").await), (200, 303));
    let path = format!("/{here}/oauth2/v2.0/authorize?{}", request(&[("scope", "https://elsewhere.example/.default")]));
    let answer = returned(&Browser::new(&graph.gallery).open(&path).await);
    assert_eq!(parameter(&answer, "error").as_deref(), Some("invalid_scope"));
}

#[tokio::test]
async fn a_form_is_posted_by_who_was_shown_it() {
    let graph = Graph::start().await;
    graph.user("ada", PASSWORD).await;
    let path = "/organizations/oauth2/v2.0/authorize";
    let mut attacker = Browser::new(&graph.gallery);
    let page = attacker.open(&format!("{path}?{}", request(&[]))).await.expect(200);
    // Another browser posts the attacker's form: it has no cookie, or another one.
    let mut victim = Browser::new(&graph.gallery);
    let refused = victim.post(path, &page, &typed("sign-in")).await.expect(400);
    assert!(refused.header("location").is_none());
    let refused = victim.post(path, &page, &typed("sign-in")).await.expect(400);
    assert!(refused.header("location").is_none());
    returned(&attacker.post(path, &page, &typed("sign-in")).await);
}

#[tokio::test]
async fn form_post_is_a_button() {
    let graph = Graph::start().await;
    graph.user("ada", PASSWORD).await;
    let mut browser = Browser::new(&graph.gallery);
    let path = "/organizations/oauth2/v2.0/authorize";
    let state = "\"><script>alert(1)</script>";
    let asked = request(&[("response_mode", "form_post"), ("state", state)]);
    let page = browser.open(&format!("{path}?{asked}")).await.expect(200);
    assert!(!html(&page).contains("<script"), "{}", html(&page));
    let answer = browser.post(path, &page, &typed("sign-in")).await.expect(200);
    assert!(html(&answer).contains("action=\"http://localhost:8400\"") && !html(&answer).contains("<script"));
    let fields = hidden(&answer);
    let field = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!(field("state"), Some(state));
    let _ = redeem(&graph.gallery, "organizations", field("code").expect("a code")).await.expect(200);
}

#[tokio::test]
async fn a_device_is_let_in_on_its_page() {
    let graph = Graph::start().await;
    graph.user("ada", PASSWORD).await;
    let gallery = &graph.gallery;
    let begin = async || {
        let fields = form(&[("client_id", AZ), ("scope", "https://localhost:8443/.default offline_access")]);
        gallery.form("/organizations/oauth2/v2.0/devicecode", &fields).await.expect(200).json()
    };
    let ask = async |device: &serde_json::Value| {
        let fields = form(&[
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("client_id", AZ),
            ("device_code", device["device_code"].as_str().expect("a code")),
        ]);
        gallery.form("/organizations/oauth2/v2.0/token", &fields).await
    };
    let device = begin().await;
    assert_eq!(device["verification_uri"], "https://localhost:8443/devicelogin");
    assert_eq!(ask(&device).await.expect(400).json()["error"], "authorization_pending");
    let mut browser = Browser::new(gallery);
    let page = browser.open("/devicelogin").await.expect(200);
    let wrong = browser.post("/devicelogin", &page, &[("user_code", "BCDF-BCDF"), ("action", "next")]).await;
    assert!(wrong.status == 400 && html(&wrong).contains("not known"), "{wrong}");
    let user_code = device["user_code"].as_str().expect("a code");
    let page = browser.post("/devicelogin", &page, &[("user_code", user_code), ("action", "next")]).await.expect(200);
    for expected in ["Azure CLI", "Asks from", "unknown", "s ago"] {
        assert!(html(&page).contains(expected), "{expected}: {}", html(&page));
    }
    let wrong = [("user_name", "ada@galerie.internal"), ("password", "x"), ("action", "approve")];
    assert_eq!(browser.post("/devicelogin", &page, &wrong).await.status, 400);
    let slip = [&typed("approve")[..], &[("new_password", "a longer horse"), ("new_password_again", "a longer hrse")]];
    let slip = browser.post("/devicelogin", &page, &slip.concat()).await.expect(400);
    assert!(html(&slip).contains("not the same") && html(&slip).contains("new_password_again"), "{slip}");
    let done = browser.post("/devicelogin", &page, &typed("approve")).await.expect(200);
    assert!(html(&done).contains("signed in as ada@galerie.internal"), "{done}");
    let tokens = ask(&device).await.expect(200).json();
    assert!(tokens["access_token"].is_string() && tokens["scope"].is_string());
    assert_eq!(ask(&device).await.json()["error"], "invalid_grant");

    let device = begin().await;
    let user_code = device["user_code"].as_str().expect("a code");
    let page = browser.open("/devicelogin").await;
    let page = browser.post("/devicelogin", &page, &[("user_code", user_code), ("action", "next")]).await;
    let _ = browser.post("/devicelogin", &page, &[("action", "deny")]).await.expect(200);
    assert_eq!(ask(&device).await.expect(400).json()["error"], "authorization_declined");
}

#[tokio::test]
async fn device_codes_can_be_switched_off() {
    let gallery = Gallery::start_with(GalleryOptions { device_code: false, ..GalleryOptions::default() }).await;
    let refused = gallery.form("/organizations/oauth2/v2.0/devicecode", &form(&[("client_id", AZ)])).await.expect(400);
    assert_eq!(refused.json()["error"], "unauthorized_client");
    let discovery = Request::get("/organizations/v2.0/.well-known/openid-configuration").body(Body::empty());
    let discovery = gallery.send(discovery.expect("a request")).await.json();
    assert!(discovery.get("device_authorization_endpoint").is_none());
}

#[tokio::test]
async fn the_one_time_link_has_a_page() {
    let graph = Graph::start().await;
    let link = graph.gallery.control.first_link().await.expect("a link").expect("nobody used one");
    let mut browser = Browser::new(&graph.gallery);
    assert_eq!(browser.open("/setup?code=nonsense").await.status, 404);
    let page = browser.open(&format!("/setup?code={}", link.code.expose_secret())).await.expect(200);
    assert!(html(&page).contains("@galerie.internal"));
    let typed = |password: &'static str, again: &'static str| {
        [("user_name", "root"), ("password", password), ("password_again", again), ("action", "make")]
    };
    for (password, again, expected) in
        [("correct horse", "other horse", "not the same"), ("short", "short", "at least 8")]
    {
        let refused = browser.post("/setup", &page, &typed(password, again)).await.expect(400);
        assert!(html(&refused).contains(expected), "{refused}");
    }
    let made = browser.post("/setup", &page, &typed(PASSWORD, PASSWORD)).await.expect(200);
    assert!(html(&made).contains("root@galerie.internal"), "{made}");
    assert_eq!(browser.post("/setup", &page, &typed(PASSWORD, PASSWORD)).await.status, 404);
}

/// A name without its domain is enough where only one can be meant: in a gallery of one tenant, or where the path names it.
#[tokio::test]
async fn a_short_user_name_is_enough_where_it_is_clear() {
    let graph = Graph::start().await;
    graph.user("ada", PASSWORD).await;
    let gallery = &graph.gallery;
    let short = |action: &'static str| [("user_name", "Ada"), ("password", PASSWORD), ("action", action)];
    let at_device = async || {
        let fields = form(&[("client_id", AZ), ("scope", "https://localhost:8443/.default")]);
        let device = gallery.form("/organizations/oauth2/v2.0/devicecode", &fields).await.expect(200).json();
        let mut browser = Browser::new(gallery);
        let page = browser.open("/devicelogin").await.expect(200);
        let typed = [("user_code", device["user_code"].as_str().expect("a code")), ("action", "next")];
        let page = browser.post("/devicelogin", &page, &typed).await.expect(200);
        browser.post("/devicelogin", &page, &short("approve")).await
    };
    let at_page = async |tenant: &str| {
        let path = format!("/{tenant}/oauth2/v2.0/authorize");
        let mut browser = Browser::new(gallery);
        let page = browser.open(&format!("{path}?{}", request(&[]))).await.expect(200);
        browser.post(&path, &page, &short("sign-in")).await
    };
    assert_eq!((at_device().await.status, at_page("organizations").await.status), (200, 303));
    let _ = gallery.second_tenant().await;
    let (device, page) = (at_device().await, at_page("organizations").await);
    assert!(html(&device).contains("AADSTS50126") && html(&page).contains("AADSTS50126"), "{device} {page}");
    assert_eq!(at_page(&gallery.tenant.to_string()).await.status, 303);
}

/// The audit says who was tried, but never what may be a password in the wrong field.
#[tokio::test]
async fn a_failed_sign_in_names_the_user_if_it_is_one() {
    let graph = Graph::start().await;
    graph.user("ada", PASSWORD).await;
    let path = "/organizations/oauth2/v2.0/authorize";
    let mut browser = Browser::new(&graph.gallery);
    let page = browser.open(&format!("{path}?{}", request(&[]))).await.expect(200);
    let tried = [
        "ADA@galerie.internal",
        "ada",
        "eve@galerie.internal",
        "eve",
        "correct horse battery",
        "Tr0ub4dor&3@galerie.internal",
        "eve@elsewhere.example",
        "\u{202E}ada@galerie.internal",
    ];
    for name in tried {
        let typed = [("user_name", name), ("password", "wrong password"), ("action", "sign-in")];
        let refused = browser.post(path, &page, &typed).await;
        assert!(matches!(refused.status, 400 | 429), "{name}: {refused}");
    }
    let rows = rows(&graph.gallery, |rows| {
        rows.iter()
            .filter(|row| row["code"] == "AADSTS50126")
            .filter_map(|row| row["occurrences"].as_u64())
            .sum::<u64>()
            >= tried.len() as u64
    })
    .await;
    let named = |resource: &str| {
        let alike = rows.iter().filter(|row| row["code"] == "AADSTS50126" && row["resource"] == resource);
        alike.filter_map(|row| row["occurrences"].as_u64()).sum::<u64>()
    };
    assert_eq!((named("/users/ada@galerie.internal"), named("/users/eve@galerie.internal")), (2, 1));
    assert_eq!(named(path), 5);
    let all = serde_json::Value::from(rows.clone()).to_string();
    for secret in ["horse", "Tr0ub4dor", "elsewhere", "wrong password"] {
        assert!(!all.contains(secret), "{secret} is in the audit");
    }
    assert!(rows.iter().any(|row| row["action"] == "microsoft.directory/users/signIn"), "{all}");
}
