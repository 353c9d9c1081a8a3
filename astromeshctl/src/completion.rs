//! `completion`: what a shell has to know to complete this command line, from the definitions that parse it.

use crate::command::{CommandLine, Shell};
use crate::outcome::Outcome;
use argh::ArgsInfo;
use argh_complete::{Generator, bash::Bash, fish::Fish, zsh::Zsh};

pub(crate) fn script(shell: Shell) -> Outcome {
    let generate = match shell {
        Shell::Bash => Bash::generate,
        Shell::Zsh => Zsh::generate,
        Shell::Fish => Fish::generate,
    };
    let script = generate("astromeshctl", &CommandLine::get_args_info());
    Outcome::done(script.trim_end().to_owned())
}
