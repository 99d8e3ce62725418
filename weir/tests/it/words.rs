//! The words of the house, and the length of its lines.
//!
//! `docs/glossary.md` says which words are retired, and which things have another name: none of these stands in code,
//! comments, messages, pages or names, which are taken apart at underscores and capitals.
//! Lines have at most [`COLUMNS_MAX`] columns, except what can't be broken.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const COLUMNS_MAX: usize = 120;
/// Beginnings of paths that nothing here holds for, and why.
const EXCEPTED: [(&str, &str); 4] = [
    ("docs/glossary.md", "it names the words"),
    ("migrations/postgres/2026112300", "released: the checksum of a migration is fixed"),
    ("migrations/postgres/20261130000001", "released: the checksum of a migration is fixed"),
    ("migrations/clickhouse/2026112300", "released: the checksum of a migration is fixed"),
];
/// What is no text of weir's own, wherever it stands.
const FOREIGN: [&str; 5] = ["target", "node_modules", "corpus", "__pycache__", "venv"];
const ENDINGS: [&str; 6] = ["rs", "md", "py", "sql", "toml", "yml"];

/// A word in lower case, and where it stands.
struct Word {
    text: String,
    line: usize,
    /// Whether only space, a line's end or a comment's mark stands between it and the word before.
    follows: bool,
}

/// What may not be written, by its first word: all its words, and what to write instead.
struct Refused(BTreeMap<String, Vec<(Vec<String>, String)>>);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The texts that are held, by their paths.
fn texts() -> BTreeMap<String, String> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![root()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let is_hidden = name.starts_with('.') && !matches!(name.as_str(), ".github" | ".ci");
            if is_hidden || FOREIGN.contains(&name.as_str()) || path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let is_text = path.extension().is_some_and(|end| ENDINGS.iter().any(|ending| *ending == end));
            let short = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            let is_held = !EXCEPTED.iter().any(|(begin, _)| short.starts_with(begin));
            if is_held && (is_text || matches!(name.as_str(), "Makefile" | "Dockerfile")) {
                found.insert(short, fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

/// The words of a text; names are taken apart at underscores and at capitals after small letters.
fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut before = ' ';
        let mut follows = true;
        let mut is_inside = false;
        for letter in line.chars() {
            if letter.is_alphanumeric() {
                let is_hump = letter.is_uppercase() && before.is_lowercase();
                if !is_inside || is_hump {
                    words.push(Word { text: String::new(), line: number + 1, follows });
                    follows = true;
                }
                is_inside = true;
                words.last_mut().unwrap().text.extend(letter.to_lowercase());
            } else {
                is_inside = false;
                follows &= letter.is_whitespace() || matches!(letter, '_' | '-' | '/' | '!' | '#' | '*');
            }
            before = letter;
        }
    }
    words
}

impl Refused {
    fn of(glossary: &str) -> Self {
        let mut refused = Self(BTreeMap::new());
        for line in glossary.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| --")) {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            match cells[..] {
                ["word", ..] | ["never", ..] => {}
                [word, _, _, never] => refused.add(never, word),
                [never, instead] => refused.add(never, instead),
                _ => panic!("a row of the glossary has 2 or 4 cells: {line}"),
            }
        }
        refused
    }

    fn add(&mut self, never: &str, instead: &str) {
        for name in never.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let all: Vec<String> = words(name).into_iter().map(|word| word.text).collect();
            self.0.entry(all[0].clone()).or_default().push((all, instead.to_owned()));
        }
    }

    /// Each of them in a text: the line, and what to do.
    fn found_in(&self, text: &str) -> Vec<String> {
        let words = words(text);
        let mut found = Vec::new();
        for (at, word) in words.iter().enumerate() {
            for (name, instead) in self.0.get(&word.text).into_iter().flatten() {
                let rest = words.get(at + 1..at + name.len());
                let is_there = rest.is_some_and(|rest| {
                    rest.iter().zip(&name[1..]).all(|(word, wanted)| word.follows && word.text == *wanted)
                });
                if is_there {
                    found.push(format!("{}: {:?}, write: {instead}", word.line, name.join(" ")));
                }
            }
        }
        found
    }
}

/// The numbers of lines that are too long and could be broken: not a row of a table, a link, a raw string, or what a
/// page shows of a command or a reply.
fn long_lines(path: &str, text: &str) -> Vec<usize> {
    let is_page = path.ends_with(".md");
    let mut is_fenced = false;
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let start = line.trim_start_matches(['/', '!', ' ']);
        is_fenced ^= is_page && start.starts_with("```");
        let is_shown = is_page && (is_fenced || line.starts_with("    "));
        let is_whole = is_shown || start.starts_with('|') || line.contains("://") || line.contains("r#\"");
        if line.chars().count() > COLUMNS_MAX && !is_whole {
            found.push(number + 1);
        }
    }
    found
}

#[test]
fn no_word_is_retired_or_has_another_name() {
    let glossary = fs::read_to_string(root().join("docs/glossary.md")).unwrap();
    let refused = Refused::of(&glossary);
    assert!(refused.0.len() > 20, "the glossary was not read");
    let texts = texts();
    assert!(texts.len() > 200, "the tree was not read: {}", texts.len());
    let mut wrong = Vec::new();
    for (path, text) in &texts {
        wrong.extend(refused.found_in(path).into_iter().map(|found| format!("the name {path}:{found}")));
        wrong.extend(refused.found_in(text).into_iter().map(|found| format!("{path}:{found}")));
    }
    assert!(wrong.is_empty(), "words that docs/glossary.md refuses:\n{}", wrong.join("\n"));
}

#[test]
fn no_line_is_longer_than_120_columns() {
    let mut wrong = Vec::new();
    for (path, text) in texts().iter().filter(|(path, _)| path.contains('.')) {
        wrong.extend(long_lines(path, text).into_iter().map(|line| format!("{path}:{line}")));
    }
    assert!(wrong.is_empty(), "lines of more than {COLUMNS_MAX} columns:\n{}", wrong.join("\n"));
}

#[test]
fn every_exception_is_of_something() {
    for (begin, _) in EXCEPTED {
        let (folder, name) = begin.rsplit_once('/').unwrap();
        let entries = fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{begin}: {error}"));
        let is_there = |entry: fs::DirEntry| entry.file_name().to_str().unwrap().starts_with(name);
        assert!(entries.map(Result::unwrap).any(is_there), "{begin} is not there");
    }
}

#[test]
fn words_are_found_in_prose_names_and_over_the_end_of_a_line() {
    let glossary = "| word | a | b | never here |\n|---|---|---|---|\n| cap | x | y | hard wall, Limit |\n\n\
                    | never | write |\n|---|---|\n| but then | so |\n";
    let refused = Refused::of(glossary);
    let lines = |text: &str| {
        let found = refused.found_in(text).into_iter();
        found.map(|found| found.split(':').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(lines("its LIMIT\n// a hard\n    /// wall, but\n"), ["1", "2"]);
    assert_eq!(lines("fn limit_of() -> TheLimit {}\nstruct HardWall;"), ["1", "1", "2"]);
    assert!(lines("limits; hard, wall; but, then; unlimited").is_empty());
    assert_eq!(lines("- but\n  then"), ["1"]);
    let long = "x".repeat(121);
    assert_eq!(long_lines("a.md", &format!("{long}\n| {long}\n    {long}\nhttps://{long}\n")), [1]);
    assert_eq!(long_lines("a.rs", &format!("    {long}\n//! | {long}\n    r#\"{long}\"#\n")), [1]);
}
