//! `galerie completions`.

use std::{ffi::OsStr, path::Path};

use clap::{Command, CommandFactory, ValueHint};
use clap_complete::{
    CompleteEnv, Shell,
    engine::{ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter},
    env::{EnvCompleter, Shells},
};

use super::{
    Cli,
    failure::{Failure, Result},
    names::is_plain,
    quoting::for_shell,
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
    // These quote what they insert; bash does not, and what is left to it, it completes and quotes itself.
    let quotes_itself = std::env::var(VARIABLE).is_ok_and(|shell| matches!(shell.as_str(), "fish" | "zsh" | "elvish"));
    let command = move || if quotes_itself { Cli::command() } else { with_plain_paths(Cli::command()) };
    CompleteEnv::with_factory(command).var(VARIABLE).complete();
}

/// The command, completing such files only as a shell takes for what they are.
fn with_plain_paths(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        let is_path = matches!(arg.get_value_hint(), ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath);
        let is_ours = arg.get::<ArgValueCompleter>().is_some();
        if is_path && !is_ours { arg.add(ArgValueCompleter::new(plain_paths)) } else { arg }
    });
    command.mut_subcommands(with_plain_paths)
}

fn plain_paths(typed: &OsStr) -> Vec<CompletionCandidate> {
    let is_plain_path = |candidate: &CompletionCandidate| {
        let parts = candidate.get_value().to_str().map(|path| path.split('/'));
        let is_plain_part = |part: &str| {
            let name = part.trim_start_matches('.');
            name.is_empty() || is_plain(name)
        };
        parts.is_some_and(|mut parts| parts.all(is_plain_part))
    };
    PathCompleter::any().complete(typed).into_iter().filter(is_plain_path).collect()
}

pub(crate) fn run(args: &CompletionsArgs) -> Result<()> {
    let name = args.shell.to_string();
    let shells = Shells::builtins();
    let shell = shells.completer(&name).ok_or_else(|| Failure::new(format!("there is nothing for {name}")))?;
    let program = std::env::args().next().unwrap_or_else(|| "galerie".to_owned());
    let program = program_from_anywhere(&program)?;
    super::output::line(script(shell, &program)?.trim_end())
}

/// What stands for the program in a script until that is whole: the templates of bash and zsh quote a path once and have it read twice.
const PROGRAM: &str = "galerie-program";

fn script(shell: &dyn EnvCompleter, program: &str) -> Result<String> {
    let is_quoted_here = matches!(shell.name(), "bash" | "zsh");
    let called = if is_quoted_here { PROGRAM } else { program };
    let mut script = Vec::new();
    let written = shell.write_registration(VARIABLE, "galerie", "galerie", called, &mut script);
    written.map_err(|error| Failure::new(format!("write the completions: {error}")))?;
    let script = String::from_utf8(script).map_err(|error| Failure::new(error.to_string()))?;
    if !is_quoted_here {
        return Ok(script);
    }
    // What is left to bash, such as files with a space in their names, bash completes and quotes.
    let script = script.replace("-o bashdefault ", "-o bashdefault -o default ");
    let place = if shell.name() == "bash" { format!("\"{PROGRAM}\"") } else { PROGRAM.to_owned() };
    Ok(script.replace(&place, &for_shell(program)))
}

/// As it was called now: by its name where that is enough for the shell, else by a path that is good in every directory: another one
/// may have a program of that name.
fn program_from_anywhere(program: &str) -> Result<String> {
    if !program.contains('/') {
        return Ok(program.to_owned());
    }
    let absolute = std::path::absolute(Path::new(program)).map_err(|error| Failure::new(error.to_string()))?;
    Ok(absolute.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_a_shell_would_run_are_not_completed() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["image.qcow2", ".hidden", "a b", "x$(touch y)", "x;id", "-rf", "x`id`"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let typed = format!("{}/", folder.path().to_str().unwrap());
        let mut found: Vec<String> = plain_paths(typed.as_ref())
            .iter()
            .filter_map(|candidate| candidate.get_value().to_str()?.strip_prefix(&typed).map(str::to_owned))
            .collect();
        found.sort();
        assert_eq!(found, [".hidden", "image.qcow2"]);
    }

    #[test]
    fn every_path_is_completed_so() {
        fn check(command: &Command) {
            for arg in command.get_arguments() {
                let is_path =
                    matches!(arg.get_value_hint(), ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath);
                assert!(
                    !is_path || arg.get::<ArgValueCompleter>().is_some(),
                    "{} {}",
                    command.get_name(),
                    arg.get_id()
                );
            }
            command.get_subcommands().for_each(check);
        }
        check(&with_plain_paths(Cli::command()));
    }

    /// Regression: bash ran what stood in the path of the program.
    #[test]
    fn bash_calls_the_program_wherever_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("a b/x$(touch ran)'`touch ran`/VAR NAME BIN/galerie-programs");
        std::fs::create_dir_all(&place).unwrap();
        let program = place.join("galerie");
        std::fs::write(&program, "#!/bin/sh\nprintf 'asked-by-%s' \"$GALERIE_COMPLETE\"\n").unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let shells = Shells::builtins();
        let script = script(shells.completer("bash").unwrap(), program.to_str().unwrap()).unwrap();
        let asked = format!(
            "{script}\nCOMP_WORDS=(galerie x); COMP_CWORD=1\n_clap_complete_galerie galerie x\nprintf '%s' \"${{COMPREPLY[@]}}\""
        );
        let bash = std::process::Command::new("bash").args(["-c", &asked]).current_dir(folder.path()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&bash.stdout), "asked-by-bash", "{}", String::from_utf8_lossy(&bash.stderr));
        assert!(!folder.path().join("ran").exists());
    }

    #[test]
    fn zsh_reads_the_programs_path_as_it_is() {
        let shells = Shells::builtins();
        let script = script(shells.completer("zsh").unwrap(), "/a b/VAR/galerie").unwrap();
        assert!(script.contains("\n        '/a b/VAR/galerie' -- "), "{script}");
    }

    #[test]
    fn the_script_calls_the_same_program_in_every_directory() {
        assert_eq!(program_from_anywhere("galerie").unwrap(), "galerie");
        for called in ["./galerie", "target/release/galerie"] {
            assert!(Path::new(&program_from_anywhere(called).unwrap()).is_absolute(), "{called}");
        }
    }
}
