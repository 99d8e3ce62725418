//! Credits: money that a tenant has with the operator, in grants that may expire.
//!
//! # What holds
//! For each grant and for all of them, at each moment: granted = applied + expired + left. A book only grows: what was
//! applied or expired stays, so what is left is explained by what the book says.

use schemas::time::Micros;

use crate::currency::Currency;
use crate::money::{Money, MoneyError};

/// Money that was given: it can be applied to invoices until it expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Which grant it is, of all grants of the tenant.
    pub id: i64,
    /// How much: above zero.
    pub amount: Money,
    /// The first instant at which it can't be applied; `None`: never.
    pub expires: Option<Micros>,
    /// Among grants that expire together, the one with the smaller number is applied first.
    pub priority: i32,
}

/// What was taken from one grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// From which grant.
    pub grant: i64,
    /// How much: above zero.
    pub amount: Money,
}

/// How much was granted, and where it is: `granted = applied + expired + left`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// What was given.
    pub granted: Money,
    /// What paid for invoices.
    pub applied: Money,
    /// What was left when it expired.
    pub expired: Money,
    /// What can still be applied.
    pub left: Money,
}

/// Why a book does not take an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CreditError {
    /// The book has a grant of this id.
    #[error("there is a grant {0} already")]
    Twice(i64),
    /// A grant, or what is due, is not above zero or is negative.
    #[error("the amount is too small")]
    Amount,
    /// An amount does not fit.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

/// A grant, and what became of it.
#[derive(Debug, Clone, Copy)]
struct Held {
    grant: Grant,
    applied: Money,
    expired: Money,
    left: Money,
}

/// All credits of one tenant in one currency.
#[derive(Debug, Clone)]
pub struct Book {
    currency: Currency,
    /// In the order in which they are applied.
    held: Vec<Held>,
}

impl Book {
    /// A book without grants.
    #[must_use]
    pub fn new(currency: Currency) -> Self {
        Self { currency, held: Vec::new() }
    }

    /// Adds a grant.
    ///
    /// # Errors
    /// If its id is taken, its amount is not above zero or of another currency, or all grants together are too much.
    pub fn grant(&mut self, grant: Grant) -> Result<(), CreditError> {
        if self.held.iter().any(|held| held.grant.id == grant.id) {
            return Err(CreditError::Twice(grant.id));
        }
        if grant.amount.minor() <= 0 {
            return Err(CreditError::Amount);
        }
        self.balance()?.granted.plus(grant.amount)?;
        let zero = Money::zero(self.currency);
        let place = self.held.partition_point(|held| order(&held.grant) < order(&grant));
        self.held.insert(place, Held { grant, applied: zero, expired: zero, left: grant.amount });
        Ok(())
    }

    /// Applies credits to what is due at an instant: those that expire first, then by priority, then by id.
    ///
    /// What it returns adds up to what is due, or to less if that is all there is.
    ///
    /// # Errors
    /// If what is due is negative, or in another currency.
    pub fn apply(&mut self, due: Money, at: Micros) -> Result<Vec<Taken>, CreditError> {
        if due.minor() < 0 {
            return Err(CreditError::Amount);
        }
        let mut open = due.plus(Money::zero(self.currency))?;
        let mut taken = Vec::new();
        for held in self.held.iter_mut().filter(|held| !held.grant.has_expired(at)) {
            let amount = if open.is_below(held.left)? { open } else { held.left };
            if amount.is_zero() {
                continue;
            }
            held.left = held.left.minus(amount)?;
            held.applied = held.applied.plus(amount)?;
            open = open.minus(amount)?;
            taken.push(Taken { grant: held.grant.id, amount });
        }
        Ok(taken)
    }

    /// Books as expired what is left of grants that have expired by an instant.
    ///
    /// # Errors
    /// None: a grant holds what it gives up.
    pub fn expire(&mut self, at: Micros) -> Result<Vec<Taken>, CreditError> {
        let mut taken = Vec::new();
        for held in self.held.iter_mut().filter(|held| held.grant.has_expired(at) && !held.left.is_zero()) {
            let amount = held.left;
            held.expired = held.expired.plus(amount)?;
            held.left = Money::zero(self.currency);
            taken.push(Taken { grant: held.grant.id, amount });
        }
        Ok(taken)
    }

    /// All grants together.
    ///
    /// # Errors
    /// None: they were held to what money can be when they came.
    pub fn balance(&self) -> Result<Balance, CreditError> {
        let sum = |of: fn(&Held) -> Money| Money::sum(self.held.iter().map(of), self.currency);
        Ok(Balance {
            granted: sum(|held| held.grant.amount)?,
            applied: sum(|held| held.applied)?,
            expired: sum(|held| held.expired)?,
            left: sum(|held| held.left)?,
        })
    }

    /// Each grant and its balance, in the order in which they are applied.
    pub fn grants(&self) -> impl Iterator<Item = (Grant, Balance)> {
        self.held.iter().map(|held| {
            let Held { grant, applied, expired, left } = *held;
            (grant, Balance { granted: grant.amount, applied, expired, left })
        })
    }
}

impl Grant {
    fn has_expired(&self, at: Micros) -> bool {
        self.expires.is_some_and(|end| at >= end)
    }
}

/// What never expires comes last.
fn order(grant: &Grant) -> (Micros, i32, i64) {
    (grant.expires.unwrap_or(Micros(i64::MAX)), grant.priority, grant.id)
}

#[cfg(test)]
mod tests;
