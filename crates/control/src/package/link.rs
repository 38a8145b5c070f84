//! Links: what a body may say of where a package's bytes are.

use galerie_arm::ArmError;

/// The longest link, in bytes.
const LONGEST_BYTES: usize = 8 * 1024;
/// What the name of a query parameter has in it that makes a link a secret: `sig` of a shared access signature,
/// `X-Amz-Signature`, `access_token`.
const SECRET: [&str; 7] = ["sig", "token", "secret", "credential", "password", "apikey", "api_key"];

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

/// A link as it is kept and shown: without its query, when that holds a secret, as the real service shows it.
pub(crate) fn shown(link: &str) -> &str {
    let Some((before, query)) = link.split_once('?') else { return link };
    let is_secret = |parameter: &str| {
        let name = parameter.split('=').next().unwrap_or_default().to_ascii_lowercase();
        SECRET.iter().any(|part| name.contains(part))
    };
    if query.split('&').any(is_secret) { before } else { link }
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
            ("https://h/p?key=dir/p&version=2", "https://h/p?key=dir/p&version=2"),
        ] {
            assert_eq!(shown(link), expected);
        }
        // Nor in what a refusal repeats.
        let refused = Link::parse("\"https://h/p?sig=abc\"", "t").unwrap_err();
        assert_eq!(refused.message, "Source uri: '\"https://h/p' must be an absolute uri.");
    }
}
