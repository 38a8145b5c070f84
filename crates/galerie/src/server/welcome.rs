//! What a started server says to the person who started it.

use std::{
    fmt::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use super::config::Fault;
use crate::cli::DEFAULT_DATA_DIR;

/// What there is to say.
pub(super) struct Welcome<'a> {
    pub(super) endpoint: &'a str,
    /// As the person wrote it.
    pub(super) data_dir: &'a Path,
    pub(super) regions: &'a [String],
    pub(super) admin_file: Option<&'a Path>,
    pub(super) ca_file: Option<&'a Path>,
    pub(super) metrics: Option<SocketAddr>,
    pub(super) faults: &'a [Fault],
    /// The one-time link for the first user, when it was made just now.
    pub(super) link: Option<&'a str>,
}

impl Welcome<'_> {
    /// The whole text.
    pub(super) fn text(&self) -> String {
        let mut text = format!("Galerie {} is ready at {}\n\n", env!("CARGO_PKG_VERSION"), self.endpoint);
        let path = |path: &Path| path.display().to_string();
        let facts = [
            ("regions", Some(self.regions.join(", "))),
            ("administrator", self.admin_file.map(path)),
            ("authority", self.ca_file.map(path)),
            ("metrics", self.metrics.map(|address| format!("http://{address}/metrics"))),
        ];
        for (name, fact) in facts.into_iter().filter_map(|(name, fact)| Some((name, fact?))) {
            let _ = writeln!(text, "  {name:<14} {fact}");
        }
        for fault in self.faults {
            let _ = writeln!(text, "  {:<14} {}", "FAULT", fault.text);
        }
        if let Some(link) = self.link {
            let _ = write!(
                text,
                "\nTo sign in as a person, open this link once, within 7 days, and choose a user name and a password:\n\n  \
                 {link}\n"
            );
        }
        // Commands find the default directory by themselves.
        let data_dir = match self.data_dir == Path::new(DEFAULT_DATA_DIR) {
            true => String::new(),
            false => format!(" --data-dir {}", shown(self.data_dir)),
        };
        if self.admin_file.is_none() {
            let _ = write!(
                text,
                "\nThere is no admin.json here. Use the one beside another process; where there is none, stop the server, and\n\n  \
                 galerie admin reset{data_dir}\n\nmakes a new administrator.\n\nCtrl-C stops the server.\n"
            );
            return text;
        }
        let _ = write!(
            text,
            "\nNext, in another terminal:\n\n  \
             galerie publish web.qcow2 myGallery/ubuntu-web/1.0.0 --create --target-region {region}{data_dir}\n  \
             galerie connect az{data_dir}        # the lines that connect the Azure CLI\n  \
             galerie --help\n\nCtrl-C stops the server.\n",
            region = self.regions.first().map_or("eastus", String::as_str),
        );
        text
    }
}

/// A path as a shell reads it back, for the usual ones.
fn shown(path: &Path) -> String {
    let path: PathBuf = path.to_owned();
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_need_the_administrator_are_shown_where_it_is() {
        let text = |admin_file: Option<&Path>| {
            let data_dir = Path::new("restored");
            let (regions, ca_file) = (["eastus".to_owned()], Some(Path::new("ca.pem")));
            let endpoint = "https://localhost:8443";
            let (regions, faults) = (&regions[..], &[][..]);
            Welcome { endpoint, data_dir, regions, admin_file, ca_file, metrics: None, faults, link: None }.text()
        };
        let (with, without) = (text(Some(Path::new("admin.json"))), text(None));
        assert!(with.contains("galerie publish") && !with.contains("admin reset"), "{with}");
        assert!(
            without.contains("galerie admin reset --data-dir restored") && !without.contains("publish"),
            "{without}"
        );
    }
}
