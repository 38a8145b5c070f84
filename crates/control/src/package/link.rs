//! Links: what a body may say of where a package's bytes are.

use galerie_arm::ArmError;

/// The longest link, in bytes.
const LONGEST_BYTES: usize = 8 * 1024;
/// Query parameters that say which file it is, and are kept; every other may be a secret, by whatever name. Their values are short
/// words: who hides a secret in one of them knows it.
const HARMLESS: [&str; 20] = [
    "alt", "arch", "branch", "build", "channel", "dl", "download", "file", "filename", "format", "name", "os", "path",
    "platform", "raw", "ref", "release", "tag", "v", "version",
];
const LONGEST_HARMLESS: usize = 64;

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
        let is_id = text.starts_with('/')
            || text.len() >= 14 && text.is_char_boundary(14) && text[..14].eq_ignore_ascii_case("subscriptions/");
        // An id has no query and no user; what is refused for one is not repeated with it.
        if is_id && !text.contains(['?', '#', '@']) {
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

/// A link as it is kept and shown: without its query, as the real service shows one with a signature, unless every parameter is known
/// to be harmless; and without a fragment, which nobody is sent. Compare `?version=2` and `?sig=...`: the first is another file, the
/// second the same with another signature.
pub(crate) fn shown(link: &str) -> &str {
    let before = without_query(link);
    let rest = link[before.len()..].split('#').next().unwrap_or_default();
    let Some(query) = rest.strip_prefix('?') else { return before };
    if query.split('&').all(is_harmless) { &link[..before.len() + rest.len()] } else { before }
}

fn is_harmless(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    let is_word = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
    HARMLESS.contains(&name.to_ascii_lowercase().as_str())
        && value.len() <= LONGEST_HARMLESS
        && value.chars().all(is_word)
}

/// A link as logs and messages have it: without its query, which may hold a secret, and a user. Its path is the file's name, and
/// nothing else.
pub fn without_query(link: &str) -> &str {
    let plain = link.split(['?', '#']).next().unwrap_or_default();
    // Users and passwords are refused, and not repeated.
    if plain.contains('@') { plain.split(['/', ':']).next().unwrap_or_default() } else { plain }
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
            ("https://h/p?v=1#sig=abc", "https://h/p?v=1"),
            ("https://h/p#?v=1", "https://h/p"),
            ("https://h/p?path=dir/p&Version=2.0-rc", "https://h/p?path=dir/p&Version=2.0-rc"),
            // Secrets by names that nobody would think of, or by none.
            ("https://h/p?tempauth=abc", "https://h/p"),
            ("https://h/p?key=abc", "https://h/p"),
            ("https://h/p?a4fbc371", "https://h/p"),
            ("https://h/p?", "https://h/p"),
            ("https://h/p?v=1?sig=abc", "https://h/p"),
            ("https://h/p?v=1,sig=abc", "https://h/p"),
            ("https://h/R%26D/p;v=1?sig=abc", "https://h/R%26D/p;v=1"),
            ("https://h/p?path=https%3A%2F%2Fh%3Fsig%3Dabc", "https://h/p"),
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
        assert!(is_same("https://h/p", "https://h/p?sig=abc") && !is_same("https://h/p", "https://h/p?version=2"));
        let long = format!("https://h/p?path={}", "a".repeat(LONGEST_HARMLESS + 1));
        assert_eq!(shown(&long), "https://h/p");
        // Nor in what a refusal repeats.
        let refused = Link::parse("\"https://h/p?sig=abc\"", "t").unwrap_err();
        assert_eq!(refused.message, "Source uri: '\"https://h/p' must be an absolute uri.");
        for secret in [
            "ftp://u:secret@h/p",
            "/disks/d?sig=secret",
            "subscriptions/s?sig=secret",
            "https://u:secret@h/p",
            "https:/u:secret@h",
            "//u:secret@h",
        ] {
            let refused = Link::parse(secret, "t").unwrap_err();
            assert!(!refused.message.contains("secret"), "{}", refused.message);
        }
    }
}
