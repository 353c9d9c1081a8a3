//! The `astromeshctl` program: does what is asked, prints the answer, and owns the exit code.

use astromeshctl::outcome::{Exit, Outcome};
use astromeshctl::settings::Environment;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    // A panic is a bug of ours, and those have an exit code; its message is on stderr by then.
    let exit = std::panic::catch_unwind(|| deliver(&answer())).unwrap_or(Exit::Refused);
    ExitCode::from(exit.code())
}

fn answer() -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            return Outcome {
                answer: None,
                remark: Some(format!("astromeshctl: cannot start: {error}")),
                exit: Exit::Refused,
            };
        }
    };
    let arguments = std::env::args_os().skip(1);
    let outcome = runtime.block_on(astromeshctl::run(arguments, &Environment::of_process()));
    // A name that is still being resolved must not hold up the end that --timeout promised.
    runtime.shutdown_background();
    outcome
}

/// Prints what there is to print, colours only where somebody sees them.
fn deliver(outcome: &Outcome) -> Exit {
    let told = outcome.answer.as_deref().map_or(Ok(()), |answer| {
        let mut stdout = anstream::stdout().lock();
        writeln!(stdout, "{answer}").and_then(|()| stdout.flush())
    });
    let complain = |line: &str| {
        // Where stderr is gone too, there is nobody left to tell.
        let _ = writeln!(io::stderr(), "{line}");
    };
    if let Some(remark) = &outcome.remark {
        complain(remark);
    }
    match told {
        // Whoever closed the pipe has seen enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            complain(&format!("astromeshctl: cannot write the answer: {error}"));
            Exit::Refused
        }
        _ => outcome.exit,
    }
}
