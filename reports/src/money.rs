//! Amounts as people write them, and the running sums of the books.

use std::collections::BTreeMap;

use payments::money::Currency;
use scenarios::{
    externals::Kind,
    history::{Books, History},
};
use sumzero_sim::EPOCH;

/// `12.34 EUR`, `1234 JPY`.
pub(crate) fn amount(minor_units: i64, currency: &str) -> String {
    let exponent = currency
        .parse()
        .map_or(2, |currency: Currency| currency.exponent());
    let sign = if minor_units < 0 { "\u{2212}" } else { "" };
    let (unit, minor) = (10u64.pow(exponent.into()), minor_units.unsigned_abs());
    if exponent == 0 {
        return format!("{sign}{minor} {currency}");
    }
    let width = usize::from(exponent);
    format!("{sign}{}.{:0width$} {currency}", minor / unit, minor % unit)
}

/// Minor units in one of a currency.
pub(crate) fn unit(currency: &str) -> f64 {
    10f64.powi(
        currency
            .parse()
            .map_or(2, |currency: Currency| currency.exponent().into()),
    )
}

/// True time of what was booked by a clock that was right: nanoseconds since the world began.
pub(crate) fn since_start(posted_at_nanos: i64) -> i64 {
    posted_at_nanos - EPOCH.as_nanos() as i64
}

/// What accounts are called.
pub(crate) fn account_names(books: &Books) -> BTreeMap<&str, String> {
    let mut wallets = 0;
    let names = books.accounts.iter().map(|account| {
        let name = if account.role == "wallet" {
            wallets += 1;
            format!("wallet {wallets} ({})", account.currency)
        } else {
            format!("{} ({})", account.role, account.currency)
        };
        (account.id.as_str(), name)
    });
    names.collect()
}

/// Steps of a sum over time: microseconds and minor units.
pub(crate) type Sums = Vec<(f64, f64)>;

/// What was taken through the provider in each currency, less what was given back, as the ledger has it and as the provider
/// has it. Where the two part for good money was lost or made.
pub(crate) fn taken(history: &History) -> BTreeMap<String, (Sums, Sums)> {
    let mut sums: BTreeMap<String, (Sums, Sums)> = BTreeMap::new();
    let add = |sums: &mut Sums, at: f64, by: i64| {
        let last = sums.last().map_or(0.0, |(_, sum)| *sum);
        sums.push((at, last + by as f64));
    };
    if let Some(books) = &history.books {
        let roles: BTreeMap<&str, &str> = books
            .accounts
            .iter()
            .map(|account| (account.id.as_str(), account.role.as_str()))
            .collect();
        let clearing = |account: &str| roles.get(account) == Some(&"clearing");
        for transfer in &books.transfers {
            let at = since_start(transfer.posted_at_nanos) as f64 / 1e3;
            for leg in transfer.legs.iter().filter(|leg| leg.phase == "posted") {
                let by = i64::from(clearing(&leg.debit)) - i64::from(clearing(&leg.credit));
                if by != 0 {
                    add(
                        &mut sums.entry(leg.currency.clone()).or_default().0,
                        at,
                        by * leg.amount,
                    );
                }
            }
        }
    }
    for effect in &history.effects {
        let by = match effect.kind {
            Kind::Sale | Kind::Capture => effect.amount,
            Kind::Refund | Kind::Payout => -effect.amount,
            Kind::Authorize | Kind::Void | Kind::Verify => continue,
        };
        let sums = sums.entry(effect.currency.clone()).or_default();
        add(&mut sums.1, effect.at_nanos as f64 / 1e3, by);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_the_decimals_of_their_currency() {
        let said =
            [(1234, "EUR"), (5, "EUR"), (-250, "EUR"), (1234, "JPY")].map(|(units, of)| amount(units, of));
        assert_eq!(said, ["12.34 EUR", "0.05 EUR", "\u{2212}2.50 EUR", "1234 JPY"]);
    }
}
