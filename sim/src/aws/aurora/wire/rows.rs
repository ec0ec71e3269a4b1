//! Rows and what describes them, in text or binary.

use bytes::{BufMut, BytesMut};
use pgwire::messages::Message;
use pgwire::messages::data::{FieldDescription, RowDescription};

use super::put;
use crate::aws::aurora::error::{Result, code, fail};
use crate::aws::aurora::sql::plan::Output;
use crate::aws::aurora::types::{Value, encode_binary, encode_text};

/// Text is 0, binary is 1.
pub(super) fn check_format(format: i16) -> Result<()> {
    match format {
        0 | 1 => Ok(()),
        other => fail(
            code::INVALID_PARAMETER_VALUE,
            format!("unsupported format code: {other}"),
        ),
    }
}

pub(super) fn format(formats: &[i16], at: usize) -> i16 {
    match formats {
        [] => 0,
        [one] => *one,
        many => many.get(at).copied().unwrap_or(0),
    }
}

pub(super) fn describe_result(out: &mut BytesMut, columns: Option<&[Output]>, formats: &[i16]) {
    match columns {
        Some(columns) => describe_row(out, columns, formats),
        None => put(out, b'n', |_| {}),
    }
}

pub(super) fn describe_row(out: &mut BytesMut, columns: &[Output], formats: &[i16]) {
    let fields = columns
        .iter()
        .enumerate()
        .map(|(i, c)| {
            FieldDescription::new(
                c.name.clone(),
                c.origin.0 as i32,
                c.origin.1,
                c.ty.oid(),
                c.ty.len(),
                c.typmod,
                format(formats, i),
            )
        })
        .collect();
    _ = RowDescription::new(fields).encode(out);
}

pub(super) fn data_row(out: &mut BytesMut, columns: &[Output], row: &[Value], formats: &[i16]) -> Result<()> {
    let start = out.len();
    out.put_u8(b'D');
    out.put_i32(0);
    out.put_u16(columns.len() as u16);
    let mut text = String::new();
    for (i, column) in columns.iter().enumerate() {
        let value = row.get(i).unwrap_or(&Value::Null);
        if value.is_null() {
            out.put_i32(-1);
            continue;
        }
        let at = out.len();
        out.put_i32(0);
        if format(formats, i) == 1 {
            if let Err(e) = encode_binary(value, column.ty, out) {
                out.truncate(start);
                return Err(e);
            }
        } else {
            text.clear();
            encode_text(value, &mut text);
            out.put_slice(text.as_bytes());
        }
        let len = (out.len() - at - 4) as i32;
        out[at..at + 4].copy_from_slice(&len.to_be_bytes());
    }
    let len = (out.len() - start - 1) as i32;
    out[start + 1..start + 5].copy_from_slice(&len.to_be_bytes());
    Ok(())
}
