//! Receipt handles: opaque to the client, and bound to one delivery of one message of one queue.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use xxhash_rust::xxh3::xxh3_64;

/// What a handle says once decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Receipt {
    /// The queue that gave it out; a queue made again under the same name is another one.
    pub(super) queue: u64,
    /// The message's number in that queue.
    pub(super) message: u64,
    /// Which delivery of it.
    pub(super) delivery: u64,
}

impl Receipt {
    pub(super) fn encode(self) -> String {
        let mut bytes = Vec::with_capacity(32);
        for part in [self.queue, self.message, self.delivery] {
            bytes.extend(part.to_be_bytes());
        }
        bytes.extend(xxh3_64(&bytes).to_be_bytes());
        STANDARD.encode(bytes)
    }

    /// None for whatever no queue here ever gave out.
    pub(super) fn decode(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).ok()?;
        let (said, check) = bytes.split_at_checked(24)?;
        if check != xxh3_64(said).to_be_bytes() {
            return None;
        }
        let part = |at: usize| said[at..at + 8].try_into().map(u64::from_be_bytes).ok();
        Some(Self {
            queue: part(0)?,
            message: part(8)?,
            delivery: part(16)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_handles_decode() {
        let receipt = Receipt {
            queue: 7,
            message: 8,
            delivery: 9,
        };
        let text = receipt.encode();
        assert_eq!(Receipt::decode(&text), Some(receipt));
        let mut forged = text.clone().into_bytes();
        forged[3] = if forged[3] == b'A' { b'B' } else { b'A' };
        assert_eq!(Receipt::decode(std::str::from_utf8(&forged).unwrap()), None);
        for text in ["", "x", "AAAA", "not base64!"] {
            assert_eq!(Receipt::decode(text), None, "{text:?}");
        }
    }
}
