//! What the pages name is there: files, make targets, variables, commands with their options, and answers.

use std::path::{Path, PathBuf};
use std::process::Command;

const PAGES: [&str; 13] = [
    "README.md",
    "ARCHITECTURE.md",
    "benches/README.md",
    "docs/api.md",
    "docs/enrichment.md",
    "docs/evidence.md",
    "docs/faults.md",
    "docs/glossary.md",
    "docs/metrics.md",
    "docs/operations.md",
    "docs/queries.md",
    "docs/sdks.md",
    "docs/adr/0019-model-and-simulation.md",
];
const VARIABLES: [&str; 5] = ["WEIR_", "KAFKA_", "REDIS_", "CLICKHOUSE_", "DATABASE_"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The texts of all files below `folder` whose name ends so.
pub(crate) fn texts(folder: &Path, end: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(texts(&path, end));
        } else if path.to_string_lossy().ends_with(end) {
            found.push(std::fs::read_to_string(path).unwrap());
        }
    }
    found
}

/// What a page shows as code: each line of a block, and each span between backquotes.
fn code(page: &str) -> Vec<String> {
    let (mut found, mut prose, mut is_fenced) = (Vec::new(), String::new(), false);
    for line in page.replace("\\\n", " ").lines() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if is_fenced || line.starts_with("    ") {
            found.push(line.to_owned());
        } else {
            prose.push_str(line);
            prose.push(' ');
        }
    }
    found.extend(prose.split('`').skip(1).step_by(2).map(str::to_owned));
    found
}

/// `a{b,c}` is `ab` and `ac`.
fn expanded(path: &str) -> Vec<String> {
    let Some((before, (names, after))) =
        path.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    else {
        return vec![path.to_owned()];
    };
    names.split(',').flat_map(|name| expanded(&format!("{before}{name}{after}"))).collect()
}

#[test]
fn what_is_not_there_is_found() {
    let shown = code("Run `weir tenant\ndrop` or\n\n    weir outcomes acme\n\n```\nmake run\n```\n");
    assert_eq!(shown, ["    weir outcomes acme", "make run", "weir tenant drop"]);
    assert_eq!(expanded("a/{b,c}.rs"), ["a/b.rs", "a/c.rs"]);
    assert_eq!(
        unknown(&["tenant", "create", "acme", "--quota", "1", "--colour=red"]),
        ["weir tenant create --colour"]
    );
    assert_eq!(unknown(&["sing"]), ["weir  sing"]);
    assert!(can_be("a body may have {bytes_max} bytes", "a body may have 12 bytes"));
    assert!(!can_be("a body may have {bytes_max} bytes", "a body may have 12 bytes as sent"));
    assert!(!can_be("a body may have {bytes_max} bytes", "a body has 12 bytes"));
}

/// What `check` finds wrong with each piece of code of each page.
fn mistakes(check: impl Fn(&str, &str) -> Vec<String>) -> Vec<String> {
    let of_page = |name: &str| {
        let found = code(&read(name)).iter().flat_map(|code| check(name, code)).collect::<Vec<_>>();
        found.into_iter().map(|mistake| format!("{name}: {mistake}")).collect::<Vec<_>>()
    };
    PAGES.iter().flat_map(|name| of_page(name)).collect()
}

#[test]
fn every_path_and_every_link_leads_somewhere() {
    let is_folder =
        |name: &&str| root().join(name).is_dir() && !matches!(*name, "" | "target" | ".run" | "." | "..");
    let wrong = mistakes(|_, code| {
        let words = code.split(|c: char| c.is_whitespace() || "()\"'=;".contains(c));
        let paths = words.filter(|word| word.split_once('/').is_some_and(|(top, _)| is_folder(&top)));
        let paths = paths.filter(|path| !path.contains(['*', '<', ':'])).flat_map(expanded);
        paths.filter(|path| !root().join(path.trim_end_matches(['.', ','])).exists()).collect()
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
    for name in PAGES {
        let folder = root().join(name).parent().unwrap().to_owned();
        for link in read(name).split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            assert!(link.contains("://") || folder.join(link).exists(), "{name} links to {link}");
        }
    }
}

#[test]
fn a_walk_names_files_and_what_stands_in_them() {
    let page = read("ARCHITECTURE.md");
    let (mut rows, mut wrong) = (0, Vec::new());
    for walk in page.split("\n## ").filter(|section| section.starts_with("A walk of ")) {
        for row in walk.lines().filter_map(|line| line.strip_prefix("| `")) {
            let (file, rest) = row.split_once('`').unwrap();
            let text = std::fs::read_to_string(root().join(file)).unwrap_or_default();
            let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            let names = rest.split('`').skip(1).step_by(2);
            let missing = names.filter(|name| !words.contains(name) && !text.contains(&format!("\"{name}")));
            wrong.extend(missing.map(|name| format!("{file} has no {name}")));
            rows += 1;
        }
    }
    assert!(rows > 20, "{rows} rows were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_make_target_and_each_of_its_variables_is_there() {
    let makefile = read("Makefile");
    let wrong = mistakes(|_, code| {
        let mut words = code.split_whitespace();
        let Some(target) = (words.next() == Some("make")).then(|| words.next()).flatten() else {
            return Vec::new();
        };
        let variables = words.filter_map(|word| word.split_once('=')).map(|(name, _)| format!("$({name}"));
        let names = std::iter::once(format!("\n{target}:")).chain(variables);
        names
            .filter(|name| {
                !makefile.contains(name.as_str()) && !makefile.contains(&name.replace("$(", "$(if $("))
            })
            .collect()
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_variable_is_read_by_somebody() {
    let mut sources = vec![read("Makefile"), read("docker-compose.yml")];
    sources.extend(texts(&root().join("dev"), ".py"));
    for member in
        ["service", "eventlog", "ingest", "processor", "billing", "admin-api", "weir", "benches", "faults"]
    {
        sources.extend(texts(&root().join(member), ".rs"));
    }
    let sources = sources.join("\n");
    let wrong = mistakes(|_, code| {
        let words = code.split(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_');
        let names = words
            .filter(|word| VARIABLES.iter().any(|begin| word.starts_with(begin) && word.len() > begin.len()));
        let names = names.map(|name| name.strip_suffix("_FILE").unwrap_or(name));
        names.filter(|name| !sources.contains(name)).map(str::to_owned).collect()
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn help(command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_weir")).args(command).arg("--help").output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether clap's help lists it.
fn has_command(help: &str, name: &str) -> bool {
    let mut lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    lines
        .by_ref()
        .take_while(|line| !line.is_empty())
        .any(|line| line.split_whitespace().next() == Some(name))
}

/// What `weir` does not know of these arguments.
fn unknown(arguments: &[&str]) -> Vec<String> {
    let (mut command, mut text, mut wrong) = (Vec::new(), help(&[]), Vec::new());
    for argument in arguments {
        let option = argument.trim_matches(['[', ']', ',', ')']).split('=').next().unwrap_or_default();
        if has_command(&text, option) && option != "help" {
            command.push(option);
            text = help(&command);
        } else if !text.contains(option) && (option.starts_with("--") || command.is_empty()) {
            wrong.push(format!("weir {} {option}", command.join(" ")));
        }
    }
    wrong
}

#[test]
fn every_command_and_every_option_of_it_is_one() {
    let wrong = mistakes(|_, code| {
        let words: Vec<&str> = code.split_whitespace().collect();
        let is_program = |at: usize| {
            let is_first = at == 0 || matches!(words[at - 1], "$" | "weir");
            words[at].ends_with("release/weir") || words[at] == "weir" && is_first
        };
        let Some(at) = (0..words.len()).rfind(|at| is_program(*at)) else { return Vec::new() };
        let ends = |word: &&&str| !matches!(**word, "|" | ">" | "#" | "&&" | "\\");
        let arguments: Vec<&str> = words[at + 1..].iter().take_while(ends).copied().collect();
        // What `make run` prints.
        if arguments.first() == Some(&"is") { Vec::new() } else { unknown(&arguments) }
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The string literals of a source. Some pieces of code between them are found as well, which does no harm.
fn literals(source: &str) -> Vec<String> {
    let source = source.replace("'\"'", "").replace("\\\"", "'");
    let literal = |literal: &str| literal.split("\\\n").map(str::trim_start).collect::<String>();
    source.split('"').map(literal).collect()
}

/// Whether the text can be what `format!` makes of the template.
fn can_be(template: &str, text: &str) -> bool {
    let parts: Vec<&str> =
        template.split('{').map(|part| part.split_once('}').map_or(part, |(_, after)| after)).collect();
    let Some(mut rest) = text.strip_prefix(parts[0]) else { return false };
    for (at, part) in parts.iter().enumerate().skip(1) {
        let found =
            if at + 1 == parts.len() { rest.strip_suffix(part).map(str::len) } else { rest.find(part) };
        let Some(found) = found else { return false };
        rest = &rest[found + part.len()..];
    }
    rest.is_empty() && parts.concat().chars().filter(|c| c.is_alphabetic()).count() > 5
}

#[test]
fn what_the_pages_of_errors_show_is_what_the_code_says() {
    let members = [
        "schemas",
        "eventlog",
        "ingest/decode",
        "ingest",
        "billing/metering",
        "admin-api/accounts",
        "admin-api",
    ];
    let sources = members.map(|member| texts(&root().join(member).join("src"), ".rs").join("\n")).join("\n");
    let literals: Vec<String> = members
        .iter()
        .flat_map(|member| texts(&root().join(member).join("src"), ".rs"))
        .flat_map(|source| literals(&source))
        .collect();
    let mut wrong = Vec::new();
    for page in texts(&root().join("docs/errors"), ".md") {
        let member = |name: &str| {
            let line = page.lines().find_map(|line| line.strip_prefix(&format!("  \"{name}\": \"")))?;
            line.strip_suffix("\",").map(str::to_owned)
        };
        let (code, detail) = (member("code").unwrap(), member("detail").unwrap());
        if !literals.iter().any(|literal| can_be(literal, &detail)) {
            wrong.push(format!("{code}: nothing says {detail:?}"));
        }
        let header =
            page.lines().find_map(|line| line.trim().strip_prefix("\"header\": \"")?.strip_suffix("\","));
        if header.as_ref().is_some_and(|field| !sources.contains(&format!(".at(\"{field}\")"))) {
            wrong.push(format!("{code}: nothing names the header {header:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
