//! `weir outcomes`: what became of a tenant's events at ingest.

use std::fmt::Write;
use std::process::ExitCode;

use accounts::project;
use clap::Args;
use metering::outcomes::{Interval, OutcomeCount, OutcomePage, OutcomeQuery, PAGE_ROWS_MAX, of_tenant};
use schemas::id::KeyId;
use schemas::time::Micros;
use service::clock::Clock;
use service::postgres::Role;

use super::output::{find, pool, print};

#[derive(Debug, Args)]
pub(crate) struct OutcomesCommand {
    /// The tenant's name or id
    tenant: String,
    /// How far back: a number and m, h or d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = micros)]
    since: i64,
    /// In steps of this, instead of all together
    #[arg(long, value_name = "minute|hour|day", value_parser = interval)]
    by: Option<Interval>,
    /// Of this project only
    #[arg(long)]
    project: Option<String>,
    /// Of the key with this id only
    #[arg(long, value_name = "ID")]
    key: Option<KeyId>,
}

pub(crate) fn micros(text: &str) -> Result<i64, String> {
    let unit = text.chars().last().and_then(|unit| match unit {
        'm' => Some(Micros::HOUR / 60),
        'h' => Some(Micros::HOUR),
        'd' => Some(24 * Micros::HOUR),
        _ => None,
    });
    let number = text.get(..text.len().saturating_sub(1)).and_then(|number| number.parse::<u16>().ok());
    match (number, unit) {
        (Some(number @ 1..), Some(unit)) => Ok(i64::from(number) * unit),
        _ => Err("it is a number and m, h or d, as in 30m, 1h or 7d".to_owned()),
    }
}

fn interval(text: &str) -> Result<Interval, String> {
    match text {
        "minute" => Ok(Interval::Minute),
        "hour" => Ok(Interval::Hour),
        "day" => Ok(Interval::Day),
        _ => Err("it is minute, hour or day".to_owned()),
    }
}

impl OutcomesCommand {
    pub(crate) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let pool = pool(Role::Api)?;
        let mut scope = find(&pool, &self.tenant).await?;
        let tenant = scope.tenant();
        let project = match &self.project {
            Some(name) => Some(project::find(&mut scope, name).await?),
            None => None,
        };
        let to = Clock::system().now_micros();
        let mut query = OutcomeQuery {
            from: Micros(to.saturating_sub(self.since).max(0)),
            to: Micros(to),
            interval: self.by.unwrap_or(Interval::Total),
            project,
            key: self.key,
            after: None,
            limit: PAGE_ROWS_MAX,
        };
        let mut whole = of_tenant(scope.connection(), tenant, &query).await?;
        while let Some(next) = whole.next_cursor.take() {
            query.after = Some(next);
            let page = of_tenant(scope.connection(), tenant, &query).await?;
            whole.items.extend(page.items);
            whole.next_cursor = page.next_cursor;
        }
        print(json, &whole, table)
    }
}

/// Columns as wide as what stands in them; times only where there are several.
fn table(page: &OutcomePage) -> String {
    let mut rows = vec![["AT", "PROJECT", "KEY", "OUTCOME", "KIND", "EVENTS", "REQUESTS"].map(str::to_owned)];
    rows.extend(page.items.iter().map(cells));
    let first = usize::from(page.interval == Interval::Total);
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..7).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate().skip(first) {
            let width = widths[column];
            // Writing to a string does not fail.
            let _ =
                if column < 5 { write!(line, "{cell:<width$}  ") } else { write!(line, "{cell:>width$}  ") };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn cells(count: &OutcomeCount) -> [String; 7] {
    let kind = count.kind.map_or_else(|| "?".to_owned(), |kind| kind.to_string());
    [
        count.at.to_string(),
        count.project_name.clone(),
        count.key.map_or_else(|| "(several)".to_owned(), |key| key.to_string()),
        count.outcome.clone(),
        kind,
        count.events.to_string(),
        count.requests.to_string(),
    ]
}
