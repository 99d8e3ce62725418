//! Keys by the million, which nothing but a bench needs.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::Args;
use schemas::key::{ApiKey, PresentedKey};

#[derive(Debug, Args)]
pub(crate) struct Keys {
    /// How many
    #[arg(long)]
    count: u32,
    /// Here go the keys, one a line
    #[arg(long)]
    list: PathBuf,
    /// Here go rows as Postgres' COPY reads them: number from 0, id, hash
    #[arg(long)]
    rows: PathBuf,
}

impl Keys {
    pub(crate) fn carry_out(&self) -> anyhow::Result<()> {
        let mut list = BufWriter::new(File::create(&self.list)?);
        let mut rows = BufWriter::new(File::create(&self.rows)?);
        for number in 0..self.count {
            let key = ApiKey::generate();
            let presented = PresentedKey::parse(key.expose())?;
            writeln!(list, "{}", key.expose())?;
            write!(rows, "{number}\t{}\t\\\\x", presented.id.number())?;
            for byte in presented.hash.0 {
                write!(rows, "{byte:02x}")?;
            }
            writeln!(rows)?;
        }
        list.flush()?;
        rows.flush()?;
        Ok(())
    }
}
