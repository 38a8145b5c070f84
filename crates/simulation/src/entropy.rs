//! Randomness from the seed, in a process of its own.
//!
//! Hash maps, ids, and the branches of `select!` draw from the system by `getrandom`. A run is a child process into which a
//! few lines of C are loaded that answer from the seed (`entropy.c`); they are compiled when a simulation is started. They
//! also keep the child on one core: what counts cores then counts the same everywhere.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

const SOURCE: &str = include_str!("entropy.c");
/// Where the child finds the seed, and which of the cores it may use it is to run on.
const SEED: &str = "GALERIE_SIMULATION_SEED";
const CORE: &str = "GALERIE_SIMULATION_CORE";

/// A compiled source of randomness.
#[derive(Debug, Clone)]
pub(crate) struct Entropy(PathBuf);

impl Entropy {
    /// Compiles it into `folder`.
    ///
    /// # Errors
    /// When there is no C compiler (`cc`), or it does not like the source.
    pub(crate) fn build(folder: &Path) -> io::Result<Self> {
        let (source, library) = (folder.join("entropy.c"), folder.join("entropy.so"));
        std::fs::write(&source, SOURCE)?;
        let compiled =
            Command::new("cc").args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status()?;
        if !compiled.success() {
            return Err(io::Error::other(format!("cc: {compiled}")));
        }
        Ok(Self(library))
    }

    /// This program again, with the randomness of a seed, on one core.
    pub(crate) fn child(&self, seed: u64, core: usize) -> io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.env("LD_PRELOAD", &self.0).env(SEED, seed.to_string()).env(CORE, core.to_string());
        Ok(command)
    }
}
