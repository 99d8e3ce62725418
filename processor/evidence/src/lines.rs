//! Lines of a pack, one after the other.

use std::io::{BufRead, Read};

use serde::Deserialize;

use crate::leaf::Leaf;
use crate::pack::{End, Header, HeaderForm, KEYS_MAX, LINE_BYTES_MAX, Line, VERSION};
use crate::refused::Why;
use crate::signed::Signed;

/// What a line behind the first can be.
pub(crate) enum Said<'a> {
    Seal(Signed),
    Leaf(Leaf, RowText<'a>),
    End(End),
}

/// What stands with a leaf.
#[derive(Clone, Copy)]
pub(crate) enum RowText<'a> {
    None,
    /// In base64.
    Row(&'a str),
    Erased,
}

/// A reader that holds one line and no more.
pub(crate) struct Lines<R> {
    input: R,
    line: Vec<u8>,
    /// Of the line that was read last; 0 before the first.
    pub(crate) number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn of(input: R) -> Self {
        Self { input, line: Vec::new(), number: 0 }
    }

    /// The first line.
    pub(crate) fn header(&mut self) -> Result<Header, Why> {
        /// All that other versions have in common with this one.
        #[derive(Deserialize)]
        struct Versioned {
            weir_evidence: u64,
        }
        let line = self.read()?;
        let Versioned { weir_evidence } = parse(line)?;
        if weir_evidence != VERSION {
            return Err(Why::Version(weir_evidence));
        }
        let form: HeaderForm = parse(line)?;
        if let Some(key) = form.misnamed() {
            return Err(Why::Misnamed(key));
        }
        let header = form.header();
        match () {
            () if !header.has_hours() => Err(Why::Hours),
            () if header.keys.len() > KEYS_MAX => Err(Why::Keys),
            () => Ok(header),
        }
    }

    /// The next line.
    pub(crate) fn next(&mut self) -> Result<Said<'_>, Why> {
        match parse(self.read()?)? {
            Line { leaf: Some(leaf), row, erased, seal: None, end: None } => {
                let row = match (row, erased) {
                    (None, None) => RowText::None,
                    (Some(row), None) => RowText::Row(row),
                    (None, Some(true)) => RowText::Erased,
                    (None | Some(_), Some(_)) => return Err(Why::RowOrErased),
                };
                Ok(Said::Leaf(leaf, row))
            }
            Line { seal: Some(seal), leaf: None, row: None, erased: None, end: None } => Ok(Said::Seal(seal)),
            Line { end: Some(end), leaf: None, row: None, erased: None, seal: None } => Ok(Said::End(end)),
            Line { .. } => Err(Why::Form("a line has either a seal, a leaf or the end".to_owned())),
        }
    }

    /// Whether nothing is left.
    pub(crate) fn ends(&mut self) -> Result<(), Why> {
        if self.input.fill_buf().map_err(Why::Read)?.is_empty() {
            return Ok(());
        }
        self.number += 1;
        Err(Why::Follows)
    }

    fn read(&mut self) -> Result<&[u8], Why> {
        self.number += 1;
        self.line.clear();
        let most = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
        self.input.by_ref().take(most).read_until(b'\n', &mut self.line).map_err(Why::Read)?;
        match self.line.last() {
            Some(b'\n') => Ok(&self.line),
            Some(_) if self.line.len() == LINE_BYTES_MAX => Err(Why::Long),
            Some(_) | None => Err(Why::Cut),
        }
    }
}

pub(crate) fn parse<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, Why> {
    serde_json::from_slice(line).map_err(|error| Why::Form(error.to_string()))
}
