//! `galerie completions`.

use clap::CommandFactory;
use clap_complete::{CompleteEnv, Shell, env::Shells};

use super::{
    Cli,
    failure::{Failure, Result},
};

/// The variable by which a shell asks the program itself for completions. The usual name, `COMPLETE`, may mean anything to others.
const VARIABLE: &str = "GALERIE_COMPLETE";

/// Print a shell's completions for galerie
///
/// Galleries, image definitions, applications, versions, resource groups, regions, users, groups and service principals are completed,
/// too, by asking the server that the line means, for a second at most.
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

/// Answers a shell that asks for completions, and ends the process; otherwise does nothing.
pub(crate) fn answer_shell() {
    CompleteEnv::with_factory(Cli::command).var(VARIABLE).complete();
}

pub(crate) fn run(args: &CompletionsArgs) -> Result<()> {
    let name = args.shell.to_string();
    let shells = Shells::builtins();
    let shell = shells.completer(&name).ok_or_else(|| Failure::new(format!("there is nothing for {name}")))?;
    // As it was called now: by its name where that is enough for the shell.
    let program = std::env::args().next().unwrap_or_else(|| "galerie".to_owned());
    let mut script = Vec::new();
    let written = shell.write_registration(VARIABLE, "galerie", "galerie", &program, &mut script);
    written.map_err(|error| Failure::new(format!("write the completions: {error}")))?;
    let script = String::from_utf8(script).map_err(|error| Failure::new(error.to_string()))?;
    super::output::line(script.trim_end())
}
