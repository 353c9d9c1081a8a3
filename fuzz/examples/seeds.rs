//! Writes the first inputs of every target to `corpus/`, where `run.sh` looks for them:
//! `cargo run --no-default-features --example seeds`.

use std::path::Path;
use std::{fs, io};

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, _) in fuzz::TARGETS {
        let folder = corpus.join(name);
        fs::create_dir_all(&folder)?;
        for (place, seed) in fuzz::seeds::of(name)?.iter().enumerate() {
            fs::write(folder.join(format!("seed-{place:02}")), seed)?;
        }
    }
    Ok(())
}
