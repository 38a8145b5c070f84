//! `galerie completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{
    Cli,
    failure::{Failure, Result},
};

/// Print a shell's completions for galerie
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  galerie completions bash > ~/.local/share/bash-completion/completions/galerie
  galerie completions zsh > ~/.zfunc/_galerie
  galerie completions fish > ~/.config/fish/completions/galerie.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "galerie", &mut script);
    let script = String::from_utf8(script).map_err(|error| Failure::new(error.to_string()))?;
    super::output::line(script.trim_end())
}
