//! Money: whole minor units of an ISO 4217 currency. No floating point, no conversion between currencies.

use std::{fmt, num::NonZeroI64, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};

/// Currencies that the system keeps books in, with the exponent of their minor unit (ISO 4217, list one).
const CURRENCIES: [(&str, u8); 24] = [
    ("AED", 2),
    ("ARS", 2),
    ("AUD", 2),
    ("BHD", 3),
    ("BRL", 2),
    ("CAD", 2),
    ("CHF", 2),
    ("CLP", 0),
    ("CNY", 2),
    ("COP", 2),
    ("DKK", 2),
    ("EUR", 2),
    ("GBP", 2),
    ("INR", 2),
    ("JPY", 0),
    ("KRW", 0),
    ("KWD", 3),
    ("MXN", 2),
    ("NOK", 2),
    ("NZD", 2),
    ("PLN", 2),
    ("SEK", 2),
    ("SGD", 2),
    ("USD", 2),
];

/// An ISO 4217 currency that the system keeps books in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency(u8);

/// Not the alphabetic code of a currency that the system keeps books in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the upper-case ISO 4217 code of a supported currency")]
pub struct UnknownCurrency(String);

impl Currency {
    /// The alphabetic code, as in `USD`.
    pub fn code(self) -> &'static str {
        CURRENCIES[usize::from(self.0)].0
    }

    /// Decimal digits of the minor unit: 2 for cents, 0 for yen.
    pub fn exponent(self) -> u8 {
        CURRENCIES[usize::from(self.0)].1
    }
}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(code: &str) -> Result<Self, Self::Err> {
        let place = CURRENCIES.binary_search_by_key(&code, |(known, _)| known);
        let place = place.ok().and_then(|place| u8::try_from(place).ok());
        place.map(Self).ok_or_else(|| UnknownCurrency(code.to_owned()))
    }
}

impl TryFrom<String> for Currency {
    type Error = UnknownCurrency;

    fn try_from(code: String) -> Result<Self, Self::Error> {
        code.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A positive count of minor units: what moves from one account to another. Zero and less cannot be represented, so no
/// sign can be confused with a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Amount(NonZeroI64);

/// Not a positive amount, or larger than [`Amount::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not between 1 and {max} minor units", max = Amount::MAX.get())]
pub struct InvalidAmount(i64);

impl Amount {
    /// The largest amount of one movement, in minor units: what a JSON number holds exactly, and a thousandth of what an
    /// account's totals can hold.
    pub const MAX: Self = Self(NonZeroI64::new((1 << 53) - 1).expect("not zero"));

    /// An amount of so many minor units.
    ///
    /// # Errors
    /// When it is not positive or exceeds [`Amount::MAX`].
    pub fn new(minor_units: i64) -> Result<Self, InvalidAmount> {
        let amount = NonZeroI64::new(minor_units).filter(|n| n.get() > 0).map(Self);
        amount
            .filter(|amount| *amount <= Self::MAX)
            .ok_or(InvalidAmount(minor_units))
    }

    /// Minor units.
    pub fn get(self) -> i64 {
        self.0.get()
    }
}

impl TryFrom<i64> for Amount {
    type Error = InvalidAmount;

    fn try_from(minor_units: i64) -> Result<Self, Self::Error> {
        Self::new(minor_units)
    }
}

impl From<Amount> for i64 {
    fn from(amount: Amount) -> Self {
        amount.get()
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl utoipa::ToSchema for Currency {}

impl utoipa::PartialSchema for Currency {
    fn schema() -> RefOr<Schema> {
        let codes = CURRENCIES.map(|(code, _)| code);
        let schema = ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(codes));
        schema.description(Some("ISO 4217 code")).into()
    }
}

impl utoipa::ToSchema for Amount {}

impl utoipa::PartialSchema for Amount {
    fn schema() -> RefOr<Schema> {
        let schema = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
        let schema = schema.maximum(Some(Self::MAX.get() as f64));
        schema.description(Some("Minor units of the currency")).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn currencies_are_found_by_their_code_and_nothing_else_is() {
        for (code, exponent) in CURRENCIES {
            let currency: Currency = code.parse().unwrap();
            assert_eq!((currency.code(), currency.exponent()), (code, exponent));
        }
        for code in ["usd", "XXX", "", "USDT", " USD"] {
            assert!(code.parse::<Currency>().is_err(), "{code}");
        }
    }

    #[test]
    fn amounts_are_positive_and_bounded() {
        assert_eq!(Amount::new(1).map(Amount::get), Ok(1));
        assert_eq!(Amount::new(Amount::MAX.get()), Ok(Amount::MAX));
        for wrong in [0, -1, i64::MIN, i64::MAX, Amount::MAX.get() + 1] {
            assert_eq!(Amount::new(wrong), Err(InvalidAmount(wrong)));
            assert!(serde_json::from_value::<Amount>(wrong.into()).is_err(), "{wrong}");
        }
        assert!(serde_json::from_str::<Amount>("10.5").is_err());
    }
}
