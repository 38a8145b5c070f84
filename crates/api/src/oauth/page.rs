//! Pages for people: plain HTML, no script, under a policy that allows one style and posts to named places.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use galerie_control::Identity;
use uuid::Uuid;

use crate::query::Query;

/// The browser's half of a form's token. Its name makes browsers insist on HTTPS, this host alone and no domain (RFC 6265bis).
const COOKIE: &str = "__Host-galerie-form";

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;margin:0;display:grid;place-items:center;min-height:100vh;background:Canvas;color:CanvasText}\
main{width:min(24rem,90vw);padding:2rem 0}\
h1{font-size:1.4rem;margin:0 0 1rem}\
label{display:block;margin:.8rem 0 .2rem}\
input{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;border:1px solid GrayText;border-radius:4px;background:Field;color:FieldText}\
button{font:inherit;margin:1.2rem .5rem 0 0;padding:.5rem 1.4rem;border:0;border-radius:4px;background:#0f6cbd;color:#fff;cursor:pointer}\
button.second{background:transparent;color:LinkText;outline:1px solid GrayText}\
.error{border-left:4px solid #c50f1f;padding:.3rem .8rem;margin:1rem 0}\
dl{margin:1rem 0;padding:.6rem .8rem;border:1px solid GrayText;border-radius:4px}\
dt{font-size:.85rem;opacity:.8}dd{margin:0 0 .4rem;overflow-wrap:anywhere}\
small{opacity:.8}";

/// A page that is being put together.
pub(super) struct Page {
    status: u16,
    title: &'static str,
    content: String,
    /// Where its forms may end beside this server.
    form_target: Option<String>,
    cookie: Option<String>,
}

impl Page {
    pub(super) fn new(status: u16, title: &'static str) -> Self {
        let content = format!("<h1>{}</h1>", escaped(title));
        Self { status, title, content, form_target: None, cookie: None }
    }

    /// A paragraph.
    pub(super) fn text(mut self, text: &str) -> Self {
        self.content.push_str(&format!("<p>{}</p>", escaped(text)));
        self
    }

    /// What went wrong, if anything did.
    pub(super) fn error(mut self, message: Option<&str>) -> Self {
        if let Some(message) = message {
            self.content.push_str(&format!("<p class=\"error\" role=\"alert\">{}</p>", escaped(message)));
        }
        self
    }

    /// Names and what they are.
    pub(super) fn facts(mut self, facts: &[(&str, &str)]) -> Self {
        let rows = facts.iter().map(|(name, fact)| format!("<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(fact)));
        self.content.push_str(&format!("<dl>{}</dl>", rows.collect::<String>()));
        self
    }

    pub(super) fn form(mut self, form: Form) -> Self {
        if let Some(cookie) = form.cookie {
            self.cookie = Some(cookie);
        }
        self.content.push_str(&format!(
            "<form method=\"post\" action=\"{}\">{}</form>",
            escaped(&form.action),
            form.content
        ));
        self
    }

    /// Lets forms, and the redirects that answer them, lead to a client.
    pub(super) fn leading_to(mut self, redirect_uri: &str) -> Self {
        self.form_target = origin(redirect_uri);
        self
    }

    /// The answer.
    pub(super) fn response(self) -> Response {
        let nonce = Uuid::new_v4().simple();
        let target = self.form_target.map(|target| format!(" {target}")).unwrap_or_default();
        let policy = format!(
            "default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'{target}; base-uri 'none'; frame-ancestors 'none'"
        );
        let html = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{} - Galerie</title>\
             <style nonce=\"{nonce}\">{STYLE}</style></head><body><main>{}</main></body></html>",
            escaped(self.title),
            self.content
        );
        let mut response = Response::new(Body::from(html));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_FRAME_OPTIONS, "DENY"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        let cookie = self.cookie.map(|cookie| format!("{COOKIE}={cookie}; Path=/; Secure; HttpOnly; SameSite=Strict"));
        if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
            headers.insert(header::SET_COOKIE, cookie);
        }
        response
    }
}

/// A form that is being put together.
pub(super) struct Form {
    action: String,
    content: String,
    cookie: Option<String>,
}

impl Form {
    /// A form of this server's, guarded: only who was shown it in the same browser can post it.
    pub(super) fn guarded(action: &str, identity: &Identity, headers: &HeaderMap) -> Self {
        let cookie = cookie(headers).unwrap_or_else(|| Uuid::new_v4().simple().to_string());
        let token = identity.form_token(&cookie);
        let form = Self { action: action.to_owned(), content: String::new(), cookie: Some(cookie) };
        form.hidden("form_token", &token)
    }

    /// A form of a client's.
    pub(super) fn foreign(action: &str) -> Self {
        Self { action: action.to_owned(), content: String::new(), cookie: None }
    }

    pub(super) fn hidden(mut self, name: &str, value: &str) -> Self {
        let input = format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">", escaped(name), escaped(value));
        self.content.push_str(&input);
        self
    }

    /// A field; `kind` is `text` or `password`, `completes` what browsers fill in.
    pub(super) fn field(mut self, label: &str, name: &str, kind: &str, completes: &str, value: &str) -> Self {
        self.content.push_str(&format!(
            "<label for=\"{name}\">{}</label><input id=\"{name}\" name=\"{name}\" type=\"{kind}\" autocomplete=\"{completes}\" \
             value=\"{}\" maxlength=\"256\" required>",
            escaped(label),
            escaped(value)
        ));
        self
    }

    /// Another password, twice.
    pub(super) fn new_password(self) -> Self {
        self.field("New password", NEW_PASSWORD, "password", "new-password", "").field(
            "New password, again",
            "new_password_again",
            "password",
            "new-password",
            "",
        )
    }

    /// A button that says what is decided.
    pub(super) fn button(mut self, text: &str, value: &str, is_first: bool) -> Self {
        let (class, checks) = if is_first { ("", "") } else { (" class=\"second\"", " formnovalidate") };
        self.content.push_str(&format!(
            "<button{class}{checks} name=\"action\" value=\"{}\">{}</button>",
            escaped(value),
            escaped(text)
        ));
        self
    }
}

/// The field of [`Form::new_password`].
pub(super) const NEW_PASSWORD: &str = "new_password";

/// Whether another password that was posted is the same both times.
pub(super) fn is_new_password_repeated(form: &Query) -> bool {
    form.get(NEW_PASSWORD) == form.get("new_password_again")
}

/// Whether a form was posted by who was shown it.
pub(super) fn is_guarded(identity: &Identity, headers: &HeaderMap, form: &Query) -> bool {
    let token = form.get("form_token").unwrap_or_default();
    cookie(headers).is_some_and(|cookie| identity.is_form_token(&cookie, token))
}

/// The browser's cookie, if it can be ours.
fn cookie(headers: &HeaderMap) -> Option<String> {
    let texts = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let value = pairs.find(|(name, _)| *name == COOKIE)?.1;
    Uuid::try_parse(value).ok().map(|id| id.simple().to_string())
}

/// Scheme, host and port of a URI, as a policy names a place; a scheme alone where there is no host.
fn origin(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once(':')?;
    let place = match rest.strip_prefix("//") {
        Some(rest) if matches!(scheme, "http" | "https") => {
            format!("{scheme}://{}", rest.split(['/', '?']).next().unwrap_or_default())
        }
        _ => format!("{scheme}:"),
    };
    // A policy's words and clauses end at these.
    (!place.contains([' ', ';', ',', '\'', '"'])).then_some(place)
}

/// As text in HTML, between tags or in a quoted attribute.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_texts() {
        let form = Form::foreign("https://x/\"><script>").hidden("state", "\"><script>alert(1)</script>");
        let response = Page::new(200, "Test").text("<b>&'").form(form).leading_to("https://x:1/y").response();
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert!(policy.contains("form-action 'self' https://x:1;") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(escaped("<b a=\"'\">&"), "&lt;b a=&quot;&#39;&quot;&gt;&amp;");
    }

    #[test]
    fn places_of_a_policy() {
        for (uri, expected) in [
            ("http://localhost:8400/x?y", Some("http://localhost:8400")),
            ("https://app.example", Some("https://app.example")),
            ("msal04b0://auth", Some("msal04b0:")),
            ("urn:ietf:wg:oauth:2.0:oob", Some("urn:")),
            ("https://a;script-src *", None),
            ("x", None),
        ] {
            assert_eq!(origin(uri).as_deref(), expected, "{uri}");
        }
    }
}
