//! The committed corpora, without libFuzzer: what once broke a promise, or reaches code that nothing else reaches.

use std::path::Path;

use weir_fuzz::TARGETS;

#[test]
fn every_input_of_the_corpora_keeps_the_promises() {
    for (target, check) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        let mut inputs = 0;
        for entry in folder.read_dir().unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            // Shown only where one fails: the last is the one.
            println!("{}", path.display());
            check(&std::fs::read(&path).unwrap());
            inputs += 1;
        }
        assert!(inputs >= 10, "{target} has {inputs} inputs");
    }
}
