//! Small files of lines `name value`, the last one a checksum: always a whole old or a whole new one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::LogError;
use crate::local::sync_dir;

/// Writes the file and makes it durable.
pub(super) fn write(dir: &Path, name: &str, lines: &str) -> Result<(), LogError> {
    let path = dir.join(name);
    let written = || -> io::Result<()> {
        let temporary = dir.join(format!("{name}.tmp"));
        let mut file = File::create(&temporary)?;
        file.write_all(format!("{lines}crc32c {:08x}\n", crc32c::crc32c(lines.as_bytes())).as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        sync_dir(dir)
    };
    written().map_err(|error| LogError::Unavailable(format!("{}: {error}", path.display())))
}

/// Its lines without the checksum; `None` if there is no such file.
pub(super) fn read(dir: &Path, name: &str) -> Result<Option<String>, LogError> {
    let path = dir.join(name);
    let mut text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LogError::Unavailable(format!("{}: {error}", path.display()))),
    };
    let crc_at = text.rfind("crc32c ").unwrap_or_default();
    let crc = text[crc_at..].strip_prefix("crc32c ").map(|crc| u32::from_str_radix(crc.trim_end(), 16));
    if crc != Some(Ok(crc32c::crc32c(&text.as_bytes()[..crc_at]))) {
        return Err(LogError::Damaged(format!("{} is damaged", path.display())));
    }
    text.truncate(crc_at);
    Ok(Some(text))
}

/// The value of the line with that name.
pub(super) fn value<'a>(lines: &'a str, name: &str) -> Option<&'a str> {
    lines.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
}
