//! What settings give, before one deploys them: `cargo run --release --example simulate -- --nodes 500 --loss 5`.
//!
//! Real nodes in one thread, on a network and a clock that are imagined. They join, are left in peace, some are killed,
//! the mesh is cut in halves and mended; what it took is printed. The same options and seed print the same.

#[path = "simulate/options.rs"]
mod options;
#[path = "simulate/plot.rs"]
mod plot;
#[path = "simulate/progress.rs"]
pub(crate) mod progress;
#[path = "simulate/report.rs"]
mod report;
#[path = "simulate/scene.rs"]
mod scene;

use astromesh_core::arguments::{self, Parsed};
use options::{GRAMMAR, Options, Plan};
use progress::Progress;
use scene::Scene;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// Why there is no answer, or only a part of one.
#[derive(Debug)]
enum Trouble {
    /// The options cannot be followed.
    Usage(String),
    /// Something else went wrong.
    Failed(String),
}

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1);
    let (mut out, mut err) = (io::stdout().lock(), io::stderr());
    ExitCode::from(simulate(
        arguments,
        &mut out,
        &mut err,
        Progress::on_terminal(),
    ))
}

/// The whole program; returns the exit code.
pub(crate) fn simulate(
    arguments: impl IntoIterator<Item = OsString>,
    out: &mut impl Write,
    err: &mut impl Write,
    progress: Progress,
) -> u8 {
    let (message, code) = match answer(arguments, out, progress) {
        Ok(()) => return 0,
        Err(Trouble::Usage(message)) => (message, 2),
        Err(Trouble::Failed(message)) => (format!("simulate: {message}"), 1),
    };
    // Where stderr is gone, the exit code is all that is left to say.
    _ = writeln!(err, "{message}");
    code
}

fn answer(
    arguments: impl IntoIterator<Item = OsString>,
    out: &mut impl Write,
    progress: Progress,
) -> Result<(), Trouble> {
    let usage = |message: String| Trouble::Usage(message);
    let options = match arguments::parse::<Options>(&GRAMMAR, arguments) {
        Ok(Parsed::Run(options)) => options,
        Ok(Parsed::Say(text)) => return say(out, &text),
        Err(error) => return Err(usage(error.to_string())),
    };
    let plan = options.plan().map_err(usage)?;
    let drawing = plan.svg.as_deref().map(open).transpose()?;
    tell(&plan, out, drawing, progress)
}

/// Plays the scenes and prints what came of each as soon as it is over.
fn tell(
    plan: &Plan,
    out: &mut impl Write,
    drawing: Option<File>,
    progress: Progress,
) -> Result<(), Trouble> {
    say(out, &report::heading(plan))?;
    let mut scene = Scene::new(plan, progress);
    let joined = scene.join();
    say(out, &report::joined(plan, &joined))?;
    if joined.took.is_none() {
        return Err(Trouble::Failed("the mesh does not come together".into()));
    }
    say(out, &report::idle(&scene.idle()))?;
    if plan.kill > 0 {
        let detection = scene.kill();
        say(out, &report::detection(&detection))?;
        if let Some(file) = drawing {
            draw(file, &plot::svg(plan, &detection))?;
        }
    }
    say(out, &report::mistakes(&scene.mistakes()))?;
    if let Some(time) = plan.partition {
        say(
            out,
            &report::healing(plan, time, &scene.part_and_heal(time)),
        )?;
    }
    Ok(())
}

fn say(out: &mut impl Write, text: &str) -> Result<(), Trouble> {
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    written.map_err(|error| Trouble::Failed(format!("cannot print: {error}")))
}

/// Opens the file before the work begins, to know that it can be written; what is in it stays until then.
fn open(path: &Path) -> Result<File, Trouble> {
    let mut options = File::options();
    let opened = options.write(true).create(true).truncate(false).open(path);
    opened.map_err(|error| Trouble::Failed(format!("--svg {}: {error}", path.display())))
}

fn draw(mut file: File, picture: &str) -> Result<(), Trouble> {
    let emptied = file.set_len(0);
    let written = emptied.and_then(|()| file.write_all(picture.as_bytes()));
    written.map_err(|error| Trouble::Failed(format!("--svg: {error}")))
}
