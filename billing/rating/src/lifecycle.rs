//! How subscriptions and invoices change: one table each, and nothing that is not in it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a subscription is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subscription {
    /// It costs nothing yet.
    Trialing,
    /// It is used and paid.
    Active,
    /// A payment has failed, and is tried again.
    PastDue,
    /// Events are refused until it is resumed.
    Paused,
    /// It has ended.
    Cancelled,
}

/// What happens to a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubscriptionChange {
    /// Its trial is over.
    EndTrial,
    /// A payment failed.
    FailPayment,
    /// All that was due is paid.
    SettlePayment,
    /// An operator or its tenant pauses it.
    Pause,
    /// An operator or its tenant resumes it.
    Resume,
    /// It ends.
    Cancel,
}

/// What an invoice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Invoice {
    /// A view of a period that is not over, or not all known.
    Draft,
    /// It has its number and does not change. It is to be paid.
    Open,
    /// It is paid.
    Paid,
    /// It should not have been. Its number stays.
    Void,
    /// Nobody expects to be paid any more.
    Uncollectible,
}

/// What happens to an invoice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvoiceChange {
    /// It gets its number, and is fixed.
    Finalize,
    /// It is paid in full.
    Pay,
    /// It is declared void.
    Void,
    /// It is written off.
    WriteOff,
}

/// Something that is not done with what is in this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{change:?} is not done with what is {state:?}")]
pub struct NotAllowed<S: fmt::Debug, C: fmt::Debug> {
    /// What it is.
    pub state: S,
    /// What was to be done.
    pub change: C,
}

/// From, what happens, to. What is past due is not paused: a debt would be hidden by it.
const SUBSCRIPTION: [(Subscription, SubscriptionChange, Subscription); 10] = {
    use Subscription::{Active, Cancelled, PastDue, Paused, Trialing};
    use SubscriptionChange::{Cancel, EndTrial, FailPayment, Pause, Resume, SettlePayment};
    [
        (Trialing, EndTrial, Active),
        (Trialing, Cancel, Cancelled),
        (Active, FailPayment, PastDue),
        (Active, Pause, Paused),
        (Active, Cancel, Cancelled),
        (PastDue, FailPayment, PastDue),
        (PastDue, SettlePayment, Active),
        (PastDue, Cancel, Cancelled),
        (Paused, Resume, Active),
        (Paused, Cancel, Cancelled),
    ]
};

/// From, what happens, to. What was written off can still be paid. A paid invoice is mended by a credit note.
const INVOICE: [(Invoice, InvoiceChange, Invoice); 6] = {
    use Invoice::{Draft, Open, Paid, Uncollectible, Void};
    [
        (Draft, InvoiceChange::Finalize, Open),
        (Open, InvoiceChange::Pay, Paid),
        (Open, InvoiceChange::Void, Void),
        (Open, InvoiceChange::WriteOff, Uncollectible),
        (Uncollectible, InvoiceChange::Pay, Paid),
        (Uncollectible, InvoiceChange::Void, Void),
    ]
};

impl Subscription {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Trialing, Self::Active, Self::PastDue, Self::Paused, Self::Cancelled];

    /// What it is after a change.
    ///
    /// # Errors
    /// If the table does not have the change in this state.
    pub fn after(self, change: SubscriptionChange) -> Result<Self, NotAllowed<Self, SubscriptionChange>> {
        look_up(&SUBSCRIPTION, self, change)
    }
}

impl SubscriptionChange {
    /// All changes.
    pub const ALL: [Self; 6] =
        [Self::EndTrial, Self::FailPayment, Self::SettlePayment, Self::Pause, Self::Resume, Self::Cancel];
}

impl Invoice {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Draft, Self::Open, Self::Paid, Self::Void, Self::Uncollectible];

    /// What it is after a change.
    ///
    /// # Errors
    /// If the table does not have the change in this state.
    pub fn after(self, change: InvoiceChange) -> Result<Self, NotAllowed<Self, InvoiceChange>> {
        look_up(&INVOICE, self, change)
    }
}

impl InvoiceChange {
    /// All changes.
    pub const ALL: [Self; 4] = [Self::Finalize, Self::Pay, Self::Void, Self::WriteOff];
}

fn look_up<S: Copy + PartialEq + fmt::Debug, C: Copy + PartialEq + fmt::Debug>(
    table: &[(S, C, S)],
    state: S,
    change: C,
) -> Result<S, NotAllowed<S, C>> {
    let row = table.iter().find(|(from, what, _)| (*from, *what) == (state, change));
    row.map(|(_, _, to)| *to).ok_or(NotAllowed { state, change })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table as a text: a row a state, a column a change, `-` where it is not allowed.
    fn drawn<S: Copy + fmt::Debug, C: Copy>(
        states: &[S],
        changes: &[C],
        after: impl Fn(S, C) -> Option<S>,
    ) -> String {
        let cell = |state: S, change: C| after(state, change).map_or("-".to_owned(), |to| format!("{to:?}"));
        let row = |state: &S| {
            let cells: Vec<String> = changes.iter().map(|change| cell(*state, *change)).collect();
            format!("{state:?}: {}", cells.join(" "))
        };
        states.iter().map(row).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn every_pair_of_a_subscription_and_a_change_is_as_drawn() {
        let drawn =
            drawn(&Subscription::ALL, &SubscriptionChange::ALL, |state, change| state.after(change).ok());
        // EndTrial, FailPayment, SettlePayment, Pause, Resume, Cancel.
        let expected = "Trialing: Active - - - - Cancelled\n\
                        Active: - PastDue - Paused - Cancelled\n\
                        PastDue: - PastDue Active - - Cancelled\n\
                        Paused: - - - - Active Cancelled\n\
                        Cancelled: - - - - - -";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn every_pair_of_an_invoice_and_a_change_is_as_drawn() {
        let drawn = drawn(&Invoice::ALL, &InvoiceChange::ALL, |state, change| state.after(change).ok());
        // Finalize, Pay, Void, WriteOff.
        let expected = "Draft: Open - - -\n\
                        Open: - Paid Void Uncollectible\n\
                        Paid: - - - -\n\
                        Void: - - - -\n\
                        Uncollectible: - Paid Void -";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn what_is_refused_is_named() {
        let refused = Invoice::Paid.after(InvoiceChange::Void).unwrap_err();
        assert_eq!(refused.to_string(), "Void is not done with what is Paid");
        assert_eq!(serde_json::to_string(&Subscription::PastDue).unwrap(), r#""past_due""#);
    }
}
