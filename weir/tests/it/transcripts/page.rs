//! The blocks of a page: what it shows of commands and of their replies.

use std::collections::VecDeque;
use std::path::Path;

/// One block, without its indentation, and the prose between it and the next.
pub(super) struct Block {
    pub(super) text: String,
    after: String,
}

/// The blocks that a test has not taken yet.
pub(super) struct Page {
    name: &'static str,
    blocks: VecDeque<Block>,
}

/// The text of a file of the tree.
pub(super) fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

impl Page {
    pub(super) fn read(name: &'static str) -> Self {
        Self { name, blocks: blocks(&read(name)) }
    }

    /// The next block, which must begin so: no block is passed over.
    pub(super) fn next(&mut self, begin: &str) -> Block {
        let block = self.blocks.pop_front().unwrap_or_else(|| panic!("{}: no block is left", self.name));
        assert!(block.text.trim_start().starts_with(begin), "{}: not {begin:?}: {}", self.name, block.text);
        block
    }

    /// All of the page's blocks were taken.
    pub(super) fn ends(&self) {
        let left = self.blocks.front().map(|block| &block.text);
        assert!(left.is_none(), "{}: no test runs or excuses this block: {left:?}", self.name);
    }
}

impl Block {
    /// The commands that are run before what is shown, and each command after a prompt with the lines that it prints.
    pub(super) fn transcript(&self) -> (String, Vec<(String, String)>) {
        let mut before = String::new();
        let mut steps: Vec<(String, String)> = Vec::new();
        for line in self.text.lines() {
            match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => steps.push((command.to_owned(), String::new())),
                (None, Some((command, _))) if command.ends_with('\\') => *command += &format!("\n{line}"),
                (None, Some((_, shown))) => *shown += &format!("{line}\n"),
                (None, None) => before += &format!("{line}\n"),
            }
        }
        (before, steps)
    }

    /// The lines that stand further in than the rest, as commands: a backslash at an end joins two.
    pub(super) fn inner_commands(&self) -> Vec<String> {
        let inner: Vec<&str> = self.text.lines().filter_map(|line| line.strip_prefix("  ")).collect();
        inner.join("\n").replace("\\\n", " ").lines().map(|line| line.trim().to_owned()).collect()
    }

    /// The first code in the prose that follows, after the word `prints`.
    pub(super) fn printed(&self) -> &str {
        let (_, after) = self.after.split_once("prints `").unwrap();
        after.split('`').next().unwrap()
    }
}

fn blocks(text: &str) -> VecDeque<Block> {
    let mut found: VecDeque<Block> = VecDeque::new();
    let (mut fenced, mut is_open, mut blank) = (None::<String>, false, false);
    for line in text.lines() {
        let fence = line.starts_with("```");
        if let Some(text) = &mut fenced {
            if fence {
                let text = fenced.take().unwrap();
                found.push_back(Block { text, after: String::new() });
            } else {
                *text += &format!("{line}\n");
            }
            continue;
        }
        if fence {
            fenced = Some(String::new());
            is_open = false;
        } else if let Some(line) = line.strip_prefix("    ") {
            if !is_open {
                found.push_back(Block { text: String::new(), after: String::new() });
            } else if blank {
                found.back_mut().unwrap().text.push('\n');
            }
            found.back_mut().unwrap().text += &format!("{line}\n");
            is_open = true;
        } else if !line.is_empty() {
            is_open = false;
            if let Some(block) = found.back_mut() {
                block.after += &format!("{line} ");
            }
        }
        blank = line.is_empty();
    }
    found
}

#[test]
fn blocks_are_found_with_their_commands_and_replies() {
    let shown = "    x() { y; }\n\n    $ x 1 \\\n      2\n    {\"a\":1}\n    $ x 3\n";
    let text = format!("Run\n\n{shown}\nIt prints `7 8`.\n\n```sh\nmake\n```\nEnd");
    let found = blocks(&text);
    assert_eq!(found.len(), 2);
    let (before, steps) = found[0].transcript();
    assert_eq!(before, "x() { y; }\n\n");
    let expected = [("x 1 \\\n  2", "{\"a\":1}\n"), ("x 3", "")];
    assert_eq!(steps, expected.map(|(command, shown)| (command.to_owned(), shown.to_owned())));
    assert_eq!((found[0].printed(), found[1].text.as_str()), ("7 8", "make\n"));
    let inner = Block { text: "Now:\n  a \\\n    b\n  c\n".to_owned(), after: String::new() };
    assert_eq!(inner.inner_commands(), ["a    b", "c"]);
}
