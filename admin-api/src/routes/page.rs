use std::fmt::Write;

use schemas::{lifecycle, permission};

use super::{BOTH, OPERATORS, Route, TENANTS, routes};

/// `docs/permissions.md`: the roles' permissions, and what each route takes.
#[must_use]
pub fn page() -> String {
    let mut page = permission::page();
    page.push_str(&lifecycle::page());
    page.push_str(HEAD);
    for (title, listeners) in [
        ("On the tenants' listener", TENANTS),
        (
            "On both; those of a tenant on the operators' listener: for operators, and for support if they read",
            BOTH,
        ),
        ("On the operators' listener", OPERATORS),
    ] {
        // Writing to a string does not fail.
        let _ = write!(page, "\n{title}:\n\n| route | who may call it |\n|---|---|\n");
        for Route { method, path, access, .. } in routes().iter().filter(|route| route.listeners == listeners)
        {
            let _ = writeln!(page, "| {method} {path} | {access} |");
        }
    }
    page
}

const HEAD: &str = "
## Routes

There are two listeners: `WEIR_ADMIN_ADDR` for tenants, `WEIR_OPERATOR_ADDR` for operators. What is not here is not
there. *Also in some projects*: a membership that is limited to some projects is let in, and works with these alone.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_the_table_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/permissions.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == page(), "docs/permissions.md must read:\n{}", page());
    }
}
