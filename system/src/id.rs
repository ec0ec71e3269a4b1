//! Identifiers. Each kind is a type of its own, so that one is not taken for another.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = Uuid)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id! {
    /// A customer of this system: a marketplace or a merchant, whose data no other may see.
    TenantId
}
uuid_id! {
    /// An account of the ledger.
    AccountId
}
uuid_id! {
    /// A payment: a charge or a settlement.
    PaymentId
}
uuid_id! {
    /// A transfer in the ledger.
    TransferId
}

/// A UUID (version 8) that follows from its parts: the same parts make the same id on every machine.
fn derived(domain: &str, parts: &[&[u8]]) -> Uuid {
    let mut hash = Sha256::new();
    for part in [domain.as_bytes()].iter().chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

impl AccountId {
    /// The account that a request opens: a retry of it names the same one.
    pub fn of_request(tenant: TenantId, key: &IdempotencyKey) -> Self {
        Self(derived(
            "account",
            &[tenant.0.as_bytes(), key.as_str().as_bytes()],
        ))
    }

    /// The account that the system keeps for itself in a tenant's books.
    pub(crate) fn of_system(tenant: TenantId, role: &str, currency: &str) -> Self {
        let parts = [
            tenant.0.as_bytes().as_slice(),
            role.as_bytes(),
            currency.as_bytes(),
        ];
        Self(derived("system account", &parts))
    }
}

impl PaymentId {
    /// The payment that a request starts: a retry of it names the same one.
    pub fn of_request(tenant: TenantId, key: &IdempotencyKey) -> Self {
        Self(derived(
            "payment",
            &[tenant.0.as_bytes(), key.as_str().as_bytes()],
        ))
    }
}

impl TransferId {
    /// The transfer of a step of a payment: the step cannot be booked twice under two ids.
    pub(crate) fn of_step(payment: PaymentId, step: &str, seq: i32) -> Self {
        let parts = [
            payment.0.as_bytes().as_slice(),
            step.as_bytes(),
            &seq.to_be_bytes(),
        ];
        Self(derived("transfer", &parts))
    }
}

/// What a client names its request by, so that a retry is known as one: 1 to 255 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IdempotencyKey(String);

/// Not 1 to 255 visible ASCII characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an Idempotency-Key has 1 to {max} visible ASCII characters", max = IdempotencyKey::LEN_MAX)]
pub struct InvalidIdempotencyKey;

impl IdempotencyKey {
    /// Most characters.
    pub const LEN_MAX: usize = 255;

    /// A key of this text.
    ///
    /// # Errors
    /// When it is empty, too long or has other than visible ASCII characters.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidIdempotencyKey> {
        let text = text.into();
        let fits =
            (1..=Self::LEN_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits {
            Ok(Self(text))
        } else {
            Err(InvalidIdempotencyKey)
        }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first half of its SHA-256, in hexadecimal digits: for where the text itself is too long.
    pub fn digest(&self) -> String {
        let hash = Sha256::digest(&self.0);
        hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl TryFrom<String> for IdempotencyKey {
    type Error = InvalidIdempotencyKey;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(text)
    }
}

impl From<IdempotencyKey> for String {
    fn from(key: IdempotencyKey) -> Self {
        key.0
    }
}

/// SHA-256 over what a request asks for: one key with two fingerprints is a client's mistake.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of a request's method, path and body.
    pub fn of(method: &str, path: &str, body: &[u8]) -> Self {
        let mut hash = Sha256::new();
        for part in [method.as_bytes(), path.as_bytes(), body] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_the_same_payment_again_and_another_tenant_another() {
        let key = IdempotencyKey::new("k-1").unwrap();
        let (one, two) = (TenantId(Uuid::from_u128(1)), TenantId(Uuid::from_u128(2)));
        assert_eq!(PaymentId::of_request(one, &key), PaymentId::of_request(one, &key));
        assert_ne!(PaymentId::of_request(one, &key), PaymentId::of_request(two, &key));
        assert_ne!(
            PaymentId::of_request(one, &key).0,
            AccountId::of_request(one, &key).0
        );
    }

    #[test]
    fn keys_are_visible_ascii_of_255_characters_at_most() {
        assert!(IdempotencyKey::new("x".repeat(255)).is_ok());
        for wrong in ["", " ", "a b", "é", "a\n", &"x".repeat(256)] {
            assert_eq!(
                IdempotencyKey::new(wrong),
                Err(InvalidIdempotencyKey),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn fingerprints_tell_where_one_part_ends() {
        assert_ne!(
            Fingerprint::of("POST", "/a", b"b"),
            Fingerprint::of("POST", "/ab", b"")
        );
    }
}
