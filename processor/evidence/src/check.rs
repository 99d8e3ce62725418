//! The rules of a pack, a line at a time.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemas::content::ContentHash;
use schemas::id::TenantId;

use crate::hex::{Hash, PublicKey};
use crate::late::Sealed;
use crate::leaf::Leaf;
use crate::lines::RowText;
use crate::pack::{Contents, End, Header, ROW_BYTES_MAX};
use crate::refused::Why;
use crate::report::{Period, Report, Signer, Span};
use crate::row;
use crate::seal::{HOUR, Seal};
use crate::signed::Signed;
use crate::tree::{NotPushed, Tree};

/// Billing periods in a pack.
const PERIODS_MAX: usize = 10_000;

/// What those who verify know already. Without a key, a pack proves that its maker signed it, and not who that is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// The operator's keys; none: any key is taken.
    pub keys: Vec<PublicKey>,
    /// The tenant.
    pub tenant: Option<TenantId>,
    /// Of a pack: the hash of the seal that the first one is to continue.
    pub after: Option<Hash>,
    /// Of a pack: the hash of its last seal.
    pub head: Option<Hash>,
}

impl Expected {
    /// Whether a seal is one of this tenant, and signed by this key, which is one of those that are expected.
    pub(crate) fn admits(&self, signed: &Signed, key: &PublicKey) -> Result<(), Why> {
        let found = signed.seal.tenant;
        match self.tenant {
            Some(expected) if found != expected => return Err(Why::Tenant { found, expected }),
            Some(_) | None => {}
        }
        if !self.keys.is_empty() && !self.keys.contains(key) {
            return Err(Why::OtherKey(signed.key));
        }
        if !signed.is_by(key) {
            return Err(Why::Signature(signed.key));
        }
        if signed.seal.hour % HOUR != 0 {
            return Err(Why::Hour);
        }
        Ok(())
    }
}

/// A seal, and its leaves so far.
struct Open {
    seal: Seal,
    tree: Tree,
    since: Option<Vec<u64>>,
}

pub(crate) struct Check<'e> {
    expected: &'e Expected,
    header: Header,
    report: Report,
    sealed: Sealed,
    /// Unless it is of an hour outside.
    open: Option<Open>,
    row: Vec<u8>,
    /// The number of the seal at which a pack is refused, if it is now.
    pub(crate) at: Option<u64>,
}

impl<'e> Check<'e> {
    pub(crate) fn new(header: Header, expected: &'e Expected) -> Result<Self, Why> {
        match expected.tenant {
            Some(tenant) if header.tenant != tenant => {
                return Err(Why::Tenant { found: header.tenant, expected: tenant });
            }
            Some(_) | None => {}
        }
        let report = Report {
            tenant: header.tenant,
            contents: header.contents,
            keys: Vec::new(),
            expected_key: !expected.keys.is_empty(),
            first: 0,
            last: 0,
            seals: 0,
            outside: 0,
            late: 0,
            previous: Hash::NONE,
            head: Hash::NONE,
            hours: None,
            events: 0,
            quantity: 0,
            erased: 0,
            unhashed: 0,
            periods: Vec::new(),
        };
        let sealed = Sealed::default();
        Ok(Self { expected, header, report, sealed, open: None, row: Vec::new(), at: None })
    }

    /// A seal begins: its key, if its leaves follow.
    pub(crate) fn seal(&mut self, signed: &Signed) -> Result<Option<PublicKey>, Why> {
        let seal = &signed.seal;
        self.at = Some(seal.number);
        let Some(key) = self.header.key(signed.key) else { return Err(Why::UnknownKey(signed.key)) };
        let (public, tenant) = (*key, self.header.tenant);
        if seal.tenant != tenant {
            return Err(Why::Tenant { found: seal.tenant, expected: tenant });
        }
        self.chain(seal)?;
        self.expected.admits(signed, &public)?;
        let begun = self.sealed.note(seal)?;
        let report = &mut self.report;
        if !report.keys.iter().any(|known| known.public == public) {
            report.keys.push(Signer { id: signed.key, public });
        }
        report.seals += 1;
        report.late += u64::from(begun.is_late);
        report.last = seal.number;
        report.head = seal.hash();
        let is_within = self.header.holds(seal.hour);
        report.outside += u64::from(!is_within);
        self.open = is_within.then(|| Open { seal: seal.clone(), tree: Tree::new(), since: begun.since });
        Ok(is_within.then_some(public))
    }

    /// Whether a seal follows the one before, or is a first one.
    fn chain(&mut self, seal: &Seal) -> Result<(), Why> {
        let report = &mut self.report;
        if report.seals > 0 {
            let expected = report.last.saturating_add(1);
            return match () {
                () if seal.number != expected => Err(Why::Number { expected }),
                () if seal.previous != report.head => Err(Why::Chain),
                () => Ok(()),
            };
        }
        if seal.number == 0 || (seal.number == 1) != (seal.previous == Hash::NONE) {
            return Err(Why::Chain);
        }
        if self.expected.after.is_some_and(|after| after != seal.previous) {
            return Err(Why::After);
        }
        (report.first, report.previous) = (seal.number, seal.previous);
        Ok(())
    }

    /// An event of the seal that is open.
    pub(crate) fn leaf(&mut self, leaf: &Leaf, row: RowText<'_>) -> Result<(), Why> {
        let Some(open) = &mut self.open else {
            return Err(if self.report.seals == 0 { Why::NoSeal } else { Why::Outside });
        };
        open.tree.push(leaf)?;
        let is_hashed = leaf.contents != ContentHash::NONE;
        match (self.header.contents, row) {
            (Contents::Hashes, RowText::None) => {}
            (Contents::Rows, RowText::Erased) => self.report.erased += 1,
            (Contents::Rows, RowText::None) if is_hashed => return Err(Why::NoRow),
            (Contents::Rows, RowText::None) => {}
            (Contents::Rows, RowText::Row(text)) => {
                self.row.clear();
                let is_read = STANDARD.decode_vec(text, &mut self.row).is_ok();
                if !is_read || self.row.len() > ROW_BYTES_MAX {
                    return Err(Why::RowBytes);
                }
                row::check(&self.row, leaf, &open.seal, open.since.as_deref())?;
            }
            (Contents::Hashes, RowText::Row(_) | RowText::Erased) => return Err(Why::RowOrErased),
        }
        self.report.unhashed += u64::from(!is_hashed);
        Ok(())
    }

    /// No event of the open seal follows: they are those that were sealed, or it is refused. Whether one was open.
    pub(crate) fn close(&mut self) -> Result<bool, Why> {
        let Some(Open { seal, tree, .. }) = self.open.take() else { return Ok(false) };
        let signed = seal.root;
        let Some(root) = tree.finish() else { return Err(Why::Events { found: 0, signed: signed.events }) };
        match () {
            () if root.events != signed.events => {
                return Err(Why::Events { found: root.events, signed: signed.events });
            }
            () if root.quantity != signed.quantity => {
                return Err(Why::Quantity { found: root.quantity, signed: signed.quantity });
            }
            () if root.hash != signed.hash => return Err(Why::Root),
            () => {}
        }
        let report = &mut self.report;
        let end = seal.hour.checked_add(HOUR).ok_or(Why::Hour)?;
        let hours = report.hours.get_or_insert(Span { from: seal.hour, to: end });
        *hours = Span { from: hours.from.min(seal.hour), to: hours.to.max(end) };
        let known = report.periods.iter().position(|period| period.start == seal.period);
        let period = match known {
            Some(known) => &mut report.periods[known],
            None if report.periods.len() == PERIODS_MAX => return Err(Why::Periods),
            None => {
                report.periods.push(Period { start: seal.period, events: 0, quantity: 0 });
                let last = report.periods.len() - 1;
                &mut report.periods[last]
            }
        };
        // Both are of as many lines at most.
        report.events += root.events;
        period.events += root.events;
        report.quantity = report.quantity.checked_add(root.quantity).ok_or(NotPushed::Overflow)?;
        // Not more than the sum of all periods.
        period.quantity += root.quantity;
        Ok(true)
    }

    /// The last line: what the pack proved.
    pub(crate) fn end(mut self, end: &End) -> Result<Report, Why> {
        let report = &self.report;
        let counts = [
            ("seals", end.seals, report.seals),
            ("events", end.events, report.events),
            ("quantity", end.quantity, report.quantity),
        ];
        if let Some(&(what, said, found)) = counts.iter().find(|(_, said, found)| said != found) {
            return Err(Why::End { what, said, found });
        }
        if end.head != report.head {
            return Err(Why::EndHead);
        }
        if self.expected.head.is_some_and(|head| head != report.head) {
            return Err(Why::Head);
        }
        // No first seal was held against it.
        if report.seals == 0 && self.expected.after.is_some() {
            return Err(Why::After);
        }
        self.report.periods.sort_by_key(|period| period.start);
        Ok(self.report)
    }
}
