//! What designs of this kind say, and what reviewers miss: unsound variants of single lines of this system, so that a judge of
//! it can be shown to notice them.
//!
//! Only the feature `as-written`, which no deployment enables, makes them selectable: one a process, once. Without it
//! [`as_written`] is the constant `false`, the branches in the sound code are none, and none of the texts is compiled.

#![cfg_attr(not(feature = "as-written"), allow(unreachable_pub))]

macro_rules! variants {
    ($($variant:ident = $name:literal, $claim:expr, $says:literal;)*) => {
        /// A place where the system can be made to follow an unsound design.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Variant {
            $(#[doc = $says] $variant,)*
        }

        #[cfg(feature = "as-written")]
        impl Variant {
            /// All of them: first those that a design document claims, in the order of the claims.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// What it is called on a command line.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The claim that it follows; none for a planted mistake.
            pub fn claim(self) -> Option<&'static str> {
                match self { $(Self::$variant => $claim,)* }
            }

            /// What it says instead, in a sentence.
            pub fn says(self) -> &'static str {
                match self { $(Self::$variant => $says,)* }
            }

            /// The variant of this name.
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|variant| variant.name() == name)
            }
        }
    };
}

variants! {
    LeaseAlone = "lease-alone", Some("C02"),
        "The lease is enough: whoever worked on an operation settles it, even if it was taken over meanwhile.";
    RetryAfterASecond = "retry-after-a-second", Some("C03"),
        "On the second attempt the lease is free: Retry-After is one second, whatever is left of the lease.";
    CheckThenAct = "check-then-act", Some("C05"),
        "Look the key up; if nothing is there, put the claim.";
    ToldBeforeKept = "told-before-kept", Some("C06"),
        "The client is told once the ledger has committed; the gate learns of it in the background.";
    SweeperReissues = "sweeper-reissues", Some("C10"),
        "A lease that ran out is claimed anew: the same call is made again, under the same fence, without asking first.";
    ReissuePastTheWindow = "reissue-past-the-window", Some("C11"),
        "The provider's key outlives every retry: an operation is asked for again at any age.";
    OneEntryAKey = "one-entry-a-key", Some("C17"),
        "An account has one entry of a kind under an idempotency key, by a unique index.";
    KeyOfTheAttempt = "key-of-the-attempt", Some("C18"),
        "Each call to the provider has a key of its own; the ledger's unique index does the rest.";
    CallBeforeTheIntent = "call-before-the-intent", Some("C18"),
        "The provider is called first, and the ledger's transaction comes when it has answered.";
    OwnPutARival = "own-put-a-rival", Some("C19"),
        "A conditional put that fails means that somebody else has the key.";
    AnswerInTheGateOnly = "answer-in-the-gate-only", Some("C20"),
        "The answer is kept at the gate, where every retry looks first; the ledger need not have it.";
    BalanceWithoutLock = "balance-without-lock", Some("C21"),
        "A balance is read and then booked on, in a transaction at READ COMMITTED.";
    OneSumForAll = "one-sum-for-all", Some("C22"),
        "The sum over all entries is zero, whatever currency each is in.";
    StampAfterAttempts = "stamp-after-attempts", Some("C23"),
        "An event that failed a number of times is stamped as published, so that the others get on.";
    ReleaseInTwoSteps = "release-in-two-steps", Some("C25"),
        "The payee is credited in one step, and paid out in another; nothing is set aside between them.";
    FreezeUnchecked = "freeze-unchecked", Some("C25"),
        "Whether an account is frozen was looked at before the transaction; in it nobody looks again.";
    OutboxCursor = "outbox-cursor", Some("C29"),
        "The relay goes through the outbox in one order and continues behind the last event that it published.";
    RetriesAtOnce = "retries-at-once", Some("C30"),
        "What failed is tried again at once.";

    VoidOnTimeOut = "void-on-time-out", None,
        "A provider that does not answer has not done it: the operation is declined.";
    NotFoundIsNotDone = "not-found-is-not-done", None,
        "A provider that does not know the key has not done it and will not: the operation is declined.";
    ProcessingIsDone = "processing-is-done", None,
        "A provider that has accepted an operation has done it.";
    KeyWithoutNumber = "key-without-number", None,
        "The provider's key is made of payment and kind: a second capture or refund has the first one's.";
    PaymentWithoutLock = "payment-without-lock", None,
        "FOR UPDATE is missing where the payment is read.";
    ReplayOfTheState = "replay-of-the-state", None,
        "A replayed request is answered with what the payment is by now.";
    EventAfterTheCommit = "event-after-the-commit", None,
        "The event is written in a transaction of its own, after the change has committed.";
    EffectAfterTheCommit = "effect-after-the-commit", None,
        "The inbox commits first, and the subscriber's effect follows in another transaction.";
    PartialFailureUnread = "partial-failure-unread", None,
        "PutEvents answered 200, so its entries are published.";
    GapThrownAway = "gap-thrown-away", None,
        "A message whose event cannot be taken in yet is deleted like the others.";
    RefundNotHeld = "refund-not-held", None,
        "A refund takes its money from the payee when the provider has paid it, and sets nothing aside before.";
    GrossPaidOut = "gross-paid-out", None,
        "The payout is of the settlement's amount, and the fee was already taken.";
    FeeLost = "fee-lost", None,
        "The fee's leg is left out when the payee is credited.";
    OverCapture = "over-capture", None,
        "Amounts of captures and refunds are not checked against what is left.";
    HoldReleasedTwice = "hold-released-twice", None,
        "A partial capture gives up all of the hold, and so does the void after it.";
    FingerprintIgnored = "fingerprint-ignored", None,
        "A known key is answered with what it was answered before, whatever is asked for under it now.";
    BreakerCountsSuccess = "breaker-counts-success", None,
        "The circuit breaker counts every call that returned as a success.";
}

#[cfg(feature = "as-written")]
static SELECTED: std::sync::OnceLock<Variant> = std::sync::OnceLock::new();

/// From now on this process follows a variant.
///
/// # Panics
/// If it follows another one already.
#[cfg(feature = "as-written")]
pub fn select(variant: Variant) {
    let selected = *SELECTED.get_or_init(|| variant);
    assert_eq!(selected, variant, "a process follows one variant");
}

/// Whether this process follows a variant.
#[cfg(feature = "as-written")]
pub(crate) fn as_written(variant: Variant) -> bool {
    SELECTED.get() == Some(&variant)
}

/// Whether this process follows a variant: never.
#[cfg(not(feature = "as-written"))]
#[inline(always)]
pub(crate) const fn as_written(_: Variant) -> bool {
    false
}
