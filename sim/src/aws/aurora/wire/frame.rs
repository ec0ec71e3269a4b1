//! Checked reading of one message's body.

use crate::aws::aurora::error::{Error, Result, code};

/// What is left of a message.
pub(crate) struct Frame<'a>(pub(crate) &'a [u8]);

fn short() -> Box<Error> {
    Error::new(code::PROTOCOL_VIOLATION, "insufficient data left in message")
}

impl<'a> Frame<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        if self.0.len() < count {
            return Err(short());
        }
        let (head, rest) = self.0.split_at(count);
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        let b = self.take(2)?;
        Ok(u16::from_be_bytes([b[0], b[1]]))
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        let b = self.take(4)?;
        Ok(u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }

    pub(crate) fn i32(&mut self) -> Result<i32> {
        Ok(self.u32()? as i32)
    }

    pub(crate) fn string(&mut self) -> Result<String> {
        let end = self.0.iter().position(|b| *b == 0).ok_or_else(short)?;
        let text = self.take(end)?;
        self.take(1)?;
        String::from_utf8(text.to_vec()).map_err(|_| {
            Error::new(
                code::CHARACTER_NOT_IN_REPERTOIRE,
                "invalid byte sequence for encoding \"UTF8\"",
            )
        })
    }

    pub(crate) fn formats(&mut self) -> Result<Vec<i16>> {
        let count = self.u16()?;
        (0..count).map(|_| self.u16().map(|f| f as i16)).collect()
    }

    /// Nothing may follow.
    pub(crate) fn end(&self) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(Error::new(code::PROTOCOL_VIOLATION, "invalid message format"))
    }

    /// A value with its length before it; -1 is NULL.
    pub(crate) fn sized(&mut self) -> Result<Option<&'a [u8]>> {
        match self.i32()? {
            -1 => Ok(None),
            n => self.take(usize::try_from(n).map_err(|_| short())?).map(Some),
        }
    }
}
