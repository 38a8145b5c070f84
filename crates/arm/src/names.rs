//! The names of resources as types. Inside the program an invalid name does not exist.
//!
//! Names keep the spelling they were given and compare without regard to case, as ARM does: `Eq`, `Ord` and `Hash` agree
//! with [`GalleryName::key`] and its siblings, which is what a unique index stores. Versions compare by number.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use uuid::Uuid;

use crate::error::{ArmError, quoted};

/// A name's spelling with its folded form beside it.
#[derive(Debug, Clone)]
struct Spelling {
    text: Box<str>,
    key: Box<str>,
}

impl Spelling {
    fn new(text: &str) -> Self {
        Self { text: text.into(), key: text.to_lowercase().into() }
    }
}

macro_rules! resource_name {
    ($(#[$meta:meta])* $name:ident, $check:path) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub struct $name(Spelling);

        impl $name {
            /// The name as it was given.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0.text
            }

            /// The folded form: equal for names that ARM holds equal.
            #[must_use]
            pub fn key(&self) -> &str {
                &self.0.key
            }
        }

        impl FromStr for $name {
            type Err = ArmError;

            fn from_str(text: &str) -> Result<Self, ArmError> {
                $check(text)?;
                Ok(Self(Spelling::new(text)))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0.text)
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.0.key == other.0.key
            }
        }

        impl Eq for $name {}

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.0.key.hash(state);
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                self.0.key.cmp(&other.0.key)
            }
        }
    };
}

resource_name!(
    /// 1 to 80 ASCII letters, digits, underscores and periods; begins and ends with a letter or digit; never a dash.
    GalleryName,
    check_gallery
);
resource_name!(
    /// 1 to 80 ASCII letters, digits, dashes, underscores and periods; begins with a letter or digit and ends with neither
    /// dash nor period (`^[^_\W][\w\-._]{0,79}(?<![-.])$`).
    DefinitionName,
    check_definition
);
resource_name!(
    /// 1 to 80 ASCII letters, digits, dashes, underscores and periods; begins with a letter or digit and ends with a letter,
    /// digit or underscore.
    DiskName,
    check_disk
);
resource_name!(
    /// Like a [`DiskName`].
    SnapshotName,
    check_snapshot
);
resource_name!(
    /// Like a [`DiskName`].
    ManagedImageName,
    check_managed_image
);
resource_name!(
    /// 1 to 80 ASCII letters and digits, with single dashes, underscores and periods between them
    /// (`^[a-zA-Z0-9]+([-._]?[a-zA-Z0-9]+)*$`).
    AccessControlProfileName,
    check_access_control_profile
);
resource_name!(
    /// A gallery application's: like a [`DefinitionName`].
    ApplicationName,
    check_application
);
resource_name!(
    /// A gallery script's: like a [`DefinitionName`].
    ScriptName,
    check_script
);
resource_name!(
    /// 1 to 90 letters, digits, underscores, dashes, periods and parentheses, of any script; does not end with a period.
    ResourceGroupName,
    check_resource_group
);

/// Longest name of a Compute resource of ours.
const LONGEST_NAME_CHARS: usize = 80;
/// Longest name of a resource group.
const LONGEST_GROUP_NAME_CHARS: usize = 90;

fn check_gallery(name: &str) -> Result<(), ArmError> {
    let characters = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let ends = |c: char| c.is_ascii_alphanumeric();
    if is_shaped(name, LONGEST_NAME_CHARS, characters, ends, ends) {
        return Ok(());
    }
    let message = format!(
        "Gallery name '{}' is invalid. Allowed characters are English alphanumeric characters, with underscores, and periods \
         allowed in the middle, up to 80 characters total. All other special characters, including dashes, are disallowed.",
        quoted(name)
    );
    Err(ArmError::invalid_parameter("galleryName", message))
}

fn check_definition(name: &str) -> Result<(), ArmError> {
    check_compute(name, "galleryImageName")
}

fn check_application(name: &str) -> Result<(), ArmError> {
    check_compute(name, "galleryApplicationName")
}

fn check_script(name: &str) -> Result<(), ArmError> {
    check_compute(name, "galleryScriptName")
}

fn check_access_control_profile(name: &str) -> Result<(), ArmError> {
    let parameter = "inVMAccessControlProfileName";
    let rule = "^[a-zA-Z0-9]+([-._]?[a-zA-Z0-9]+)*$";
    check_entity(name, parameter, rule, |c| c.is_ascii_alphanumeric())?;
    let is_between = |c: char| matches!(c, '-' | '.' | '_');
    if name.chars().zip(name.chars().skip(1)).any(|(one, next)| is_between(one) && is_between(next)) {
        let message =
            format!("The entity name '{}' is invalid according to its validation rule: {rule}.", quoted(name));
        return Err(ArmError::invalid_parameter(parameter, message));
    }
    Ok(())
}

fn check_disk(name: &str) -> Result<(), ArmError> {
    check_compute(name, "diskName")
}

fn check_snapshot(name: &str) -> Result<(), ArmError> {
    check_compute(name, "snapshotName")
}

fn check_managed_image(name: &str) -> Result<(), ArmError> {
    check_compute(name, "imageName")
}

fn check_compute(name: &str, target: &str) -> Result<(), ArmError> {
    let ends = |c: char| c.is_ascii_alphanumeric() || c == '_';
    check_entity(name, target, r"^[^_\W][\w\-._]{0,79}(?<![-.])$", ends)
}

fn check_entity(name: &str, target: &str, rule: &str, last: impl Fn(char) -> bool) -> Result<(), ArmError> {
    let characters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if is_shaped(name, LONGEST_NAME_CHARS, characters, |c| c.is_ascii_alphanumeric(), &last) {
        return Ok(());
    }
    let trailing = name.chars().next_back().filter(|c| characters(*c) && !last(*c));
    let message = match trailing {
        Some(c) => format!("The provided resource name {} has these invalid trailing characters: {c}.", quoted(name)),
        None => format!("The entity name '{}' is invalid according to its validation rule: {rule}.", quoted(name)),
    };
    Err(ArmError::invalid_parameter(target, message))
}

fn check_resource_group(name: &str) -> Result<(), ArmError> {
    let length = name.chars().count();
    if length > LONGEST_GROUP_NAME_CHARS {
        let message = format!(
            "The resource group name '{}' exceeds the maximum length of '{LONGEST_GROUP_NAME_CHARS}' characters.",
            quoted(name)
        );
        return Err(ArmError::new(400, "InvalidResourceGroup", message));
    }
    let characters = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '(' | ')');
    if length > 0 && name.chars().all(characters) && !name.ends_with('.') {
        return Ok(());
    }
    let invalid: String = name.chars().filter(|c| !characters(*c)).collect();
    let message = if invalid.is_empty() {
        format!(
            "The provided resource group name '{}' is not valid: it cannot be empty or end with a period.",
            quoted(name)
        )
    } else {
        format!(
            "The provided resource group name '{}' has these invalid characters: '{}'. The name can only be a letter, digit, \
             '-', '.', '(', ')' or '_'.",
            quoted(name),
            quoted(&invalid)
        )
    };
    Err(ArmError::new(400, "InvalidResourceGroup", message))
}

/// Whether a name has 1 to `longest` characters, all of them `allowed`, the first and the last also fit for the ends.
fn is_shaped(
    name: &str,
    longest: usize,
    allowed: impl Fn(char) -> bool,
    first: impl Fn(char) -> bool,
    last: impl Fn(char) -> bool,
) -> bool {
    name.chars().all(allowed)
        && name.chars().count() <= longest
        && name.chars().next().is_some_and(first)
        && name.chars().next_back().is_some_and(last)
}

/// The name of an image version: `Major.Minor.Patch`, each fitting a 32-bit signed integer.
///
/// Leading zeros are accepted, because pipelines name versions by date (`2024.03.09`): the spelling is kept and answered, while
/// equality, order and [`VersionName::key`] go by number, so `1.02.0` and `1.2.0` are one version.
#[derive(Debug, Clone)]
pub struct VersionName {
    numbers: [u32; 3],
    text: Box<str>,
}

impl VersionName {
    /// Longest spelling that is read, leading zeros included.
    const LONGEST_TEXT_BYTES: usize = 48;

    /// A version from its numbers.
    ///
    /// # Errors
    /// When a number does not fit a 32-bit signed integer.
    pub fn new(major: u32, minor: u32, patch: u32) -> Result<Self, ArmError> {
        format!("{major}.{minor}.{patch}").parse()
    }

    /// The first number.
    #[must_use]
    pub const fn major(&self) -> u32 {
        self.numbers[0]
    }

    /// The second number.
    #[must_use]
    pub const fn minor(&self) -> u32 {
        self.numbers[1]
    }

    /// The third number.
    #[must_use]
    pub const fn patch(&self) -> u32 {
        self.numbers[2]
    }

    /// All three, in order; each at most `i32::MAX`.
    #[must_use]
    pub const fn numbers(&self) -> [u32; 3] {
        self.numbers
    }

    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name without leading zeros: equal for equal versions.
    #[must_use]
    pub fn key(&self) -> String {
        let [major, minor, patch] = self.numbers;
        format!("{major}.{minor}.{patch}")
    }

    fn parse_numbers(text: &str) -> Option<[u32; 3]> {
        if text.len() > Self::LONGEST_TEXT_BYTES {
            return None;
        }
        let mut parts = text.split('.');
        let mut number = || {
            let digits = parts.next()?;
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            if is_number { digits.parse::<u32>().ok().filter(|n| i32::try_from(*n).is_ok()) } else { None }
        };
        let numbers = [number()?, number()?, number()?];
        parts.next().is_none().then_some(numbers)
    }
}

impl FromStr for VersionName {
    type Err = ArmError;

    fn from_str(text: &str) -> Result<Self, ArmError> {
        match Self::parse_numbers(text) {
            Some(numbers) => Ok(Self { numbers, text: text.into() }),
            None => {
                let message = format!(
                    "The image version name '{}' is invalid. The image version name should follow \
                     Major(int).Minor(int).Patch(int) format, for e.g: 1.0.0, 2018.12.1 etc.",
                    quoted(text)
                );
                Err(ArmError::invalid_parameter("galleryImageVersionName", message))
            }
        }
    }
}

impl fmt::Display for VersionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for VersionName {
    fn eq(&self, other: &Self) -> bool {
        self.numbers == other.numbers
    }
}

impl Eq for VersionName {}

impl Hash for VersionName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.numbers.hash(state);
    }
}

impl PartialOrd for VersionName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for VersionName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers)
    }
}

/// A subscription: a GUID, written in lower case with dashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId(Uuid);

impl SubscriptionId {
    /// The subscription with this GUID.
    #[must_use]
    pub const fn new(id: Uuid) -> Self {
        Self(id)
    }

    /// Its GUID.
    #[must_use]
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl FromStr for SubscriptionId {
    type Err = ArmError;

    fn from_str(text: &str) -> Result<Self, ArmError> {
        // Only the hyphenated form: the uuid crate also reads braces and URNs.
        let hyphenated = if text.len() == 36 { Uuid::try_parse(text).ok() } else { None };
        hyphenated.map(Self).ok_or_else(|| ArmError::invalid_subscription_id(text))
    }
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check<N: FromStr<Err = ArmError>>(good: &[&str], bad: &[&str]) {
        for name in good {
            assert!(name.parse::<N>().is_ok(), "{name}");
        }
        for name in bad {
            assert_eq!(name.parse::<N>().err().map(|error| error.status), Some(400), "{name}");
        }
    }

    #[test]
    fn rules() {
        let (x80, x81, x90, x91) = ("x".repeat(80), "x".repeat(81), "x".repeat(90), "x".repeat(91));
        check::<GalleryName>(
            &["a", "myGallery", "my_Gallery.1", "9", "a__b", &x80],
            &["", "my-gallery", "_a", "a_", ".a", "a.", "a b", "ä", "a/b", "a\n", &x81],
        );
        check::<DefinitionName>(
            &["a", "ubuntu-web", "a_", "a.b-c_d", &x80],
            &["", "_a", "-a", ".a", "a-", "a.", "ä", "a b", &x81],
        );
        check::<DiskName>(&["disk1", "d_"], &["", "d-", "d.", "d/e", &x81]);
        check::<ResourceGroupName>(
            &["myGalleryRG", "(a)-b_c.d", "Gruppe-ß", &x90],
            &["", "a.", "a b", "a/b", "a%", &x91],
        );
        check::<VersionName>(
            &["1.0.0", "2018.12.1", "2147483647.0.0", "2024.03.09", "000.0.0"],
            &[
                "",
                "1.0",
                "1.0.0.0",
                "2147483648.0.0",
                "1.-1.0",
                "1.+1.0",
                "v1.0.0",
                "1.0.0 ",
                "1..0",
                "latest",
                "１.0.0",
            ],
        );
        check::<SubscriptionId>(
            &["F4662C1D-e072-46af-8700-b8ca2968ccab"],
            &["", "f4662c1de07246af8700b8ca2968ccab", "{f4662c1d-e072-46af-8700-b8ca2968ccab}", "x"],
        );
    }

    #[test]
    fn texts_and_targets() {
        let error = "my-gallery".parse::<GalleryName>().unwrap_err();
        assert_eq!((error.code.as_ref(), error.target.as_deref()), ("InvalidParameter", Some("galleryName")));
        let error = "a.".parse::<DefinitionName>().unwrap_err();
        assert_eq!(error.message, "The provided resource name a. has these invalid trailing characters: ..");
        let error = "a b".parse::<DiskName>().unwrap_err();
        assert!(error.message.starts_with("The entity name 'a b' is invalid according to its validation rule: "));
        // As in Azure/azure-cli issue 14481.
        let error = "a b".parse::<ResourceGroupName>().unwrap_err();
        assert_eq!(
            error.message,
            "The provided resource group name 'a b' has these invalid characters: ' '. The name can only be a letter, digit, '-', \
             '.', '(', ')' or '_'."
        );
        let error = "1.0".parse::<VersionName>().unwrap_err();
        assert!(error.message.ends_with("Major(int).Minor(int).Patch(int) format, for e.g: 1.0.0, 2018.12.1 etc."));
    }

    #[test]
    fn names_compare_without_case_and_keep_their_spelling() {
        let (a, b): (GalleryName, GalleryName) = ("MyGallery".parse().unwrap(), "mygallery".parse().unwrap());
        assert_eq!(a, b);
        assert_eq!((a.to_string().as_str(), a.key()), ("MyGallery", "mygallery"));
    }

    proptest! {
        #[test]
        fn versions_order_by_number(a in prop::array::uniform3(0_u32..=0x7FFF_FFFF), b in prop::array::uniform3(0_u32..=3)) {
            let name = |n: [u32; 3]| VersionName::new(n[0], n[1], n[2]).unwrap();
            prop_assert_eq!(name(a).cmp(&name(b)), a.cmp(&b));
            let zeros: VersionName = format!("0{}.00{}.{}", a[0], a[1], a[2]).parse().unwrap();
            prop_assert_eq!(&zeros, &name(a));
            prop_assert_eq!(zeros.key(), name(a).to_string());
        }

        #[test]
        fn any_text_is_answered(text in ".{0,100}") {
            let _ = text.parse::<GalleryName>();
            let _ = text.parse::<DefinitionName>();
            let _ = text.parse::<VersionName>();
            let _ = text.parse::<ResourceGroupName>();
            let _ = text.parse::<SubscriptionId>();
        }

        #[test]
        fn what_is_accepted_matches_the_documented_pattern(text in "[a-b_.-]{0,6}") {
            let inner = !text.starts_with(['_', '.', '-']) && !text.ends_with(['.', '-']) && !text.is_empty();
            prop_assert_eq!(text.parse::<DefinitionName>().is_ok(), inner);
            prop_assert_eq!(text.parse::<GalleryName>().is_ok(), inner && !text.contains('-') && !text.ends_with('_'));
        }
    }
}
