//! Gives every input of the corpus to its target.

use std::{fs, path::Path, time::Instant};

#[test]
fn the_corpus_breaks_no_promise() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in fuzz::TARGETS {
        let (started, mut count) = (Instant::now(), 0);
        for file in fs::read_dir(corpus.join(target.name)).expect("each target has a corpus") {
            let file = file.expect("an entry").path();
            // The last line of a failed test names the input.
            println!("{}", file.display());
            target.run(&fs::read(&file).expect("an input"));
            count += 1;
        }
        assert!(count > 5, "{}: {count} inputs are no corpus", target.name);
        println!("{}: {count} inputs in {:.1?}", target.name, started.elapsed());
    }
}

/// `cargo xtask fuzz` takes the folders for the targets.
#[test]
fn each_folder_of_the_corpus_is_that_of_a_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for folder in fs::read_dir(corpus).expect("a corpus") {
        let name = folder.expect("an entry").file_name();
        assert!(name.to_str().and_then(fuzz::target).is_some(), "{} is no target", name.display());
    }
}
