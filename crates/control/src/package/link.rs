//! Links: what a body may say of where a package's bytes are.

use galerie_arm::ArmError;

/// The longest link, in bytes.
const LONGEST_BYTES: usize = 8 * 1024;
/// What the name of a query parameter has in it, without case and separators, that makes a link a secret: `sig` of a shared access
/// signature, `X-Amz-Signature`, `access_token`, `Ocp-Apim-Subscription-Key`.
const SECRET_PARTS: [&str; 14] = [
    "sig",
    "token",
    "secret",
    "credential",
    "passw",
    "pwd",
    "apikey",
    "subscriptionkey",
    "accesskey",
    "authkey",
    "authorization",
    "hmac",
    "jwt",
    "session",
];
/// What such a name is, alone: `code` of a function's key.
const SECRET_NAMES: [&str; 5] = ["code", "auth", "pass", "psk", "privatekey"];

/// A link, taken apart as far as the rules need it; whoever fetches a URL reads it whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link<'a> {
    /// What can be fetched.
    Url(&'a str),
    /// The id of a disk or snapshot here.
    Disk(&'a str),
}

impl<'a> Link<'a> {
    /// Reads a link. `target` is the property that holds it.
    ///
    /// # Errors
    /// `InvalidParameter`: no absolute URI of http or https, a user's name or password in it, too long.
    pub(crate) fn parse(text: &'a str, target: &str) -> Result<Self, ArmError> {
        let text = text.trim();
        if text.starts_with('/')
            || text.len() >= 14 && text.is_char_boundary(14) && text[..14].eq_ignore_ascii_case("subscriptions/")
        {
            return Ok(Self::Disk(text));
        }
        let is_plain = text.len() <= LONGEST_BYTES && text.chars().all(|c| c.is_ascii_graphic());
        let rest = ["https://", "http://"].into_iter().find_map(|scheme| {
            let found = text.get(..scheme.len())?;
            found.eq_ignore_ascii_case(scheme).then(|| &text[scheme.len()..])
        });
        let Some(rest) = rest.filter(|_| is_plain) else {
            return Err(ArmError::source_uri_not_absolute(without_query(text), target));
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.is_empty() {
            return Err(ArmError::source_uri_not_absolute(without_query(text), target));
        }
        if authority.contains('@') {
            let message = "The link must not have a user's name or password in it.";
            return Err(ArmError::invalid_parameter(target, message));
        }
        Ok(Self::Url(text))
    }
}

/// Whether a link that is sent names what a stored one does: a URL to the letter, but for a signature; an id whatever its case.
pub(crate) fn is_same(stored: &str, sent: &str) -> bool {
    match (Link::parse(stored, ""), Link::parse(sent, "")) {
        (Ok(Link::Url(stored)), Ok(Link::Url(sent))) => shown(stored) == shown(sent),
        (Ok(Link::Disk(stored)), Ok(Link::Disk(sent))) => {
            stored.trim_start_matches('/').eq_ignore_ascii_case(sent.trim_start_matches('/'))
        }
        _ => false,
    }
}

/// A link as it is kept and shown: without its query, when that holds a secret, as the real service shows it, and without a
/// fragment, which nobody is sent.
pub(crate) fn shown(link: &str) -> &str {
    let link = link.split('#').next().unwrap_or_default();
    let Some((before, query)) = link.split_once('?') else { return link };
    if query.split(['&', ';']).any(is_secret) { before } else { link }
}

/// Whether a query parameter is a secret, by its name. Who writes a name in percent signs hides it.
fn is_secret(parameter: &str) -> bool {
    let name = parameter.split('=').next().unwrap_or_default();
    if name.contains('%') {
        return true;
    }
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    SECRET_NAMES.contains(&name.as_str()) || SECRET_PARTS.iter().any(|part| name.contains(part))
}

/// A link as logs and messages have it.
pub(crate) fn without_query(link: &str) -> &str {
    link.split(['?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_told_apart() {
        let disk = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/d";
        for (text, expected) in [
            ("https://h/p?sig=x", Some(Link::Url("https://h/p?sig=x"))),
            (" HTTP://h ", Some(Link::Url("HTTP://h"))),
            (disk, Some(Link::Disk(disk))),
            (&disk[1..], Some(Link::Disk(&disk[1..]))),
            ("ftp://h/p", None),
            ("file:///etc/passwd", None),
            ("h/p", None),
            ("https://", None),
            ("https:///p", None),
            ("https://u:p@h/p", None),
            ("https://h/a b", None),
            ("https://h/\u{e4}", None),
            ("\"https://h/p\"", None),
        ] {
            assert_eq!(Link::parse(text, "t").ok(), expected, "{text}");
        }
        assert!(Link::parse(&format!("https://h/{}", "x".repeat(LONGEST_BYTES)), "t").is_err());
    }

    #[test]
    fn a_signature_is_not_shown() {
        for (link, expected) in [
            ("https://h/p", "https://h/p"),
            ("https://h/p?v=1", "https://h/p?v=1"),
            ("https://h/p?sv=2020&sig=abc%2B&se=1", "https://h/p"),
            ("https://h/p?SIG=abc", "https://h/p"),
            ("https://h/p?X-Amz-Date=1&X-Amz-Signature=abc", "https://h/p"),
            ("https://h/p?private_token=abc", "https://h/p"),
            ("https://h/p?s%69g=abc", "https://h/p"),
            ("https://h/p?v=1;code=abc", "https://h/p"),
            ("https://h/p?Ocp-Apim-Subscription-Key=abc", "https://h/p"),
            ("https://h/p?user=u&PWD=abc", "https://h/p"),
            ("https://h/p?api.key=abc", "https://h/p"),
            ("https://h/p?v=1#sig=abc", "https://h/p?v=1"),
            ("https://h/p?key=dir/p&version=2", "https://h/p?key=dir/p&version=2"),
            ("https://h/p?encode=1&author=me", "https://h/p?encode=1&author=me"),
        ] {
            assert_eq!(shown(link), expected);
        }
        for (sent, is_same_as) in [
            ("https://h/p?v=1", true),
            (" https://h/p?v=1 ", true),
            ("https://h/P?v=1", false),
            ("HTTPS://h/p?v=1", false),
            ("https://h/p", false),
            ("/h/p?v=1", false),
        ] {
            assert_eq!(is_same("https://h/p?v=1", sent), is_same_as, "{sent}");
        }
        assert!(is_same("/subscriptions/s/disks/D", "subscriptions/S/disks/d"));
        // Nor in what a refusal repeats.
        let refused = Link::parse("\"https://h/p?sig=abc\"", "t").unwrap_err();
        assert_eq!(refused.message, "Source uri: '\"https://h/p' must be an absolute uri.");
    }
}
