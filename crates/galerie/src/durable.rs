//! Durable small files: written beside, synced, renamed into place. After a crash there is the old file or the new one,
//! never a part of one.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// Puts a file in place of the one there, if any, with exactly this mode.
///
/// Only one process may do so at a time: the name of the file beside is fixed.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let beside = write_beside(path, content, mode)?;
    std::fs::rename(&beside, path)?;
    sync_folder_of(path)
}

/// Makes a file that must not be there, with exactly this mode. Whoever finds it finds all of it.
///
/// Only one process may do so at a time, as with [`replace`].
///
/// # Errors
/// `AlreadyExists`; the file there is left as it is.
pub(crate) fn create(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let beside = write_beside(path, content, mode)?;
    let created = rename_new(&beside, path);
    if created.is_err() {
        // It may hold a secret that is now nobody's.
        let _ = std::fs::remove_file(&beside);
    }
    created.and_then(|()| sync_folder_of(path))
}

/// Renames a file to a name that must not be there.
///
/// # Errors
/// `AlreadyExists`; both files are left as they are.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // File systems without that flag (some network ones) have hard links, which never replace either.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            std::fs::hard_link(from, to).and_then(|()| std::fs::remove_file(from))
        }
        other => other.map_err(io::Error::from),
    }
}

fn write_beside(path: &Path, content: &[u8], mode: u32) -> io::Result<PathBuf> {
    let beside = beside(path);
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    // The umask may have taken bits away.
    file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(beside)
}

/// Makes a rename or a creation in the file's folder survive a power loss.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leftover_from_a_crash_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(beside(&path), "torn").unwrap();
        replace(&path, b"one", 0o600).unwrap();
        replace(&path, b"two", 0o644).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
        assert!(!beside(&path).exists());
    }

    /// Regression: a new file was written in its place. Killed between the creation and the write, the program left it
    /// empty, and refused it at every later start.
    #[test]
    fn a_new_file_is_whole_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(beside(&path), "torn").unwrap();
        let (reading, content) = (path.clone(), vec![7; 8 << 20]);
        let reader = std::thread::spawn(move || {
            loop {
                if let Ok(found) = std::fs::read(&reading) {
                    return found;
                }
            }
        });
        create(&path, &content, 0o600).unwrap();
        assert!(reader.join().unwrap() == content, "a part of the file was seen");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(create(&path, b"two", 0o600).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert!(std::fs::read(&path).unwrap() == content, "the file was replaced");
        assert!(!beside(&path).exists());
    }
}
